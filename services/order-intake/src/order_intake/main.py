"""`python -m order_intake.main`: a FastStream application that answers `orders.submit` and `orders.plan`."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import nats.errors
import structlog
from faststream import FastStream
from faststream.nats import NatsBroker, NatsMessage
from faststream.nats.security import NatsNKey

from order_intake.bus import Bus
from order_intake.deciding import ID_HEADER, Request
from order_intake.intake import Intake
from stagewright.contracts.orders import OFFLINE_HEADER, SUBMITTER_HEADER, Purpose
from stagewright.messaging.answering import is_inbox
from stagewright.messaging.envelope import header
from stagewright.messaging.presence import announce
from stagewright.messaging.topology import INTAKE, PLAN, SUBMIT
from stagewright.runtime import run
from stagewright.settings import Settings
from stagewright.telemetry import configure_logging

log = structlog.get_logger()

NAME = "order-intake"
PURPOSES: Mapping[str, Purpose] = {SUBMIT: "apply", PLAN: "plan"}
"""What is asked for on which subject."""
DRAIN_TIMEOUT = 10.0
"""Seconds in which what was taken must be answered when the service stops."""


async def _on_error(error: Exception) -> None:
    log.warning("bus error", action="bus.error", error=str(error) or type(error).__name__)


async def _on_disconnect() -> None:
    log.warning("bus disconnected", action="bus.disconnected")


async def _on_reconnect() -> None:
    log.info("bus reconnected", action="bus.reconnected")


def make_broker(settings: Settings) -> NatsBroker:
    """The broker as the user `intake`; nothing connects yet."""
    seed = settings.nats.seed(INTAKE.name)
    return NatsBroker(
        settings.nats.url.split(","),
        name=NAME,
        security=NatsNKey.from_file(seed) if seed else None,
        inbox_prefix=INTAKE.inbox,
        ping_interval=5,
        max_outstanding_pings=2,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,  # type: ignore[arg-type]  # the client takes fractions
        connect_timeout=3,
        error_cb=_on_error,
        disconnected_cb=_on_disconnect,
        reconnected_cb=_on_reconnect,
        logger=None,
        apply_types=False,
        graceful_timeout=DRAIN_TIMEOUT,
    )


async def _undecoded(message: NatsMessage) -> NatsMessage:
    """The handler reads raw bytes and headers: nothing is parsed before the limits are checked."""
    return message


def _request(message: NatsMessage, purpose: Purpose) -> Request:
    headers = message.headers
    return Request(
        body=message.body,
        message_id=header(headers, ID_HEADER),
        reply=message.reply_to if is_inbox(message.reply_to) else None,
        purpose=purpose,
        submitter=header(headers, SUBMITTER_HEADER),
        offline=header(headers, OFFLINE_HEADER),
    )


async def _drain(subscribers: Iterable[Any]) -> None:
    for subscriber in subscribers:
        if subscriber.subscription is not None:
            await subscriber.subscription.drain()
            subscriber.subscription = None


def make_app(broker: NatsBroker) -> FastStream:
    """The application: connect, answer, and on SIGTERM stop taking, finish what was taken, drain."""
    app = FastStream(broker, logger=None)
    running: list[Intake] = []
    tasks: list[asyncio.Task[None]] = []

    @app.on_startup
    async def begin() -> None:
        client = await broker.connect()
        intake = Intake(Bus(client, client.jetstream()))
        running.append(intake)
        tasks.append(asyncio.create_task(intake.run(), name="intake"))

    def taking(purpose: Purpose) -> Callable[[NatsMessage], Awaitable[None]]:
        async def take(message: NatsMessage) -> None:
            await running[0].take(_request(message, purpose))

        return take

    subscribers = [
        broker.subscriber(subject, queue=NAME, decoder=_undecoded, no_reply=True) for subject in PURPOSES
    ]
    for subscriber, purpose in zip(subscribers, PURPOSES.values(), strict=True):
        subscriber(taking(purpose))

    @app.after_startup
    async def ready() -> None:
        await announce(await broker.connect(), NAME, "Validates submitted orders and takes them in.")
        log.info("taking orders", action="intake.ready", subjects=list(PURPOSES))

    @app.on_shutdown
    async def end() -> None:
        # Without a bus there is nobody to answer: what was taken is lost, and its clients send it again.
        with contextlib.suppress(TimeoutError, nats.errors.Error):
            async with asyncio.timeout(DRAIN_TIMEOUT):
                await _drain(subscribers)
                for intake in running:
                    await intake.finish()
        for task in tasks:
            task.cancel()
        counts = dict(running[0].counts) if running else {}
        log.info("stopped", action="intake.stopped", counts=counts)

    return app


async def serve(app: FastStream) -> None:
    """Run until SIGTERM or SIGINT. A bus that is away at that moment leaves nothing to drain."""
    try:
        await app.run()
    except (nats.errors.ConnectionReconnectingError, nats.errors.ConnectionClosedError) as error:
        log.warning("stopped without the bus", action="intake.stopped_alone", reason=str(error))


def main() -> None:
    """Read the settings and serve until SIGTERM or SIGINT."""
    settings = Settings()
    configure_logging(NAME, settings.log_level)
    run(serve(make_app(make_broker(settings))))


if __name__ == "__main__":
    main()

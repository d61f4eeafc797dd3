"""`python -m executor.main`: connect, announce, work until SIGTERM."""

import asyncio
import signal
import sys

import structlog
from nats.errors import Error as NatsError
from pydantic import ValidationError

from executor.bootstrap import build_worker
from stagewright.messaging import topology
from stagewright.messaging.connecting import connect
from stagewright.messaging.presence import announce
from stagewright.runtime import run
from stagewright.settings import Settings
from stagewright.telemetry import configure_logging

log = structlog.get_logger()

_CLOSING = 5.0


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Work until `stop` is set; reconnects for ever.

    Raises:
        OSError, nats.errors.Error: the bus cannot be reached at first.
    """
    client = await connect(
        settings.nats.url, topology.EXECUTOR, seed_file=settings.nats.seed(topology.EXECUTOR.name)
    )
    try:
        worker = build_worker(settings, client)
        await announce(client, "executor", "Does the commands of orders on servers, AWS, vault and proxy")
        log.info("serving", action="executor.ready", slots=settings.executor.slots)
        await worker.run(stop)
    finally:
        async with asyncio.timeout(_CLOSING):
            await client.drain()


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, stop)


def main() -> int:
    """0 after SIGTERM, 1 where the bus was lost for good or refused us, 2 for invalid settings."""
    try:
        settings = Settings()
    except ValidationError as error:
        print(error, file=sys.stderr)
        return 2
    configure_logging("executor", settings.log_level)
    try:
        run(_run(settings))
    except (NatsError, OSError) as error:
        log.error("cannot serve", action="executor.failed", error=f"{type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The relay: tails the log and publishes what others must hear: commands, and what became of an order.

The log is the outbox. The position behind which everything is published travels into the store with a later
append, so that keeping it costs no flush of its own; after a crash a little is published again under the same
message id. Of what was stored before this process began, only commands that still wait for their answer are
published again: one that was answered long ago must never reach an executor after newer orders.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import structlog
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js import JetStreamContext
from nats.js.errors import NoStreamResponseError

from orchestrator.domain.order import OrderState
from orchestrator.store.codec import Recorded
from orchestrator.store.event_store import EventStore
from stagewright.contracts.commands import Command
from stagewright.contracts.order_events import CommandsWithdrawn, OrderEvent
from stagewright.ids import derived_id
from stagewright.messaging.cancellation import checkpoint
from stagewright.messaging.envelope import envelope
from stagewright.messaging.publishing import Outgoing, publish_all
from stagewright.messaging.topology import (
    COMMANDS,
    EVENTS,
    ORDER_EVENTS_STAGE,
    WITHDRAWALS,
    command_subject,
    event_subject,
    withdrawal_subject,
)

log = structlog.get_logger()

NAME = "relay"
_CHUNK = 1000
_PAUSE_AFTER_FAILURE = 0.5


class Relay:
    """Publishes the log in order; woken by each append, never polling.

    `missing` is called where the bus turns out to have lost a stream.
    """

    def __init__(self, js: JetStreamContext, store: EventStore, missing: Callable[[], None]) -> None:
        self._js = js
        self._store = store
        self._missing = missing
        self._position = store.position(NAME)
        self._fresh: list[Recorded] = []
        self._known = self._inherited = store.last_position()
        self._again: dict[str, Outgoing] = {}
        self._wake = asyncio.Event()
        self._wake.set()

    def appended(self, batch: Sequence[Recorded]) -> None:
        """Take what was just stored; it need not be read again when nothing lies between."""
        self._fresh.extend(batch)
        self._known = batch[-1].position
        self._wake.set()

    def republish(self, states: Iterable[OrderState]) -> None:
        """Publish every command again that still waits for its answer: the bus may have lost it."""
        self._again.update(
            (out.envelope.id, out)
            for state in states
            for event in _unanswered(state)
            for out in outgoing(Recorded(0, "", 0, state.received_at, state.order_id, event))
        )
        self._wake.set()

    @property
    def position(self) -> int:
        """Everything up to here is published."""
        return self._position

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            checkpoint()
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._publish()
            except (NatsError, TimeoutError, OSError) as error:
                log.warning("publishing failed, trying again", action="relay.failed", error=repr(error))
                if isinstance(error, (NoStreamResponseError, NoRespondersError)):
                    self._missing()
                await asyncio.sleep(_PAUSE_AFTER_FAILURE)
                self._wake.set()

    async def _publish(self) -> None:
        await self._publish_again()
        while self._position < self._known:
            rows = self._next()
            if not rows:
                return
            messages = [out for row in rows if self._is_news(row) for out in outgoing(row)]
            if messages:
                await publish_all(self._js, messages)
            self._position = rows[-1].position
            self._fresh = [row for row in self._fresh if row.position > self._position]

    async def _publish_again(self) -> None:
        """In chunks: many at once would not be acknowledged in the time that one publish has."""
        while self._again:
            chunk = list(islice(self._again.items(), _CHUNK))
            await publish_all(self._js, [out for _, out in chunk])
            for message_id, out in chunk:
                if self._again[message_id] is out:  # else it was asked for once more meanwhile
                    del self._again[message_id]

    def _is_news(self, row: Recorded) -> bool:
        """Commands of an earlier process come through `republish`, if they still wait."""
        return row.position > self._inherited or not isinstance(row.event, Command)

    def _next(self) -> list[Recorded]:
        if self._fresh and self._fresh[0].position == self._position + 1:
            return self._fresh[:_CHUNK]
        return self._store.read(self._position, _CHUNK)


def _unanswered(state: OrderState) -> Iterator[Command | CommandsWithdrawn]:
    """The commands that wait, and before them that they are not to be done, where that is so."""
    if state.outstanding and state.cancelled is not None and state.undoing is None:
        yield CommandsWithdrawn(
            order_id=state.order_id,
            environment=state.wanted.environment,
            commands=tuple(state.outstanding),
        )
    yield from state.outstanding.values()


def outgoing(row: Recorded) -> list[Outgoing]:
    """The messages that follow from one event of the log: one or none."""
    event = row.event
    if isinstance(event, Command):
        subject = command_subject(event.stage, event.environment, event.order_id)
        return [_message(row, event, str(event.command_id), subject, COMMANDS)]
    if isinstance(event, CommandsWithdrawn):
        subject = withdrawal_subject(event.environment, event.order_id)
        return [_message(row, event, _id(row, event), subject, WITHDRAWALS)]
    if isinstance(event, OrderEvent) and row.stream.startswith("order/"):
        subject = event_subject(ORDER_EVENTS_STAGE, event.environment, event.order_id)
        return [_message(row, event, _id(row, event), subject, EVENTS)]
    return []


def _id(row: Recorded, event: OrderEvent | CommandsWithdrawn) -> str:
    """An order may be planned, paused or ended more than once: the place in its stream tells them apart."""
    return str(derived_id(event.ce_type, event.order_id, row.version))


def _message(
    row: Recorded, event: Command | OrderEvent | CommandsWithdrawn, message_id: str, subject: str, stream: str
) -> Outgoing:
    head = envelope(
        event,
        message_id=message_id,
        source="orchestrator",
        time=row.at,
        correlation_id=event.order_id,
        causation_id=row.cause,
    )
    return Outgoing(subject, stream, event.to_json(), head)

"""Following an order: what the streams EVENTS and LOGS hold about it, merged, each message once.

A consumer here is ephemeral and may vanish with a restart of the server. Each feed therefore remembers the
sequence that it has seen and makes itself a new consumer from there whenever the server falls silent; the
client library's own ordered consumer does not recover from a lost connection in every case.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from uuid import uuid4

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from pydantic import ValidationError

from console.ending import end
from stagewright.contracts.base import Message
from stagewright.contracts.events import ALL_OUTCOMES
from stagewright.contracts.logs import TaskLog
from stagewright.contracts.order_events import ORDER_EVENTS, OrderEnded, OrderRetried
from stagewright.messaging.envelope import header
from stagewright.messaging.topology import EVENTS, LOGS, event_subject, logs_subject

_HEARTBEAT = 2.0
_SILENCE = 2.5 * _HEARTBEAT
_PAUSE = 0.3
_KINDS: tuple[type[Message], ...] = (*ALL_OUTCOMES, *ORDER_EVENTS, TaskLog)
_TYPES = {kind.ce_type: kind for kind in _KINDS}


@dataclass(frozen=True)
class Entry:
    """One message about an order; `at` is when it was made (RFC 3339, UTC)."""

    at: str
    stream: str
    sequence: int
    message: Message


class Feeds:
    """The feeds of one order, merged."""

    def __init__(self, client: Client, order_id: str) -> None:
        self._arrived: asyncio.Queue[Entry | None] = asyncio.Queue()
        self._feeds = (
            _Feed(client, EVENTS, event_subject("*", "*", order_id), self._arrived),
            _Feed(client, LOGS, logs_subject("*", order_id, "*"), self._arrived),
        )

    async def follow(self, known_end: str | None = None) -> AsyncIterator[Entry]:
        """First what there is, by time, then what comes; ends after the order's end, which comes last.

        An order may end more than once: an end counts where nothing retries it, and where it is not the one
        at `known_end`.
        """
        async with self._running():
            past = await self._past()
            ended = last_end(past, known_end)
            for entry in past:
                if entry is not ended:
                    yield entry
            while ended is None:
                entry = await self._next()
                if _ends(entry, known_end):
                    ended = entry
                else:
                    yield entry
            for entry in self._waiting():
                yield entry
            yield ended

    async def tail(self) -> AsyncIterator[Entry]:
        """First what there is, by time, then what comes, for ever."""
        async with self._running():
            for entry in await self._past():
                yield entry
            while True:
                yield await self._next()

    async def history(self) -> list[Entry]:
        """What there is, by time."""
        async with self._running():
            return await self._past()

    @contextlib.asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(feed.run()) for feed in self._feeds]
        try:
            yield
        finally:
            await end(*tasks)

    async def _past(self) -> list[Entry]:
        """Entries until both feeds have caught up with their stream, sorted by time."""
        found: list[Entry] = []
        while not all(feed.caught_up for feed in self._feeds) or not self._arrived.empty():
            entry = await self._arrived.get()
            if entry is not None:
                found.append(entry)
        return sorted(found, key=lambda entry: (entry.at, entry.stream, entry.sequence))

    async def _next(self) -> Entry:
        while (entry := await self._arrived.get()) is None:
            continue
        return entry

    def _waiting(self) -> list[Entry]:
        found = []
        while not self._arrived.empty():
            entry = self._arrived.get_nowait()
            if entry is not None:
                found.append(entry)
        return found


def last_end(entries: Iterable[Entry], known_end: str | None = None) -> Entry | None:
    """The end that the order stands at: the last one, unless the order was retried after it."""
    ended: Entry | None = None
    for entry in entries:
        if isinstance(entry.message, OrderRetried):
            ended = None
        elif _ends(entry, known_end):
            ended = entry
    return ended


def _ends(entry: Entry, known_end: str | None) -> bool:
    return isinstance(entry.message, OrderEnded) and entry.message.finished_at != known_end


class _Feed:
    """One stream's messages under one subject. Puts entries, and None for "look again", into `sink`."""

    def __init__(self, client: Client, stream: str, subject: str, sink: asyncio.Queue[Entry | None]) -> None:
        self._client = client
        self._stream = stream
        self._subject = subject
        self._sink = sink
        self._seen = 0
        self.caught_up = False

    async def run(self) -> None:
        while True:
            with contextlib.suppress(nats.errors.Error, nats.js.errors.Error, TimeoutError):
                await self._deliver()
            await asyncio.sleep(_PAUSE)

    async def _deliver(self) -> None:
        """Consume until the server falls silent or skips a message.

        Raises:
            nats.errors.Error, TimeoutError: silence, or no connection.
        """
        js = self._client.jetstream(timeout=3)
        inbox = self._client.new_inbox()
        name = f"follow-{uuid4().hex}"
        arrived: asyncio.Queue[Msg] = asyncio.Queue()
        subscription = await self._client.subscribe(inbox, cb=arrived.put)
        try:
            info = await js.add_consumer(self._stream, self._config(name, inbox))
            if not info.num_pending:
                self._catch_up()
            await self._receive(arrived)
        finally:
            with contextlib.suppress(nats.errors.Error, nats.js.errors.Error, TimeoutError):
                await subscription.unsubscribe()
                if self._client.is_connected:
                    await js.delete_consumer(self._stream, name)

    async def _receive(self, arrived: asyncio.Queue[Msg]) -> None:
        expected = 1
        while True:
            async with asyncio.timeout(_SILENCE):
                msg = await arrived.get()
            if msg.headers and msg.headers.get("Status"):
                if msg.reply:
                    await msg.respond(b"")
                continue
            meta = msg.metadata
            if meta.sequence.consumer != expected:
                return
            expected += 1
            self._take(msg, meta.sequence.stream)
            if not meta.num_pending:
                self._catch_up()

    def _take(self, msg: Msg, sequence: int) -> None:
        if sequence <= self._seen:
            return
        self._seen = sequence
        kind = _TYPES.get(header(msg.headers, "ce-type") or "")
        if kind is None:
            return
        with contextlib.suppress(ValidationError):
            message = kind.model_validate_json(msg.data)
            self._sink.put_nowait(
                Entry(header(msg.headers, "ce-time") or "", self._stream, sequence, message)
            )

    def _catch_up(self) -> None:
        self.caught_up = True
        self._sink.put_nowait(None)

    def _config(self, name: str, inbox: str) -> ConsumerConfig:
        again = self._seen > 0
        return ConsumerConfig(
            name=name,
            deliver_subject=inbox,
            filter_subject=self._subject,
            ack_policy=AckPolicy.NONE,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE if again else DeliverPolicy.ALL,
            opt_start_seq=self._seen + 1 if again else None,
            flow_control=True,
            idle_heartbeat=_HEARTBEAT,
            inactive_threshold=30.0,
            num_replicas=1,
            mem_storage=True,
        )

"""Consuming in batches by nature: what waits is taken at once, and a batch of one waits for nothing.

A pull request stays open at the server all the time, so that a message is pushed the moment it is stored.
The client libraries' own `fetch` cannot do this: it either polls or waits for its batch to fill
(nats-io/nats.py issue 1034).
"""

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import AsyncIterator

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from stagewright.messaging.cancellation import checkpoint
from stagewright.messaging.topology import Durable

log = structlog.get_logger()

_EXPIRES = 30.0
_HEARTBEAT = 5.0
"""Seconds between signs of life from the server; a reader looks after `_WATCH` at the latest."""
_WATCH = 1.0
_RETRY = 0.5
_EXPIRED = "408"


class ConsumerGone(Exception):  # noqa: N818 - what happened, as the reader of a stream must know it
    """The server has no such consumer any more, or the connection was away and messages may be missing."""


class BatchConsumer:
    """Pulls from one consumer. `limit` bounds a batch and what is held unacknowledged here.

    Where the consumer or the connection was away it asks again, or, with `ends`, tells the reader.
    """

    def __init__(self, client: Client, durable: Durable, *, limit: int, ends: bool = False) -> None:
        self._client = client
        self._durable = durable
        self._limit = limit
        self._ends = ends
        self._reconnects = client.stats["reconnects"]
        self._waiting: deque[Msg] = deque()
        self._wake = asyncio.Event()
        self._asked = 0
        self._last_sign = 0.0
        self._status: str | None = None
        self._subscription: Subscription | None = None

    async def batches(self, *, room: "Room | None" = None) -> AsyncIterator[list[Msg]]:
        """Yield non-empty batches for ever; `room` limits each to the free slots of a worker pool.

        Raises:
            ConsumerGone: only where the reader asked to be told.
        """
        self._inbox = self._client.new_inbox()
        self._subscription = await self._client.subscribe(self._inbox, cb=self._arrived)
        try:
            while True:
                checkpoint()
                free = self._limit if room is None else await room.free()
                await self._ask(free)
                batch = self._take(free)
                if batch:
                    yield batch
                    continue
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_WATCH):
                        await self._wake.wait()
                await self._check()
        finally:
            with contextlib.suppress(Exception):
                await self._subscription.unsubscribe()

    def _take(self, most: int) -> list[Msg]:
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    async def _ask(self, free: int) -> None:
        """Keep a request open at the server for what there is room for, and never for more."""
        missing = free - self._asked - len(self._waiting)
        if missing <= 0 or missing < free / 2:
            return
        self._asked += missing
        self._last_sign = time.monotonic()
        request = {
            "batch": missing,
            "expires": int(_EXPIRES * 1e9),
            "idle_heartbeat": int(_HEARTBEAT * 1e9),
        }
        await self._client.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self._durable.stream}.{self._durable.name}",
            json.dumps(request).encode(),
            self._inbox,
        )

    async def _arrived(self, msg: Msg) -> None:
        self._last_sign = time.monotonic()
        status = msg.headers.get("Status") if msg.headers else None
        if status is None or msg.data:
            self._asked -= 1
            self._waiting.append(msg)
        elif status == "100":
            return
        else:
            self._status = f"{status} {msg.headers.get('Description', '') if msg.headers else ''}".strip()
            pending = msg.headers.get("Nats-Pending-Messages") if msg.headers else None
            self._asked = max(0, self._asked - int(pending)) if pending else 0
        self._wake.set()

    async def _check(self) -> None:
        """After a pause: was the connection away, the request ended, or the server silent?"""
        status, self._status = self._status, None
        if self._client.stats["reconnects"] != self._reconnects:
            self._reconnects = self._client.stats["reconnects"]
            await self._trouble("reconnected")
        elif status is not None and not status.startswith(_EXPIRED):
            await self._trouble(status)
        elif self._asked and time.monotonic() - self._last_sign > 2 * _HEARTBEAT + 1:
            await self._trouble("no sign from the server")

    async def _trouble(self, reason: str) -> None:
        if self._ends:
            raise ConsumerGone(reason)
        log.warning("asking again", action="consume.again", consumer=self._durable.name, reason=reason)
        self._asked = 0
        await asyncio.sleep(_RETRY)


class Room:
    """Counts the free slots of a worker pool; one message is taken per free slot, never more."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._changed = asyncio.Condition()

    async def free(self) -> int:
        """Wait until at least one slot is free; returns how many are."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._free > 0)
            return self._free

    def take(self, count: int) -> None:
        """Fill `count` slots."""
        self._free -= count

    async def give(self, count: int = 1) -> None:
        """Free `count` slots."""
        async with self._changed:
            self._free += count
            self._changed.notify_all()

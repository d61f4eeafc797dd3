"""Which commands are not to be done: the stream WITHDRAWALS, read from its beginning at each start."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from pydantic import ValidationError

from stagewright.contracts.order_events import CommandsWithdrawn
from stagewright.messaging.cancellation import checkpoint
from stagewright.messaging.tailing import Tail, Tailed
from stagewright.messaging.topology import EXECUTOR_WITHDRAWALS

log = structlog.get_logger()

KEPT = 24 * 3600.0
"""Seconds that an id is remembered: as long as the stream keeps it."""
_LIMIT = 256
_RETRY = 0.5


class Withdrawals:
    """Ids of withdrawn commands; `withdrawn` is called with each that is read, also a second time."""

    def __init__(self, client: Client, withdrawn: Callable[[UUID], None], *, kept: float = KEPT) -> None:
        self._js = client.jetstream()
        self._tail = Tail(client, EXECUTOR_WITHDRAWALS, limit=_LIMIT, missing=self._missing)
        self._withdrawn = withdrawn
        self._kept = kept
        self._known: dict[UUID, float] = {}
        self._read: tuple[str, int] = ("", 0)
        self._moved = asyncio.Event()

    def __contains__(self, command: UUID) -> bool:
        return command in self._known

    def __len__(self) -> int:
        return len(self._known)

    async def run(self) -> None:
        """Read for ever."""
        async for tailed in self._tail.batches(lambda _incarnation: 0):
            self._learn(tailed)

    async def current(self) -> None:
        """Wait until everything that the stream holds when asked has been read."""
        while not await self._is_current():
            checkpoint()
            self._moved.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RETRY):
                    await self._moved.wait()

    async def _is_current(self) -> bool:
        """Asked anew each time: what was last may have expired, or the stream been made again."""
        try:
            incarnation = await self._tail.incarnation()
            state = (await self._js.stream_info(EXECUTOR_WITHDRAWALS.stream)).state
        except (NatsError, TimeoutError) as error:
            log.warning("withdrawals not known", action="withdrawals.waiting", error=type(error).__name__)
            return False
        read, last = self._read
        return not state.messages or (read == incarnation and last >= state.last_seq)

    def _learn(self, tailed: Tailed) -> None:
        now = time.monotonic()
        for msg in tailed.messages:
            for command in _commands(msg):
                self._known.pop(command, None)  # the oldest stand first, also when one is said again
                self._known[command] = now
                self._withdrawn(command)
        self._forget(now - self._kept)
        self._read = tailed.incarnation, tailed.last
        self._moved.set()

    def _forget(self, before: float) -> None:
        while self._known and next(iter(self._known.values())) < before:
            del self._known[next(iter(self._known))]

    def _missing(self) -> None:
        log.warning("there is no stream of withdrawals", action="withdrawals.missing")


def _commands(msg: Msg) -> Sequence[UUID]:
    try:
        return CommandsWithdrawn.model_validate_json(msg.data).commands
    except ValidationError:
        log.error("malformed withdrawal", action="withdrawals.malformed", subject=msg.subject)
        return ()

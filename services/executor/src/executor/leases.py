"""Leases: one executor at a time acts on an environment's service.

A lease is a key of the KV bucket `leases`; its revision is the fencing token. It is created, or taken when
its holder has not renewed it for `TTL` seconds by the server's own time stamps; it is renewed while the work
goes on and given back afterwards. A holder that was paused for longer has lost it, whether another took it or
not: its work is cancelled, and what came of it is no answer. What it started as other processes ends by
itself, because each renewal extends the work's tenure (`executor.tenure`).

The key also remembers which commands were last done under it. One that is delivered once more is done once
more, which changes nothing, but only until another was done after it: then it was answered long ago, and
doing it again would bring back what is no longer wanted.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast
from uuid import UUID

import structlog
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError

from executor.tenure import TENURE, Tenure
from stagewright.messaging.cancellation import checkpoint, completed
from stagewright.messaging.topology import ACK_WAIT, LEASES_BUCKET

log = structlog.get_logger()
T = TypeVar("T")

TTL = ACK_WAIT * 2 / 3
"""Seconds without renewal after which a lease may be taken: gone before its command is delivered again."""

_HELD = 3 / 4
"""Part of the TTL after which a holder that could not renew gives up, so that its work can end in time."""
_TENURE = 7 / 8
"""Part of the TTL after which other processes end by themselves: nobody is there to end them."""
_REMEMBERED = 16
_WRONG_LAST_SEQUENCE = {10071, 10164}
_UNREACHABLE = (NatsError, TimeoutError, OSError)


class LeaseHeld(Exception):  # noqa: N818 - a state, not a fault
    """The lease is another's, or the bus did not say; `retry_after` in seconds says when to ask again."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"not to be had for up to {retry_after:.1f} s")
        self.retry_after = retry_after


class LeaseLost(Exception):  # noqa: N818 - a state, not a fault
    """Another executor took the lease over, or it could not be renewed in time."""


class LeasePassed(Exception):  # noqa: N818 - a state, not a fault
    """The command was done under this lease, and another one after it: it was answered, and is history."""


@dataclass
class Lease:
    """A lease that is held. `revision` is the fencing token: it only grows."""

    key: str
    holder: bytes
    """Who holds it: this one run, not only this process."""
    done: tuple[bytes, ...]
    """Ids of the commands that were last done under it, oldest first."""
    revision: int
    renewed: float
    """`time.monotonic()` when the last renewal that was acknowledged was asked for."""


class Fenced(Protocol):
    """What learns the fencing token."""

    fence: int | None


class Leases:
    """Takes, renews and gives back leases, each under a holder name of its own."""

    def __init__(self, js: JetStreamContext, *, ttl: float = TTL) -> None:
        self._js = js
        self._ttl = ttl
        self._working: set[str] = set()

    async def guard(
        self, key: str, fenced: Fenced, work: Callable[[], Awaitable[T]], command: UUID | None = None
    ) -> T:
        """Run `work`, which is what `command` asks for, holding the lease; `fenced` gets its first revision.

        Raises:
            LeaseHeld: somebody else has it.
            LeasePassed: the command was done before, and another one after it.
            LeaseLost: it was lost on the way; `work` was cancelled and has ended.
        """
        # A bus that lost its storage knows no lease any more, while work under one still goes on here.
        if key in self._working:
            raise LeaseHeld(self._ttl / 4)
        self._working.add(key)
        try:
            return await self._guarded(key, fenced, work, str(command).encode() if command else b"")
        finally:
            self._working.discard(key)

    async def _guarded(self, key: str, fenced: Fenced, work: Callable[[], Awaitable[T]], command: bytes) -> T:
        try:
            lease = await self._acquire(key, command)
        except _UNREACHABLE as error:
            raise LeaseHeld(1.0) from error
        fenced.fence = lease.revision
        if self._is_late(lease):
            raise LeaseLost(key)
        tenure = Tenure(lease.renewed + self._ttl * _TENURE)
        doing = _under(tenure, work)
        renewing = asyncio.create_task(self._renew_until_lost(lease, tenure))
        stopped: asyncio.CancelledError | None = None
        try:
            checkpoint()
            await asyncio.wait({doing, renewing}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError as error:
            stopped = error
        # A withdrawal that arrives when the work is done is too late: what was done is what is answered.
        finished = doing.done() and not doing.cancelled()
        if await completed(self._close(lease, doing, renewing, command)):
            raise LeaseLost(key)
        if stopped is not None and not finished:
            raise stopped
        if stopped is not None:
            cast("asyncio.Task[Any]", asyncio.current_task()).uncancel()
        return doing.result()

    async def _close(
        self, lease: Lease, doing: "asyncio.Task[T]", renewing: "asyncio.Task[None]", command: bytes
    ) -> bool:
        """End what still runs and give the lease back; True where it was lost."""
        if command and doing.done() and not doing.cancelled():
            lease.done = (*(one for one in lease.done if one != command), command)[-_REMEMBERED:]
        await _end(doing)
        lost = renewing.done() or self._is_late(lease)
        await _end(renewing)
        if not lost:
            await self._release(lease)
        return lost

    def _is_late(self, lease: Lease) -> bool:
        """It may be another's by now."""
        return time.monotonic() >= lease.renewed + self._ttl

    async def _acquire(self, key: str, command: bytes) -> Lease:
        last, value, age = await self._read(key) or (0, b"", 0.0)
        holder, *done = value.split(b" ")
        if holder and age < self._ttl:
            raise LeaseHeld(self._ttl - age)
        if command in done[:-1]:
            raise LeasePassed
        started = time.monotonic()
        lease = Lease(key, secrets.token_hex(8).encode(), tuple(done), last, started)
        revision = await self._write(lease, lease.holder)
        if revision is None:
            raise LeaseHeld(self._ttl)
        lease.revision = revision
        return lease

    async def _read(self, key: str) -> tuple[int, bytes, float] | None:
        """(revision, value, age in seconds); None where the key was never there or has expired."""
        try:
            raw = await self._js.get_msg(f"KV_{LEASES_BUCKET}", subject=_subject(key), direct=True)
        except NotFoundError:
            return None
        age = time.time() - raw.time.timestamp() if raw.time else self._ttl
        return raw.seq or 0, raw.data or b"", age

    async def _write(self, lease: Lease, holder: bytes) -> int | None:
        """The new revision; None where somebody else wrote after the lease's. Nobody's name gives it back."""
        key, value = lease.key, b" ".join((holder, *lease.done))
        try:
            ack = await self._js.publish(
                _subject(key),
                value,
                timeout=5,
                stream=f"KV_{LEASES_BUCKET}",
                headers={"Nats-Expected-Last-Subject-Sequence": str(lease.revision)},
            )
        except APIError as error:
            if error.err_code not in _WRONG_LAST_SEQUENCE:
                raise
            # The write may be ours, its acknowledgement lost: then we hold what we find.
            found = await self._read(key)
            return found[0] if found and holder and found[1] == value else None
        return ack.seq

    async def _renew_until_lost(self, lease: Lease, tenure: Tenure) -> None:
        while True:
            checkpoint()
            await asyncio.sleep(self._ttl / 4)
            if self._is_late(lease):
                log.warning("not renewed in time", action="lease.lost", key=lease.key)
                return
            started = time.monotonic()
            last = lease.renewed + self._ttl * _HELD
            try:
                # A silent bus must not keep us beyond the moment when the lease may be another's.
                async with asyncio.timeout(max(last - started, self._ttl / 8)):
                    revision = await self._write(lease, lease.holder)
            except _UNREACHABLE as error:
                if time.monotonic() < last:
                    continue
                log.warning(
                    "lease not renewed", action="lease.lost", key=lease.key, error=type(error).__name__
                )
                return
            if revision is None:
                log.warning("lease taken over", action="lease.lost", key=lease.key, revision=lease.revision)
                return
            lease.revision, lease.renewed = revision, started
            tenure.extend(started + self._ttl * _TENURE)

    async def _release(self, lease: Lease) -> None:
        """Give it back; where that fails it expires."""
        with contextlib.suppress(*_UNREACHABLE):
            await self._write(lease, b"")


def _subject(key: str) -> str:
    return f"$KV.{LEASES_BUCKET}.{key}"


def _under(tenure: Tenure, work: Callable[[], Awaitable[T]]) -> "asyncio.Task[T]":
    """Begin the work, which knows its tenure."""
    token = TENURE.set(tenure)
    try:
        return asyncio.ensure_future(work())
    finally:
        TENURE.reset(token)


async def _end(task: "asyncio.Future[Any]") -> None:
    """Cancel and wait until it has really ended."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # looked at, so that the loop does not report it as never retrieved

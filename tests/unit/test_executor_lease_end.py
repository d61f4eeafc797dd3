"""A withdrawal that arrives when the work is done is too late: the result is what is answered."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from nats.js.errors import NotFoundError

from executor.leases import Leases
from stagewright.messaging.cancellation import completed


class Bucket:
    """A bus that keeps what gives a lease back waiting until `go`."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.giving_back, self.go = asyncio.Event(), asyncio.Event()

    async def get_msg(self, *_: object, **__: object) -> Any:
        raise NotFoundError

    async def publish(self, _subject: str, value: bytes, **_: object) -> Any:
        if value.startswith(b" ") or not value:
            self.giving_back.set()
            await self.go.wait()
        self.written.append(value)
        return SimpleNamespace(seq=len(self.written))


def guarding(bucket: Bucket, work: Callable[[], Awaitable[str]]) -> "asyncio.Task[str]":
    leases = Leases(bucket)  # type: ignore[arg-type]
    return asyncio.create_task(leases.guard("e.s", SimpleNamespace(fence=None), work, uuid4()))


async def test_the_result_stands_while_the_lease_is_given_back() -> None:
    bucket = Bucket()

    async def work() -> str:
        return "removed"

    guarded = guarding(bucket, work)
    await bucket.giving_back.wait()
    guarded.cancel()
    await asyncio.sleep(0)
    guarded.cancel()
    bucket.go.set()
    assert await guarded == "removed"
    assert guarded.cancelling() == 0
    assert len(bucket.written) == 2


async def test_the_result_stands_where_both_arrive_at_once() -> None:
    bucket, go = Bucket(), asyncio.Event()
    bucket.go.set()

    async def work() -> str:
        await go.wait()
        guarded.cancel()
        return "removed"

    guarded = guarding(bucket, work)
    await asyncio.sleep(0.01)
    go.set()
    assert await guarded == "removed"
    assert guarded.cancelling() == 0


async def test_work_that_goes_on_is_stopped_and_the_lease_given_back() -> None:
    bucket = Bucket()
    begun = asyncio.Event()

    async def work() -> str:
        begun.set()
        await asyncio.Event().wait()
        return "removed"

    guarded = guarding(bucket, work)
    await begun.wait()
    guarded.cancel()
    await bucket.giving_back.wait()
    assert not guarded.done()
    bucket.go.set()
    with pytest.raises(asyncio.CancelledError):
        await guarded
    assert len(bucket.written) == 2


async def test_what_must_be_completed_fails_as_it_fails() -> None:
    async def broken() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await completed(broken())

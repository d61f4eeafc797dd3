"""Leases on a real bus: one holder, taken over when its holder is silent, the late holder cancelled."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from uuid import uuid4

import pytest
from nats.js import JetStreamContext

from executor.leases import LeaseHeld, LeaseLost, LeasePassed, Leases
from tests.support.eventually import eventually
from tests.support.executor_bus import executor_bus
from tests.support.parts import NatsServer, fresh_layout, run_nats

TTL = 0.6


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with fresh_layout() as layout, run_nats(layout, users=True) as found:
        yield found


@pytest.fixture
async def js(server: NatsServer) -> AsyncIterator[JetStreamContext]:
    async with executor_bus(server) as bus:
        client = await bus.executor()
        yield client.jetstream()
        await client.close()


def fenced() -> SimpleNamespace:
    return SimpleNamespace(fence=None)


class Slow(Leases):
    """A holder that was paused: it renews no more, and does not know."""

    async def _renew_until_lost(self, lease, tenure) -> None:
        await self.woken.wait()
        await super()._renew_until_lost(lease, tenure)

    def __init__(self, js: JetStreamContext) -> None:
        super().__init__(js, ttl=TTL)
        self.woken = asyncio.Event()


async def test_one_holds_it_and_the_next_gets_it_after(js: JetStreamContext) -> None:
    go, holder = asyncio.Event(), fenced()
    first = asyncio.create_task(Leases(js, ttl=TTL).guard("3.7", holder, go.wait))
    await eventually(lambda: holder.fence)

    with pytest.raises(LeaseHeld) as held:
        await Leases(js, ttl=TTL).guard("3.7", fenced(), noop)
    assert 0 < held.value.retry_after <= TTL
    go.set()
    assert await first is True
    assert await Leases(js, ttl=TTL).guard("3.7", fenced(), noop) == "done"


async def noop() -> str:
    return "done"


async def test_other_services_and_environments_do_not_wait(js: JetStreamContext) -> None:
    started = asyncio.Barrier(3)
    keys = ("3.7", "3._", "4.7")
    async with asyncio.timeout(5):
        await asyncio.gather(*(Leases(js, ttl=TTL).guard(key, fenced(), started.wait) for key in keys))


async def test_work_longer_than_the_lease_keeps_it(js: JetStreamContext) -> None:
    async def long() -> str:
        await asyncio.sleep(3 * TTL)
        return "done"

    holder = fenced()
    first = asyncio.create_task(Leases(js, ttl=TTL).guard("3.7", holder, long))
    await eventually(lambda: holder.fence)
    refusals = 0
    while not first.done():
        try:
            await Leases(js, ttl=TTL).guard("3.7", fenced(), noop)
        except LeaseHeld:
            refusals += 1
        await asyncio.sleep(TTL / 3)
    assert await first == "done"
    assert refusals >= 6


async def test_a_silent_holder_is_taken_over_with_a_higher_fence_and_cancelled(js: JetStreamContext) -> None:
    paused, ended = Slow(js), asyncio.Event()
    old, new = fenced(), fenced()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    late = asyncio.create_task(paused.guard("3.7", old, endless))
    go = asyncio.Event()

    async def taken() -> asyncio.Task:
        task = asyncio.create_task(Leases(js, ttl=TTL).guard("3.7", new, go.wait))
        done, _ = await asyncio.wait({task}, timeout=0.1)
        assert not (done and task.exception())
        return task

    await eventually(lambda: old.fence)
    second = await eventually(taken)
    assert new.fence > old.fence
    paused.woken.set()
    with pytest.raises(LeaseLost):
        await late
    assert ended.is_set()
    go.set()
    assert await second is True


class Silenced:
    """A bus that takes what is published and answers nothing, once it is `silent`."""

    def __init__(self, js: JetStreamContext) -> None:
        self._js = js
        self.silent = False

    async def publish(self, *args, timeout: float, **options):
        if self.silent:
            await asyncio.sleep(timeout)
            raise TimeoutError
        return await self._js.publish(*args, timeout=timeout, **options)

    async def get_msg(self, *args, **options):
        return await self._js.get_msg(*args, **options)


async def test_a_holder_whose_bus_is_silent_stops_before_another_may_begin(js: JetStreamContext) -> None:
    bus, holder, ended = Silenced(js), fenced(), asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    work = asyncio.create_task(Leases(bus, ttl=TTL).guard("3.7", holder, endless))
    await eventually(lambda: holder.fence)
    bus.silent = True
    async with asyncio.timeout(TTL):
        await ended.wait()
    with pytest.raises(LeaseLost):
        await work


async def test_a_command_is_done_again_until_another_was_done_after_it(js: JetStreamContext) -> None:
    first, second = uuid4(), uuid4()
    leases = Leases(js, ttl=TTL), Leases(js, ttl=TTL)
    for command in (first, first, second, second):
        assert await leases[0].guard("8.7", fenced(), noop, command) == "done"
    with pytest.raises(LeasePassed):
        await leases[1].guard("8.7", fenced(), noop, first)
    assert await leases[1].guard("8.8", fenced(), noop, first) == "done", "another service's"


async def test_work_that_was_cancelled_does_not_count_as_done(js: JetStreamContext) -> None:
    first, second, holder = uuid4(), uuid4(), fenced()
    leases = Leases(js, ttl=TTL)
    late = asyncio.create_task(leases.guard("9.7", holder, asyncio.Event().wait, first))
    await eventually(lambda: holder.fence)
    late.cancel()
    await asyncio.wait({late})
    assert await leases.guard("9.7", fenced(), noop, second) == "done"
    assert await leases.guard("9.7", fenced(), noop, first) == "done"


async def test_a_failure_of_the_work_gives_the_lease_back(js: JetStreamContext) -> None:
    async def failing() -> None:
        raise ValueError

    with pytest.raises(ValueError):
        await Leases(js, ttl=TTL).guard("3.7", fenced(), failing)
    assert await Leases(js, ttl=TTL).guard("3.7", fenced(), noop) == "done"


async def test_a_bus_that_forgot_the_lease_starts_no_second_work_beside_the_first(
    js: JetStreamContext,
) -> None:
    leases, holder, ended = Leases(js, ttl=TTL), fenced(), asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    first = asyncio.create_task(leases.guard("3.7", holder, endless))
    await eventually(lambda: holder.fence)
    await js.publish("$KV.leases.3.7", b"")  # as if nobody held it
    with pytest.raises(LeaseHeld):
        await leases.guard("3.7", fenced(), noop)
    with pytest.raises(LeaseLost):
        await first
    assert ended.is_set()
    assert await leases.guard("3.7", fenced(), noop) == "done"

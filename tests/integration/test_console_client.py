"""The client against a real nats-server with the console's permissions."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from console.client import Unreachable, connected
from console.following import Entry
from console.waiting import wait_for_end
from stagewright.contracts.events import ServiceDeployed
from stagewright.contracts.logs import TaskLog
from stagewright.contracts.order_events import OrderEnded, OrderPlanned
from stagewright.errors import Terminal
from stagewright.messaging import topology
from stagewright.settings import NatsSettings, Settings
from tests.support.console_backend import Backend, backend
from tests.support.console_bus import Bus, bus
from tests.support.console_messages import AT, Running
from tests.support.eventually import eventually

ORDER = b"environment_id: '3'\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Bus]:
    with bus(tmp_path / "bus") as running:
        yield running


@pytest.fixture
async def system(server: Bus) -> AsyncIterator[Backend]:
    async with backend(server) as serving:
        yield serving


def settings(server: Bus) -> Settings:
    return Settings(nats=NatsSettings(url=server.url, credentials=server.credentials))


async def test_submit_is_accepted_and_again_a_duplicate(server: Bus, system: Backend) -> None:
    async with connected(settings(server)) as console:
        first = await console.submit(ORDER, "order-1")
        again = await console.submit(ORDER, "order-1")
    assert (first.status, again.status) == ("accepted", "duplicate")
    assert first.receipt == again.receipt


async def test_a_lost_reply_is_asked_for_again_under_the_same_id(
    server: Bus, system: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.asking._TRY", 0.3)
    system.swallow = 1
    async with connected(settings(server)) as console:
        reply = await console.submit(ORDER)
    assert reply.status == "duplicate"
    assert list(system.submits.values()) == [2]
    assert list(system.submits) == [reply.order_id]


async def test_nobody_listening_is_unreachable(server: Bus) -> None:
    async with connected(settings(server)) as console:
        with pytest.raises(Unreachable) as raised:
            await console.submit(ORDER, timeout=0.3)
        assert raised.value.info.code == "bus.no_answer"
        with pytest.raises(Unreachable):
            await console.health()


async def test_no_server_is_unreachable_soon(server: Bus) -> None:
    server.stop()
    began = asyncio.get_running_loop().time()
    with pytest.raises(Unreachable) as raised:
        async with connected(settings(server)):
            pass
    assert raised.value.info.code == "bus.unreachable"
    assert asyncio.get_running_loop().time() - began < 2


async def test_a_missing_key_file_is_named(server: Bus) -> None:
    nowhere = Settings(nats=NatsSettings(url=server.url, credentials=server.home / "nowhere"))
    with pytest.raises(Unreachable, match=r"console\.nk does not exist"):
        async with connected(nowhere):
            pass


async def test_queries_answer_and_an_unknown_id_is_an_error(server: Bus, system: Backend) -> None:
    async with connected(settings(server)) as console:
        await console.submit(ORDER, "order-1")
        assert (await console.orders()).orders[0].order_id == "order-1"
        assert (await console.order("order-1")).environment_id == "3"
        assert (await console.order_events("order-1")).events[0].type == "OrderReceived.v1"
        assert (await console.environment("3")).domains
        assert (await console.health()).status == "ready"
        with pytest.raises(Terminal) as raised:
            await console.order("nobody")
    assert raised.value.info.code == "query.not_found"


async def test_follow_tells_everything_once_and_ends_with_the_order(server: Bus, system: Backend) -> None:
    async with connected(settings(server)) as console:
        await console.submit(ORDER, "order-1")
        live = [entry async for entry in console.follow("order-1")]
        past = [entry async for entry in console.follow("order-1")]
    assert isinstance(live[-1].message, OrderEnded)
    assert len({(entry.stream, entry.sequence) for entry in live}) == len(live)
    assert sum(isinstance(entry.message, ServiceDeployed) for entry in live) == 3
    assert sum(isinstance(entry.message, TaskLog) for entry in live) == 24
    assert sum(isinstance(entry.message, OrderPlanned) for entry in live) == 1
    key = [(entry.stream, entry.sequence) for entry in live]
    assert sorted(key) == sorted((entry.stream, entry.sequence) for entry in past)


async def test_follow_hears_nothing_of_other_orders(server: Bus, system: Backend) -> None:
    await system.run("other")
    async with connected(settings(server)) as console:
        await console.submit(ORDER, "order-1")
        entries = [entry async for entry in console.follow("order-1")]
    assert {entry.message.order_id for entry in entries} == {"order-1"}


async def test_follow_survives_a_restart_of_the_server(
    server: Bus, system: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.following._HEARTBEAT", 0.2)
    monkeypatch.setattr("console.following._SILENCE", 0.5)
    system.step = 0.1
    entries: list[Entry] = []
    async with connected(settings(server)) as console:
        await console.submit(ORDER, "order-1")
        waiting = asyncio.create_task(wait_for_end(console, "order-1", entries.append))
        await eventually(lambda: len(entries) > 1)
        await system.stop()
        server.stop()
        server.start()
        await eventually(lambda: system.client.is_connected)
        await system.run("order-1")
        assert await asyncio.wait_for(waiting, 20) == "succeeded"
    numbers = [(entry.stream, entry.sequence) for entry in entries]
    assert len(numbers) == len(set(numbers))
    assert sum(isinstance(entry.message, ServiceDeployed) for entry in entries) == 3


async def test_the_query_ends_the_wait_where_the_streams_forgot(
    server: Bus, system: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.waiting._FIRST_LOOK", 0.05)
    monkeypatch.setattr("console.waiting._GRACE", 0.05)
    system.orders["old"] = Running("old", {}, "alice", status="failed", finished_at=AT)
    async with connected(settings(server)) as console:
        assert await asyncio.wait_for(wait_for_end(console, "old", lambda _: None), 10) == "failed"


async def test_the_console_cannot_publish_a_command(server: Bus, system: Backend) -> None:
    async with connected(settings(server)) as console:
        await console._client.publish("commands.inspect.3.order-1", b"{}")
        await console._client.flush()
        info = await system.client.jetstream().stream_info(topology.COMMANDS)
    assert info.state.messages == 0

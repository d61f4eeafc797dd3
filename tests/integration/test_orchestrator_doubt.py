"""The orchestrator over a store whose answers get lost: what was stored is told to all who must hear."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.errors import NoRespondersError

from orchestrator.main import Orchestrator
from orchestrator.store.codec import Recorded
from orchestrator.store.event_store import Append, ConcurrentAppend, EventStore
from stagewright.messaging.connecting import BusHealth
from stagewright.settings import NatsSettings, Settings
from tests.support.eventually import eventually
from tests.support.orchestrating import Bench, orchestrating
from tests.support.parts import NatsServer, fresh_layout, run_nats
from tests.support.saga import received


class Forgetful(EventStore):
    """Stores, and loses the answer to one append: what an ambiguous commit looks like from outside."""

    lost = 0
    at = 1

    def append(self, batch: Sequence[Append], positions: Mapping[str, int] | None = None) -> list[Recorded]:
        stored = super().append(batch, positions or {})
        self.at -= 1
        if self.at == 0:
            self.lost += 1
            raise ConcurrentAppend("the version is taken")
        return stored


@pytest.fixture
def bus() -> Iterator[NatsServer]:
    with fresh_layout() as layout, run_nats(layout) as server:
        yield server


@asynccontextmanager
async def inside(bus: NatsServer, directory: Path, store: EventStore) -> AsyncIterator[Bench]:
    """An orchestrator over the store, in this process."""
    async with orchestrating(bus, directory, start=False) as bench:
        settings = Settings(data_dir=directory, profile="test", nats=NatsSettings(url=bus.url))
        orchestrator = Orchestrator(settings, bench.client, store, BusHealth(connected=True))
        work = asyncio.create_task(orchestrator.run())
        try:
            yield bench
        finally:
            work.cancel()
            ended, _ = await asyncio.wait({work}, timeout=5)
            assert ended, "the cancellation was lost"
            orchestrator.close()
            store.close()


async def serving(bench: Bench) -> bool:
    try:
        return bool((await bench.query("system.health"))["status"] == "ready")
    except NoRespondersError:
        return False


async def test_it_stops_at_once_also_while_it_starts(bus: NatsServer, tmp_path: Path) -> None:
    """The bus client swallows a cancellation that meets it in a flush."""
    for moment in range(40):
        directory = tmp_path / str(moment)
        async with inside(bus, directory, EventStore.open("", directory)):
            for _ in range(moment):
                await asyncio.sleep(0)


@pytest.mark.parametrize("at", [1, 3])
async def test_an_order_ends_although_the_answer_to_an_append_was_lost(
    bus: NatsServer, tmp_path: Path, at: int
) -> None:
    store = Forgetful.open("", tmp_path)
    store.at = at
    async with inside(bus, tmp_path, store) as bench:
        await eventually(lambda: serving(bench), until=bool)
        await bench.send(received())
        await eventually(lambda: bench.show("o1"), until=lambda seen: seen.get("status") == "succeeded")
        assert store.lost == 1

"""The event store's contract, on SQLite and on PostgreSQL: written once, run against each."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from orchestrator.domain.facts import EnvironmentClaimed, OrderQueued
from orchestrator.domain.world import order_stream
from orchestrator.store.event_store import Append, ConcurrentAppend, EventStore
from stagewright.contracts.base import Message
from stagewright.errors import Terminal
from tests.support.parts import Postgres
from tests.support.saga import received

AT = "2026-01-01T00:00:00.000000Z"
Opener = Callable[[], EventStore]


def row(stream: str, version: int, event: Message | None = None) -> Append:
    return Append(stream, version, event or EnvironmentClaimed(environment="3", order_id="o1"), AT, "cause-1")


class StoreContract:
    """Every store keeps these."""

    @pytest.fixture
    def opener(self) -> Opener:
        raise NotImplementedError

    @pytest.fixture
    def store(self, opener: Opener) -> Iterator[EventStore]:
        store = opener()
        yield store
        store.close()

    def test_an_empty_log_has_nothing(self, store: EventStore) -> None:
        assert (store.last_position(), store.read(0, 10), store.load("environment/3")) == (0, [], [])

    def test_what_was_appended_is_loaded_as_it_was(self, store: EventStore) -> None:
        message = received()
        store.append([row(order_stream("o1"), 1, message), row(order_stream("o1"), 2)])
        loaded = store.load(order_stream("o1"))
        assert [entry.version for entry in loaded] == [1, 2]
        assert loaded[0].event == message
        assert (loaded[0].at, loaded[0].cause) == (AT, "cause-1")

    def test_a_batch_over_several_streams_is_one_sequence(self, store: EventStore) -> None:
        stored = store.append([row("environment/3", 1), row("environment/4", 1), row("environment/3", 2)])
        positions = [entry.position for entry in stored]
        assert positions == sorted(set(positions))
        assert [(entry.position, entry.stream) for entry in store.read(0, 10)] == [
            (entry.position, entry.stream) for entry in stored
        ]

    def test_reading_goes_on_after_a_position_and_stops_at_the_limit(self, store: EventStore) -> None:
        stored = store.append([row("environment/3", version) for version in range(1, 6)])
        assert [e.version for e in store.read(stored[1].position, 2)] == [3, 4]
        assert store.read(stored[-1].position, 10) == []
        assert store.last_position() == stored[-1].position

    def test_a_taken_version_refuses_the_whole_batch(self, store: EventStore) -> None:
        store.append([row("environment/3", 1)])
        with pytest.raises(ConcurrentAppend):
            store.append([row("environment/4", 1), row("environment/3", 1)])
        assert store.load("environment/4") == []
        store.append([row("environment/4", 1), row("environment/3", 2)])
        assert len(store.read(0, 10)) == 3

    def test_a_position_moves_with_the_batch_or_not_at_all(self, store: EventStore) -> None:
        assert store.position("relay") == 0
        store.append([row("environment/3", 1)], {"relay": 7})
        assert store.position("relay") == 7
        with pytest.raises(ConcurrentAppend):
            store.append([row("environment/3", 1)], {"relay": 9, "other": 1})
        assert (store.position("relay"), store.position("other")) == (7, 0)

    def test_a_position_never_moves_back(self, store: EventStore) -> None:
        store.save_position("relay", 5)
        store.save_position("relay", 3)
        assert store.position("relay") == 5

    def test_everything_is_there_after_opening_again(self, opener: Opener) -> None:
        first = opener()
        first.append([row("environment/3", 1)], {"relay": 1, "orders": 2})
        identity = first.identity()
        first.close()
        second = opener()
        assert [entry.version for entry in second.load("environment/3")] == [1]
        assert (second.position("relay"), second.identity()) == (1, identity)
        second.close()

    def test_a_large_batch_keeps_its_order(self, store: EventStore) -> None:
        batch = [
            row(f"environment/{n % 7}", n // 7 + 1, OrderQueued(environment=str(n), order_id=f"o{n}"))
            for n in range(700)
        ]
        store.append(batch)
        assert [getattr(entry.event, "order_id", "") for entry in store.read(0, 1000)] == [
            f"o{n}" for n in range(700)
        ]


class TestSQLite(StoreContract):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        return lambda: EventStore.open("", tmp_path)

    def test_the_log_is_readable_by_its_owner_alone(self, tmp_path: Path) -> None:
        directory = tmp_path / "new"
        EventStore.open("", directory).close()
        assert directory.stat().st_mode & 0o077 == 0


class TestPostgreSQL(StoreContract):
    @pytest.fixture
    def opener(self, postgres: Postgres, tmp_path: Path) -> Opener:
        name = f"events_{uuid4().hex[:12]}"
        with psycopg.connect(postgres.dsn, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        at = postgres.settings
        address = f"postgresql://{at.user}:{postgres.password}@{at.host}:{at.port}/{name}"
        return lambda: EventStore.open(address, tmp_path)


def test_an_address_of_another_kind_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(Terminal) as caught:
        EventStore.open("mysql://root@localhost/events", tmp_path)
    assert caught.value.info.code == "event_store.address"
    assert "postgresql://" in caught.value.info.remedy

"""The whole order with PostgreSQL as event store, and a restarted orchestrator that finds all of it there."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from console.client import connected
from stagewright.contracts.base import Stage
from tests.support.eventually import eventually
from tests.support.parts import Postgres
from tests.support.whole_stack import WholeStack, fresh, reached, start, submit, succeeded
from tests.support.whole_stack_facts import answered_once, facts_hold
from tests.support.whole_stack_holds import held


@pytest.fixture
def store(postgres: Postgres) -> str:
    """The address of an empty database."""
    name = fresh("events")
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
    return postgres.dsn.rpartition("/")[0] + f"/{name}"


@pytest.fixture
def whole_on_postgres(store: str, tmp_path: Path) -> Iterator[WholeStack]:
    made = start(tmp_path / "data", tmp_path, {"STAGEWRIGHT_EVENT_STORE": store})
    try:
        yield made
    finally:
        made.mend()
        made.stack.stop()


async def test_the_log_in_postgresql_carries_the_order_through_a_kill(
    whole_on_postgres: WholeStack, store: str
) -> None:
    whole, order = whole_on_postgres, whole_on_postgres.order("pg")
    async with connected(whole.settings, timeout=10) as console:
        with held(whole, Stage.DEPLOY_SERVICES):
            order_id = await submit(console, order)
            await reached(console, order_id, Stage.DEPLOY_SERVICES)
            await whole.kill("orchestrator")
        shown = await succeeded(console, order_id)
        events = await answered_once(console, order_id)
        await facts_hold(whole.scene(order))
        assert not (whole.stack.layout.root / "events.sqlite").exists()
        stored = await asyncio.to_thread(count, store)
        assert stored >= len(events.events)

        await asyncio.to_thread(whole.stack.restart_part, "orchestrator", 60)

        assert await console.order(order_id) == shown
        assert await console.order_events(order_id) == events
        again = await succeeded(console, await submit(console, order))
    assert {line.decision for line in again.plan} == {"unchanged"}
    await eventually(lambda: asyncio.to_thread(count, store), until=lambda now: now > stored)


def count(store: str) -> int:
    """How many events PostgreSQL holds."""
    with psycopg.connect(store) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.columns WHERE column_name = 'originator_version'"
        ).fetchall()
        (table,) = [name for (name,) in tables]
        found = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()  # type: ignore[call-overload]
        return int(found[0]) if found else 0

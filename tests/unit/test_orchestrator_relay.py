"""The relay, as far as it needs no bus: what it publishes again, and in which portions."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.app import relay
from orchestrator.app.relay import Relay
from orchestrator.domain.order import OrderState
from orchestrator.store.event_store import EventStore
from stagewright.messaging.publishing import Outgoing
from tests.support.eventually import eventually
from tests.support.saga import Saga, an_order, received

MOST = 1000
"""Messages that the bus acknowledges in time."""


def waiting(count: int) -> Sequence[OrderState]:
    saga = Saga()
    for number in range(count):
        saga.when(received(f"o{number}", an_order(f"e{number}")))
    return [saga.order(f"o{number}") for number in range(count)]


def _never() -> None:
    raise AssertionError("no stream is missing")


@pytest.mark.parametrize("asked", [1, 3])
async def test_everything_that_waits_is_published_again_in_portions_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: int
) -> None:
    published: list[Outgoing] = []

    async def publish_all(_js: Any, batch: Sequence[Outgoing]) -> None:
        if len(batch) > MOST:
            raise TimeoutError
        await asyncio.sleep(0)
        published.extend(batch)

    monkeypatch.setattr(relay, "publish_all", publish_all)
    store = EventStore.open("", tmp_path)
    one, states = Relay(None, store, _never), waiting(MOST + 200)  # type: ignore[arg-type]  # unasked
    for _ in range(asked):
        one.republish(states)
    work = asyncio.create_task(one.run())
    await eventually(lambda: len(published) >= len(states))
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    store.close()
    assert sorted(out.envelope.id for out in published) == sorted(
        str(command) for state in states for command in state.outstanding
    )

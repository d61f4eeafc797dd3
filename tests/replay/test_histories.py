"""Histories that were once stored replay for ever: every type that was ever written is read and folded.

A history is a file of stored events, one JSON object a line, beside the views that must come out of it. Files
are added, never changed: where a change of the code breaks one, an upcaster is missing. To add one for the
types of today, run this file: `python -m tests.replay.test_histories NAME`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.environment import EnvironmentState
from orchestrator.domain.order import OrderState
from orchestrator.domain.world import State, evolve, initial
from orchestrator.projections.views import environment_view, order_view
from orchestrator.store.codec import TYPES, decode, encode
from stagewright.clock import rfc3339
from stagewright.contracts.commands import AllocateResources, ConfigureEnvironment, DeployService
from tests.support.saga import Saga, a_drop, an_order, failure, outcome, received

HISTORIES = Path(__file__).parent / "histories"
FILES = sorted(HISTORIES.glob("*.jsonl"))


def fold(path: Path) -> dict[str, State]:
    states: dict[str, State] = {}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        event, at, _ = decode(row["type"], json.dumps(row["document"]).encode())
        states[row["stream"]] = evolve(
            row["stream"], states.get(row["stream"]) or initial(row["stream"]), event, at
        )
    return states


def views(states: dict[str, State]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for stream, state in states.items():
        if isinstance(state, OrderState):
            found[stream] = order_view(state, 443).model_dump(mode="json")
        elif isinstance(state, EnvironmentState):
            found[stream] = environment_view(state, 443).model_dump(mode="json")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_stored_history_gives_the_views_that_it_gave(path: Path) -> None:
    expected = json.loads(path.with_suffix(".views.json").read_text())
    assert views(fold(path)) == expected


def test_every_type_that_can_be_stored_is_in_some_history() -> None:
    stored = {json.loads(line)["type"] for path in FILES for line in path.read_text().splitlines()}
    assert stored >= TYPES.keys()


def a_life() -> Saga:
    """Orders that meet everything once: success, no change, a queue, retries, an occupied port, failure."""
    saga = Saga()
    saga.when(received("o1"))
    command = saga.until(AllocateResources)
    saga.when(failure(command, code="port.occupied", resource="server-1:3000")).pass_time(60).finish("o1")
    saga.when(received("o2")).when(received("o3", an_order(s7={"path": "/manager"}))).finish("o2")
    saga.when(failure(saga.until(ConfigureEnvironment, "o3"))).pass_time(60).finish("o3")
    saga.when(received("o4"))
    look = saga.outstanding("o4")[0]
    seen = outcome(look, saga.reality)
    ready = tuple(entry.model_copy(update={"health": "incomplete"}) for entry in seen.services)
    saga.reality.generation["6"] = 2
    fresh = outcome(look, saga.reality)
    saga.when(fresh.model_copy(update={"services": (fresh.services[0], *ready[1:])}))
    saga.until(DeployService, "o4")
    while not saga.order("o4").ended:
        saga.answer(order_id="o4", how=lambda command, _: failure(command)).pass_time(200)
    return _and_its_end(saga)


def _and_its_end(saga: Saga) -> Saga:
    """What people do, what comes too late, what is reversed, and the drop of everything."""
    saga.reality.health["6"] = "incomplete"
    saga.ask("retry", "o4").finish("o4").pass_time(1).answer(order_id="o4")
    saga.reality.health["6"] = "ready"
    saga.pass_time(5).answer(order_id="o4")
    saga.when(received("o5", an_order(s6={"path": "/x"}, more={"require_approval": True}))).answer(
        order_id="o5"
    )
    saga.ask("pause", "o5").ask("approve", "o5").ask("resume", "o5")
    late = saga.outstanding("o5")[0]
    saga.pass_time(1000).when(outcome(late, saga.reality)).pass_time(60)
    saga.when(received("o6")).ask("cancel", "o6").finish("o5")
    saga.when(received("o7", an_order(without="s7", s6={"path": "/y"}, more={"on_failure": "revert"})))
    saga.until(DeployService, "o7")
    saga.ask("cancel", "o7", why="a change of mind")
    saga.answer(order_id="o7", how=lambda command, _: failure(command, kind="terminal")).finish("o7")
    saga.when(received("o8", a_drop())).finish("o8")
    return saga


def write(name: str) -> None:
    """Write today's history under a new name."""
    saga = a_life()
    path = HISTORIES / f"{name}.jsonl"
    rows = []
    for change in saga.log:
        document = json.loads(encode(change.event, rfc3339(saga.now), "cause"))
        rows.append({"stream": change.stream, "type": change.event.ce_type, "document": document})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    path.with_suffix(".views.json").write_text(json.dumps(views(fold(path)), indent=1) + "\n")


if __name__ == "__main__":
    write(sys.argv[1])

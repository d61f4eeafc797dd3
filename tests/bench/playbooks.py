"""The example order with real playbooks: how much longer it takes than its slowest service, and than needed.

All on one fresh stack for each number of executor slots, with everything that npm wants in its cache before.
"""

import asyncio
import copy
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

import yaml

from console.client import Console, connected
from embedded.examples import REPOSITORIES
from embedded.mirrors import build_mirrors
from embedded.stack import Configuration, Stack
from stagewright.clock import parse_rfc3339
from stagewright.contracts.base import Stage
from stagewright.contracts.queries import AttemptView, OrderView
from tests.support.whole_stack import submit, succeeded

ORDER = REPOSITORIES.parent / "orders" / "environment-3.yml"
ROUNDS = 3
SLOTS = 4
MOVED = "7"
"""The service of the example order that gets a new commit."""


def playbooks() -> dict[str, Any]:
    """Seconds of the three-service order with slots enough and with one, of one new commit, of no change.

    Not a coroutine: a stack lives as long as the thread that starts it.
    """
    with tempfile.TemporaryDirectory(prefix="sw-bench-") as directory:
        work = Path(directory)
        side_by_side = _measured(work / "many", SLOTS, _everything)
        one_by_one = _measured(work / "one", 1, _three_services)
    return {
        "three_services_s": side_by_side["three_services_s"],
        "slowest_service_s": side_by_side["slowest_service_s"],
        "to_slowest": round(side_by_side["three_services_s"] / side_by_side["slowest_service_s"], 3),
        "one_after_another_s": one_by_one["three_services_s"],
        "to_one_after_another": round(side_by_side["three_services_s"] / one_by_one["three_services_s"], 3),
        "one_new_commit_s": side_by_side["one_new_commit_s"],
        "playbooks_for_one_new_commit": side_by_side["playbooks_for_one_new_commit"],
        "no_change_s": side_by_side["no_change_s"],
    }


def _measured(directory: Path, slots: int, measure: Any) -> dict[str, Any]:
    sources, mirrors = directory / "sources", directory / "mirrors"
    shutil.copytree(REPOSITORIES, sources)
    settings = {"STAGEWRIGHT_EXECUTOR__SLOTS": str(slots)}
    made = build_mirrors(sources, mirrors)
    stack = Stack(Configuration(directory / "data", made, environment=settings, cwd=directory))
    stack.start()
    try:
        found: dict[str, Any] = asyncio.run(measure(stack, sources, mirrors))
        return found
    finally:
        stack.stop()


async def _three_services(stack: Stack, sources: Path, mirrors: Path) -> dict[str, Any]:
    async with connected(stack.settings(), timeout=10) as console:
        await _run(console, _order("warm"))
        walls, slowest = [], []
        for number in range(ROUNDS):
            view, attempts = await _run(console, _order(f"round-{number}"))
            walls.append(_seconds(view.received_at, view.finished_at))
            slowest.append(
                max(_seconds(one.started_at, one.finished_at) for one in attempts if _deploys(one))
            )
    return {
        "three_services_s": round(statistics.median(walls), 2),
        "slowest_service_s": round(statistics.median(slowest), 2),
    }


async def _everything(stack: Stack, sources: Path, mirrors: Path) -> dict[str, Any]:
    found = await _three_services(stack, sources, mirrors)
    async with connected(stack.settings(), timeout=10) as console:
        order = _order("round-0")
        (sources / "makeitsaas-manager-api" / "README.md").write_text("One more commit.\n")
        build_mirrors(sources, mirrors)
        view, attempts = await _run(console, order)
        ran = [one.service for one in attempts if _deploys(one)]
        found["one_new_commit_s"] = round(_seconds(view.received_at, view.finished_at), 2)
        found["playbooks_for_one_new_commit"] = len(ran)
        assert ran == [MOVED], f"playbooks ran for {ran}"
        view, _ = await _run(console, order)
        found["no_change_s"] = round(_seconds(view.received_at, view.finished_at), 2)
    return found


def _order(name: str) -> dict[str, Any]:
    order = copy.deepcopy(yaml.safe_load(ORDER.read_text()))
    order["environment_id"] = name
    for block in ("api", "front"):
        order[block]["domains"] = [f"{block}.{name}.test"]
    return order


async def _run(console: Console, order: dict[str, Any]) -> tuple[OrderView, tuple[AttemptView, ...]]:
    order_id = await submit(console, order)
    view = await succeeded(console, order_id, timeout=300)
    return view, (await console.attempts(order_id)).attempts


def _deploys(attempt: AttemptView) -> bool:
    return attempt.stage is Stage.DEPLOY_SERVICES


def _seconds(start: str | None, end: str | None) -> float:
    assert start is not None
    assert end is not None
    return (parse_rfc3339(end) - parse_rfc3339(start)).total_seconds()

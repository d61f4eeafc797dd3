"""What people ask of orders, over the bus and through restarts, of a real orchestrator."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from stagewright.contracts.base import Stage
from stagewright.contracts.commands import Command
from stagewright.contracts.events import CANCELLED, Outcome
from stagewright.contracts.order_events import CommandsWithdrawn
from stagewright.messaging.topology import WITHDRAWALS, withdrawal_subject
from tests.support.eventually import eventually
from tests.support.orchestrating import Bench, orchestrating
from tests.support.parts import NatsServer, fresh_layout, run_nats
from tests.support.saga import Reality, a_drop, an_order, failure, outcome, received


@pytest.fixture
def bus() -> Iterator[NatsServer]:
    with fresh_layout() as layout, run_nats(layout) as server:
        yield server


@pytest.fixture
async def bench(bus: NatsServer, tmp_path: Path) -> AsyncIterator[Bench]:
    settings = {"STAGEWRIGHT_SAGA__PROBE_BACKOFF": json.dumps({"backoff": 0.1, "backoff_cap": 0.2})}
    async with orchestrating(bus, tmp_path, **settings) as found:
        yield found


async def status(bench: Bench, wanted: str, order_id: str = "o1") -> dict[str, object]:
    """Wait until the order has this status; its view."""
    view = await eventually(
        lambda: bench.show(order_id), timeout=20, until=lambda found: found.get("status") == wanted
    )
    assert isinstance(view, dict)
    return view


def holding(stage: Stage, held: list[Command]) -> object:
    def hold(command: Command, reality: Reality) -> Outcome | None:
        if command.stage is stage:
            held.append(command)
            return None
        return outcome(command, reality)

    return hold


async def test_a_cancelled_order_is_withdrawn_on_the_bus_and_ends_with_the_answer(bench: Bench) -> None:
    held: list[Command] = []
    bench.answer = holding(Stage.CONFIGURE_ENVIRONMENT, held)  # type: ignore[assignment]
    await bench.send(received())
    await eventually(lambda: held)
    assert (await bench.ask("cancel", why="wrong branch")).status == "done"
    assert (await bench.show())["status"] == "cancelling"
    subject = withdrawal_subject("3", "o1")
    found = await eventually(lambda: bench.client.jetstream().get_last_msg(WITHDRAWALS, subject))
    assert CommandsWithdrawn.model_validate_json(found.data or b"").commands == (held[0].command_id,)
    await bench.kill()
    await bench.start()
    await bench.reply(failure(held[0], kind="terminal", code=CANCELLED))
    view = await status(bench, "cancelled")
    assert view["cancelled_by"] == "bob"
    assert view["error"]["reason"] == "cancelled by bob: wrong branch."  # type: ignore[index]
    refused = await bench.ask("cancel", "o1")
    assert refused.error is not None
    assert refused.error.code == "order.ended"


async def test_a_paused_order_stays_so_over_a_restart_and_goes_on_when_resumed(bench: Bench) -> None:
    held: list[Command] = []
    bench.answer = holding(Stage.ALLOCATE_RESOURCES, held)  # type: ignore[assignment]
    await bench.send(received())
    await eventually(lambda: held)
    assert (await bench.ask("pause")).status == "done"
    await bench.kill()
    bench.answer = outcome
    await bench.reply(outcome(held[0], bench.reality))
    await bench.start()
    await status(bench, "paused")
    found = await eventually(bench.show, until=lambda view: view["stages"][2]["status"] == "succeeded")
    assert found["status"] == "paused"
    assert found["stages"][3]["status"] == "pending"
    assert (await bench.ask("resume")).status == "done"
    await status(bench, "succeeded")


async def test_nobody_approved_while_nobody_was_there(bus: NatsServer, tmp_path: Path) -> None:
    settings = {"STAGEWRIGHT_SAGA__APPROVAL": '["prod-*"]', "STAGEWRIGHT_SAGA__APPROVAL_TIMEOUT": "1.5"}
    async with orchestrating(bus, tmp_path, **settings) as bench:
        await bench.send(received(order=an_order("prod-1")))
        view = await status(bench, "awaiting_approval")
        assert view["approval"]["approved_by"] is None  # type: ignore[index]
        refused = await bench.ask("approve", by="ann")
        assert refused.error is not None
        assert refused.error.code == "approval.own_order"
        await bench.kill()
        await bench.start()
        view = await status(bench, "failed")
        assert view["error"]["code"] == "approval.expired"  # type: ignore[index]
        await bench.send(received("o2", an_order("prod-1")))
        await status(bench, "awaiting_approval", "o2")
        assert (await bench.ask("approve", "o2")).status == "done"
        view = await status(bench, "succeeded", "o2")
        assert view["approval"]["approved_by"] == "bob"  # type: ignore[index]


async def test_what_cannot_be_is_refused_with_reason_and_remedy(bench: Bench) -> None:
    refused = await bench.ask("cancel", "nobody")
    assert refused.status == "refused"
    assert refused.error is not None
    assert (refused.error.code, refused.error.kind) == ("order.unknown", "terminal")
    reply = await bench.person.request("control.orders.cancel", b'{"order_id": 7}', timeout=2)
    assert json.loads(reply.data)["error"]["code"] == "control.malformed"


async def test_a_retry_goes_on_from_what_failed(bench: Bench) -> None:
    bench.answer = lambda command, reality: (
        failure(command, kind="terminal") if command.target == "7" else outcome(command, reality)
    )
    await bench.send(received())
    await status(bench, "failed")
    bench.answer = outcome
    before = len(bench.commands)
    assert (await bench.ask("retry")).status == "done"
    await status(bench, "succeeded")
    again = [(command.stage.value, command.target) for command in bench.commands[before:]]
    assert again == [("inspect", None), ("deploy_services", "7"), ("update_routes", None)]
    attempts = (await bench.query("orders.attempts", order_id="o1"))["attempts"]
    failed = [(entry["service"], entry["error"]["code"]) for entry in attempts if entry["error"]]
    assert failed == [("7", "test.failed")]


async def test_plans_and_rollbacks_are_answered_from_the_log(bench: Bench) -> None:
    await bench.send(received())
    await status(bench, "succeeded")
    await bench.send(received("p1", an_order(s6={"path": "/new"}), purpose="plan"))
    await eventually(lambda: bench.query("plans.show", plan_id="p1"), until=lambda found: "services" in found)
    plan = await bench.query("plans.show", plan_id="p1")
    assert [(line["service"], line["decision"], line["basis"]) for line in plan["services"]] == [
        ("6", "update", "verified"),
        ("7", "unchanged", "verified"),
        ("8", "unchanged", "verified"),
    ]
    asked = an_order(s6={"path": "/new"}).model_dump(mode="json", exclude_defaults=True)
    believed = await bench.query("plans.believed", order=asked)
    assert believed["changes"]
    assert {line["basis"] for line in believed["services"]} == {"believed"}
    listed = await bench.query("orders.list")
    assert [row["order_id"] for row in listed["orders"]] == ["o1"]
    await bench.send(received("o2", a_drop()))
    await status(bench, "succeeded", "o2")
    order = (await bench.query("orders.rollback", environment_id="3", to="o1"))["order"]
    assert {spec["repository"]["version"] for spec in order["api"]["services"]} == {
        bench.reality.commit("6"),
        bench.reality.commit("7"),
    }
    refused = await bench.query("orders.rollback", environment_id="3", to="o2")
    assert refused["error"]["code"] == "rollback.nothing_there"


async def test_incomplete_services_are_probed_also_after_a_restart(bench: Bench) -> None:
    bench.reality.health["7"] = "incomplete"
    await bench.send(received())
    await status(bench, "succeeded")
    await bench.kill()
    bench.reality.health["7"] = "ready"
    await bench.start()
    view = await eventually(
        lambda: bench.query("environments.show", environment_id="3"),
        until=lambda found: {service["health"] for service in found["services"]} == {"ready"},
    )
    assert view["last_order"] == "o1"

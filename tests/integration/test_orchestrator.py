"""The orchestrator as a process on a real bus: orders end, whatever dies."""

import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from orchestrator.store.event_store import Append, EventStore
from stagewright.contracts.base import CLEANING, STAGES, Stage
from stagewright.contracts.commands import Command
from stagewright.contracts.events import Outcome
from stagewright.contracts.order_events import HealthObserved
from stagewright.messaging.topology import COMMANDS, DEAD, EVENTS, ORDERS
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
    async with orchestrating(bus, tmp_path) as bench:
        yield bench


async def ended(bench: Bench, order_id: str = "o1") -> str:
    view = await eventually(
        lambda: bench.show(order_id),
        until=lambda seen: seen.get("status") in {"succeeded", "failed"},
        timeout=20,
    )
    return str(view["status"])


def effects(bench: Bench) -> Counter[tuple[str, str | None]]:
    return Counter((command.stage.value, command.target) for command in bench.commands)


async def test_an_order_goes_through_all_stages(bench: Bench) -> None:
    await bench.send(received())
    assert await ended(bench) == "succeeded"
    view = await bench.show()
    assert [(stage["stage"], stage["status"], stage["attempts"]) for stage in view["stages"]] == [
        (stage.value, "succeeded", 1) for stage in STAGES if stage not in CLEANING
    ]
    assert {service["id"]: service["decision"] for service in view["services"]} == {
        "6": "create",
        "7": "create",
        "8": "create",
    }
    assert view["services"][0]["url"] == "https://api-3.example.com/core"


async def test_the_environment_shows_what_runs_by_reference(bench: Bench) -> None:
    await bench.send(received())
    await ended(bench)
    view = await bench.query("environments.show", environment_id="3")
    service = view["services"][0]
    assert (service["server"], service["port"], service["commit"]) == (
        "server-1",
        3000,
        bench.reality.commit("6"),
    )
    assert service["secrets"][-1] == {
        "name": "DB_PASSWORD",
        "path": "environments/3/services/6/DB_PASSWORD",
        "version": 1,
    }


async def test_events_of_an_order_are_listed_from_every_stream(bench: Bench) -> None:
    await bench.send(received())
    await ended(bench)
    events = (await bench.query("orders.events", order_id="o1"))["events"]
    assert [event["position"] for event in events] == sorted({event["position"] for event in events})
    assert {event["stream"].split("/")[0] for event in events} == {"order", "environment", "server"}
    assert events[0]["type"] == "stagewright.order.received.v1"


async def test_unknown_things_are_answered_with_a_remedy(bench: Bench) -> None:
    assert (await bench.show("nobody"))["error"]["code"] == "order.unknown"
    assert (await bench.query("environments.show", environment_id="x"))["error"][
        "code"
    ] == "environment.unknown"
    assert (await bench.query("orders.show", wrong=1))["error"]["code"] == "query.malformed"
    for before in ("", "zzz", "²", "9" * 19):
        assert (await bench.query("orders.list", before=before))["error"]["resource"] == "before"


async def test_lists_are_paged_and_filtered(bench: Bench) -> None:
    for number in range(5):
        await bench.send(received(f"o{number}", an_order(f"e{number % 2}")))
    for number in range(5):
        await ended(bench, f"o{number}")
    first = await bench.query("orders.list", limit=2)
    rest = await bench.query("orders.list", limit=3, before=first["next"])
    assert [row["order_id"] for row in first["orders"] + rest["orders"]] == ["o4", "o3", "o2", "o1", "o0"]
    mine = await bench.query("orders.list", environment_id="e1")
    assert [row["order_id"] for row in mine["orders"]] == ["o3", "o1"]


async def test_orders_of_one_environment_wait_in_line(bench: Bench) -> None:
    held: list[Command] = []

    def hold(command: Command, reality: Reality) -> Outcome | None:
        if command.order_id == "o1" and command.stage is Stage.CONFIGURE_ENVIRONMENT:
            held.append(command)
            return None
        return outcome(command, reality)

    bench.answer = hold
    for name in ("o1", "o2", "o3"):
        await bench.send(received(name))
    await eventually(lambda: held)
    assert (await bench.show("o3"))["queue_position"] == 2
    assert (await bench.show("o2"))["status"] == "received"
    bench.answer = outcome
    await bench.reply(outcome(held[0], bench.reality))
    assert [await ended(bench, name) for name in ("o1", "o2", "o3")] == ["succeeded"] * 3


async def test_a_failure_is_tried_again_and_the_attempts_are_counted(bench: Bench) -> None:
    def flaky(command: Command, reality: Reality) -> Outcome:
        bad = command.stage is Stage.CREATE_VARIABLES and command.attempt < 3
        return failure(command) if bad else outcome(command, reality)

    bench.answer = flaky
    await bench.send(received())
    assert await ended(bench) == "succeeded"
    stages = {stage["stage"]: stage for stage in (await bench.show())["stages"]}
    assert stages["create_variables"]["attempts"] == 3


async def test_a_terminal_error_fails_the_order_and_says_why(bench: Bench) -> None:
    bench.answer = lambda command, reality: (
        failure(command, kind="terminal", code="variable.missing", resource="variables.SMTP")
        if command.stage is Stage.CREATE_VARIABLES
        else outcome(command, reality)
    )
    await bench.send(received())
    assert await ended(bench) == "failed"
    view = await bench.show()
    assert view["error"]["code"] == "variable.missing"
    assert {s["stage"]: s["status"] for s in view["stages"]}["deploy_services"] == "pending"


async def test_an_outcome_that_does_not_fit_fails_its_order_and_frees_the_environment(bench: Bench) -> None:
    bench.answer = lambda command, reality: (
        outcome(command, reality).model_copy(update={"services": ()})
        if command.stage is Stage.INSPECT and command.order_id == "o1"
        else outcome(command, reality)
    )
    await bench.send(received())
    assert await ended(bench) == "failed"
    assert (await bench.show())["error"]["code"] == "saga.undecidable"
    await bench.send(received("o2"))
    assert await ended(bench, "o2") == "succeeded"


@pytest.mark.parametrize("stage", list(STAGES))
async def test_killed_at_any_stage_the_order_ends_and_nothing_is_commanded_twice(
    bench: Bench, stage: Stage
) -> None:
    held: list[Command] = []

    def hold(command: Command, reality: Reality) -> Outcome | None:
        if command.stage is stage and not held:
            held.append(command)
            return None
        return outcome(command, reality)

    order_id = "o1"
    if stage in CLEANING:
        order_id = "o2"
        await bench.send(received())
        assert await ended(bench) == "succeeded"
    bench.answer = hold
    await bench.send(received(order_id, a_drop() if stage in CLEANING else None))
    await eventually(lambda: held)
    await bench.kill()
    await bench.reply(outcome(held[0], bench.reality))
    await bench.start()
    assert await ended(bench, order_id) == "succeeded"
    events = (await bench.query("orders.events", order_id=order_id))["events"]
    commands = Counter(event["body"]["command_id"] for event in events if event["body"].get("started_at"))
    assert set(commands.values()) == {1}, "each command has one outcome"
    versions: dict[str, list[int]] = {}
    for event in events:
        versions.setdefault(event["stream"], []).append(event["version"])
    assert all(seen == sorted(set(seen)) for seen in versions.values())


async def test_a_bus_that_lost_everything_does_not_stop_open_orders(bus: NatsServer, bench: Bench) -> None:
    silent = True

    def hold(command: Command, reality: Reality) -> Outcome | None:
        waits = silent and command.stage is Stage.DEPLOY_SERVICES
        return None if waits else outcome(command, reality)

    bench.answer = hold
    await bench.send(received())
    await eventually(lambda: effects(bench)[("deploy_services", "6")])
    js = bench.client.jetstream()
    for stream in (COMMANDS, EVENTS, ORDERS):
        await js.delete_stream(stream)
    silent = False
    await bench.kill()
    await bench.start()
    assert await ended(bench) == "succeeded"


async def test_the_receipt_of_an_order_outlives_the_bus(bench: Bench) -> None:
    await bench.send(received())
    await ended(bench)
    before = await bench.query("orders.receipts", order_ids=["o1", "o2"])
    js = bench.client.jetstream()
    for stream in (COMMANDS, EVENTS, ORDERS):
        await js.delete_stream(stream)
    assert await bench.stop() == 0
    await bench.start()
    assert await bench.query("orders.receipts", order_ids=["o1", "o2"]) == before
    assert [receipt["order_id"] for receipt in before["receipts"]] == ["o1"]


async def test_a_retry_that_waits_survives_a_crash(bus: NatsServer, tmp_path: Path) -> None:
    async with orchestrating(bus, tmp_path, STAGEWRIGHT_SAGA__BACKOFF="2") as bench:
        bench.answer = lambda command, reality: (
            failure(command)
            if command.stage is Stage.UPDATE_ROUTES and command.attempt == 1
            else outcome(command, reality)
        )
        await bench.send(received())
        await eventually(bench.show, until=lambda v: v.get("stages", [{}])[-1].get("status") == "retrying")
        await bench.kill()
        await bench.start()
        assert await ended(bench) == "succeeded"


async def test_the_index_is_the_same_when_built_again(bench: Bench, tmp_path: Path) -> None:
    for number in range(3):
        await bench.send(received(f"o{number}", an_order(f"e{number}")))
        await ended(bench, f"o{number}")
    before = [await bench.query("orders.list"), await bench.query("orders.events", order_id="o1")]
    assert await bench.stop() == 0
    (tmp_path / "index.sqlite").unlink()
    await bench.start()
    after = [await bench.query("orders.list"), await bench.query("orders.events", order_id="o1")]
    assert after == before


async def test_what_nobody_understands_is_buried_and_stops_nobody(bench: Bench) -> None:
    js = bench.client.jetstream()
    await js.publish(
        "orders.received.3", b"not json", stream=ORDERS, headers={"ce-type": "stagewright.order.received.v1"}
    )
    await js.publish("orders.received.3", b"{}", stream=ORDERS, headers={"ce-type": "nonsense"})
    await bench.send(received())
    assert await ended(bench) == "succeeded"
    info = await js.stream_info(DEAD)
    assert info.state.messages == 2


async def test_another_writer_is_noticed_and_the_decision_made_again(bench: Bench, tmp_path: Path) -> None:
    await bench.send(received())
    await ended(bench)
    store = EventStore.open("", tmp_path)
    taken = len(store.load("environment/3")) + 1
    foreign = HealthObserved(order_id="o1", environment="3", service="6", health="incomplete")
    store.append([Append("environment/3", taken, foreign, "2026-01-01T00:00:00.000000Z", "somebody")])
    store.close()
    await bench.send(received("o2"))
    assert await ended(bench, "o2") == "succeeded"
    assert "store.conflict" in bench.log()
    view = await bench.query("environments.show", environment_id="3")
    assert view["last_order"] == "o2"


async def test_it_runs_with_the_rights_of_its_own_user_only(tmp_path: Path) -> None:
    with fresh_layout() as layout, run_nats(layout, users=True) as bus:
        async with orchestrating(bus, tmp_path) as bench:
            assert (await bench.query("system.health"))["status"] == "ready"
            assert "ermission" not in bench.log()


async def test_streams_deleted_under_it_are_declared_again(bench: Bench) -> None:
    js = bench.client.jetstream()
    for stream in (COMMANDS, EVENTS, ORDERS):
        await js.delete_stream(stream)
    await eventually(lambda: "topology.restored" in bench.log())
    await bench.send(received())
    assert await ended(bench) == "succeeded"


async def test_a_stream_of_commands_that_is_lost_alone_is_made_and_filled_again(bench: Bench) -> None:
    silent = True
    bench.answer = lambda command, reality: None if silent else outcome(command, reality)
    await bench.send(received())
    await eventually(lambda: effects(bench)[("inspect", None)])
    await bench.client.jetstream().delete_stream(COMMANDS)
    silent = False
    await bench.send(received("o2", an_order("4")))
    assert [await ended(bench, order_id) for order_id in ("o1", "o2")] == ["succeeded"] * 2


async def test_a_bus_that_restarts_empty_is_filled_again(tmp_path: Path) -> None:
    with fresh_layout() as layout:
        with run_nats(layout) as bus:
            async with orchestrating(bus, tmp_path) as bench:
                bench.answer = lambda command, reality: (
                    None if command.stage is Stage.DEPLOY_SERVICES else outcome(command, reality)
                )
                await bench.send(received())
                await eventually(lambda: effects(bench)[("deploy_services", "6")])
                await bench.kill()
        shutil.rmtree(layout.part("nats"))
        with run_nats(layout) as bus:
            async with orchestrating(bus, tmp_path) as bench:
                assert await ended(bench) == "succeeded"
                assert not effects(bench)[("configure_environment", None)], (
                    "finished stages are not run again"
                )


async def test_a_command_that_was_answered_is_never_published_again(bus: NatsServer, tmp_path: Path) -> None:
    async with orchestrating(bus, tmp_path) as bench:
        await bench.send(received())
        await ended(bench)
        await bench.kill()
        store = EventStore.open("", tmp_path)
        assert store.position("relay") < store.last_position(), "the relay's position is behind what it did"
        store.close()
        done = len(bench.commands)
        for stream in (COMMANDS, EVENTS):
            await bench.client.jetstream().purge_stream(stream)
        await bench.client.jetstream().delete_stream(COMMANDS)
        await bench.start()
        await bench.send(received("o2", an_order("4")))
        assert await ended(bench, "o2") == "succeeded"
        assert {command.order_id for command in bench.commands[done:]} == {"o2"}

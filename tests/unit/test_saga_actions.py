"""What orders of each action decide: what is dropped, replaced, started anew, rolled back, shown."""

import pytest

from orchestrator.domain.facts import PortReleased, ServiceDropped
from orchestrator.projections import plans, rollback
from orchestrator.projections.views import environment_view
from orchestrator.store.codec import Recorded
from stagewright.contracts.base import CLEANING, Stage
from stagewright.contracts.commands import (
    Command,
    CreateVariables,
    DeleteVariables,
    DeployService,
    ReleaseResources,
    RemoveService,
    UpdateRoutes,
)
from stagewright.contracts.order_events import OrderEnded, OrderPlanned
from stagewright.contracts.orders import Order
from stagewright.errors import Terminal
from tests.support.saga import Saga, a_drop, an_order, failure, received


def decisions(saga: Saga, order_id: str) -> dict[str, str]:
    return {line.service: line.decision for line in saga.order(order_id).decisions}


def commands(saga: Saga, order_id: str) -> list[Command]:
    found = [change.event for change in saga.log if isinstance(change.event, Command)]
    return [command for command in found if command.order_id == order_id]


def deployed() -> Saga:
    return Saga().when(received()).finish()


def an_action(action: str, **fields: object) -> Order:
    return Order.model_validate({"action": action, "environment_id": "3", **fields})


# Dropping services and environments


def test_a_service_that_is_no_longer_ordered_goes_after_the_routes_have_left_it() -> None:
    saga = deployed()
    port = saga.environment().allocations["7"].port
    saga.when(received("o2", an_order(without="s7"))).finish("o2")
    assert decisions(saga, "o2") == {"6": "update", "8": "update", "7": "drop"}
    stages = [command.stage for command in commands(saga, "o2")]
    assert stages[-4:] == [
        Stage.UPDATE_ROUTES,
        Stage.REMOVE_SERVICES,
        Stage.RELEASE_RESOURCES,
        Stage.DELETE_VARIABLES,
    ]
    known = saga.environment()
    assert "7" not in known.services | known.allocations | known.secrets
    assert [change.event.port for change in saga.log if isinstance(change.event, PortReleased)] == [port]
    assert ("3", "7") not in saga.reality.running


def test_an_order_that_drops_nothing_has_no_cleaning_stage() -> None:
    saga = deployed().when(received("o2", an_order(s6={"path": "/a"}))).finish("o2")
    assert not CLEANING & {command.stage for command in commands(saga, "o2")}


def test_a_drop_takes_everything_away_in_its_order_and_a_second_one_finds_nothing() -> None:
    saga = deployed().when(received("o2", a_drop())).finish("o2")
    stages = list(dict.fromkeys(command.stage for command in commands(saga, "o2")))
    assert stages == [
        Stage.INSPECT,
        Stage.UPDATE_ROUTES,
        Stage.REMOVE_SERVICES,
        Stage.RELEASE_RESOURCES,
        Stage.DELETE_VARIABLES,
        Stage.DECONFIGURE_ENVIRONMENT,
    ]
    assert saga.reality.left("3") == {}
    assert saga.environment().empty
    saga.when(received("o3", a_drop())).finish("o3")
    assert saga.order("o3").status == "succeeded"
    planned = saga.order("o3").plan
    assert planned is not None
    assert (planned.decisions, planned.environment_decision.decision) == ((), "unchanged")
    assert [command.stage for command in commands(saga, "o3")] == [Stage.INSPECT]


def test_a_drop_may_go_without_dumps() -> None:
    saga = deployed().when(received("o2", a_drop(dump=False)))
    removal = saga.until(RemoveService, "o2")
    assert isinstance(removal, RemoveService)
    assert not removal.dump


def test_what_was_allocated_and_never_deployed_is_dropped_too() -> None:
    saga = Saga().when(received())
    saga.until(DeployService)
    for command in saga.outstanding():
        saga.when(failure(command, kind="terminal"))
    assert saga.order().status == "failed"
    saga.when(received("o2", a_drop())).finish("o2")
    assert saga.environment().empty
    assert saga.reality.left("3") == {}


def test_an_environment_that_was_dropped_comes_back_with_new_secrets() -> None:
    saga = deployed().when(received("o2", a_drop())).finish("o2")
    saga.when(received("o3")).finish("o3")
    assert {ref.version for refs in saga.environment().secrets.values() for ref in refs} == {2}


# Replacing


def test_a_service_that_changes_its_kind_is_replaced_and_its_old_place_is_cleaned_up() -> None:
    saga = deployed()
    before = saga.environment().allocations["7"]
    order = an_order(without="s7").model_dump(mode="json", exclude_defaults=True)
    page = {"id": "7", "path": "/page", "repository": {"url": "https://git.example.com/7"}, "type": "static"}
    order["front"]["services"].append(page)
    saga.when(received("o2", Order.model_validate(order))).finish("o2")
    line = next(line for line in saga.order("o2").decisions if line.service == "7")
    assert (line.decision, line.before["type"], line.after["type"]) == ("replace", "node", "static")
    removals = [command for command in commands(saga, "o2") if isinstance(command, RemoveService)]
    assert [(one.service.type, one.allocation) for one in removals] == [("node", before)]
    deletions = [command for command in commands(saga, "o2") if isinstance(command, DeleteVariables)]
    assert {path.rsplit("/", 1)[1] for path in deletions[0].paths} == {
        "DB_DATABASE",
        "DB_USERNAME",
        "DB_PASSWORD",
    }
    known = saga.environment()
    assert known.allocations["7"].bucket == "stagewright-3"
    assert (known.leftovers, known.freed, known.old_secrets) == ((), (), frozenset())


def test_a_service_on_a_server_that_is_gone_is_replaced() -> None:
    saga = deployed()
    saga.policy = type(saga.policy)(servers={"server-2": "10.0.0.2"})
    saga.when(received("o2")).answer(order_id="o2")
    assert decisions(saga, "o2") == {"6": "replace", "7": "replace", "8": "update"}
    saga.finish("o2")
    assert {one.server for one in saga.environment().allocations.values()} == {"server-2", None}
    dropped = [change.event for change in saga.log if isinstance(change.event, ServiceDropped)]
    assert {event.allocation.server for event in dropped} == {"server-1"}
    assert {event.allocation.database for event in dropped} == {None}, "the services keep their databases"


# Redeploy and maintenance


def test_a_redeploy_starts_the_named_service_anew_at_the_commit_that_runs() -> None:
    saga = deployed()
    commit = saga.environment().services["6"].commit
    saga.reality.generation["6"] = 2
    saga.when(received("o2", an_action("redeploy", service_ids=["6"]))).finish("o2")
    assert decisions(saga, "o2") == {"6": "update", "7": "unchanged", "8": "unchanged"}
    (deploy,) = [command for command in commands(saga, "o2") if isinstance(command, DeployService)]
    assert (deploy.service.id, deploy.commit, deploy.restart) == ("6", commit, True)
    assert not [command for command in commands(saga, "o2") if command.stage is Stage.UPDATE_ROUTES]


def test_a_redeploy_of_what_does_not_run_fails_and_says_what_does() -> None:
    saga = deployed().when(received("o2", an_action("redeploy", service_ids=["9"]))).finish("o2")
    error = saga.order("o2").error
    assert error is not None
    assert (error.code, error.remedy) == ("service.unknown", "Name some of 6, 7, 8.")


def test_maintenance_changes_the_routes_alone_and_lasts_until_it_is_switched_off() -> None:
    saga = deployed().when(received("o2", an_action("maintenance", maintenance=True))).finish("o2")
    assert [type(command) for command in commands(saga, "o2")[1:]] == [UpdateRoutes]
    assert saga.environment().maintenance
    assert environment_view(saga.environment(), 443).maintenance
    saga.when(received("o3", an_order(s6={"path": "/x"}))).finish("o3")
    assert saga.environment().maintenance
    saga.when(received("o4", an_action("maintenance", maintenance=False))).finish("o4")
    assert not saga.environment().maintenance


def test_maintenance_of_nothing_fails() -> None:
    saga = Saga().when(received("o1", an_action("maintenance", maintenance=True))).finish("o1")
    error = saga.order().error
    assert error is not None
    assert error.code == "environment.empty"


# Plans


def test_a_plan_changes_nothing_and_waits_for_nobody() -> None:
    saga = Saga().when(received("o1"))
    saga.when(received("p1", an_order(s6={"path": "/x"}), purpose="plan")).answer(order_id="p1")
    assert [type(event) for event in saga.last[-2:]] == [OrderPlanned, OrderEnded]
    assert saga.order("p1").status == "succeeded"
    assert saga.environment().owner == "o1"
    assert saga.environment().queue == ()
    assert plans.made(saga.order("p1")).services[0].basis == "verified"


def bound(saga: Saga, plan_id: str = "p1") -> str | None:
    order = an_order(s6={"path": "/x"}, more={"plan_id": plan_id})
    error = saga.when(received("o9", order)).finish("o9").order("o9").error
    return error.code if error else None


def planned() -> Saga:
    saga = deployed()
    return saga.when(received("p1", an_order(s6={"path": "/x"}), purpose="plan")).answer(order_id="p1")


def test_an_order_that_is_bound_to_its_plan_runs() -> None:
    assert bound(planned()) is None


def test_a_plan_holds_for_the_environment_that_it_was_made_of() -> None:
    saga = planned().when(received("o2", an_order(s7={"path": "/y"}))).finish("o2")
    assert bound(saga) == "plan.outdated"
    assert not [command for command in commands(saga, "o9") if command.stage is not Stage.INSPECT]


def test_a_plan_holds_for_the_commits_that_it_was_made_of() -> None:
    saga = planned()
    saga.reality.generation["7"] = 2
    assert bound(saga) == "plan.outdated"


def test_a_plan_holds_for_its_own_order_and_must_be_known() -> None:
    saga = deployed().when(received("p1", an_order(s6={"path": "/z"}), purpose="plan")).answer(order_id="p1")
    assert bound(saga) == "plan.other_order"
    assert bound(planned(), "p7") == "plan.unknown"


def test_a_plan_from_the_log_alone_says_since_when_it_is_believed() -> None:
    saga = deployed()
    view = plans.believed(an_order(), saga.environment(), saga.policy.servers)
    assert not view.changes
    assert {(line.decision, line.basis) for line in view.services} == {("unchanged", "believed")}
    assert {line.as_of for line in view.services} == {saga.environment().services["6"].at}
    other = an_order(without="s7", s6={"repository": {"url": "https://git.example.com/6", "version": "v2"}})
    view = plans.believed(other, saga.environment(), saga.policy.servers)
    lines = {line.service: line for line in view.services}
    assert (lines["6"].decision, lines["6"].after["commit"]) == ("update", None)
    assert lines["7"].decision == "drop"


# Roll back


def history(saga: Saga, stream: str = "environment/3") -> list[Recorded]:
    changes = [change for change in saga.log if change.stream == stream]
    return [
        Recorded(0, stream, number, "2026-01-01T00:00:00.000000Z", "", change.event)
        for number, change in enumerate(changes, 1)
    ]


def test_a_rollback_brings_commits_paths_and_versions_of_secrets_back() -> None:
    saga = deployed()
    past = saga.environment()
    saga.reality.generation |= {"6": 2, "8": 2}
    saga.when(received("o2", an_order(s6={"path": "/new"}))).finish("o2")
    saga.when(received("o3", a_drop())).finish("o3")
    saga.when(received("o4", an_order(s6={"path": "/new"}))).finish("o4")
    left = rollback.left_by(history(saga), "o1")
    assert left is not None
    order = rollback.compiled(left, "o1")
    saga.reality.generation |= {"6": 1, "8": 1}
    saga.when(received("o5", order)).finish("o5")
    assert saga.order("o5").status == "succeeded", saga.order("o5").error
    now = saga.environment()
    assert {n: (e.commit, e.service.path) for n, e in now.services.items()} == {
        n: (e.commit, e.service.path) for n, e in past.services.items()
    }
    assert now.secrets == past.secrets
    assert now.domains == past.domains
    (create,) = [command for command in commands(saga, "o5") if isinstance(command, CreateVariables)]
    assert {pin.version for entry in create.pins for pin in entry.secrets} == {1}


def test_a_rollback_is_not_undone_by_an_older_order_that_waited() -> None:
    saga = (
        deployed()
        .when(received("o2", an_order(s6={"path": "/b"})))
        .when(received("o3", an_order(s6={"path": "/c"})))
    )
    left = rollback.left_by(history(saga), "o1")
    assert left is not None
    saga.when(received("o4", rollback.compiled(left, "o1")))
    assert saga.order("o3").status == "cancelled"
    assert saga.order("o3").error.code == "order.superseded"  # type: ignore[union-attr]
    saga.finish("o2").finish("o4")
    assert saga.environment().services["6"].service.path == "/core"


def test_an_order_that_left_nothing_is_no_aim() -> None:
    saga = deployed().when(received("o2", a_drop())).finish("o2")
    left = rollback.left_by(history(saga), "o2")
    assert left is not None
    with pytest.raises(Terminal) as refused:
        rollback.compiled(left, "o2")
    assert refused.value.info.code == "rollback.nothing_there"
    assert rollback.left_by(history(saga), "o7") is None


def test_released_buckets_are_those_that_nobody_uses() -> None:
    saga = deployed()
    order = an_order().model_dump(mode="json", exclude_defaults=True)
    page = {"id": "9", "path": "/page", "repository": {"url": "https://git.example.com/9"}, "type": "static"}
    order["front"]["services"].append(page)
    saga.when(received("o2", Order.model_validate(order))).finish("o2")
    saga.when(received("o3")).finish("o3")
    (release,) = [command for command in commands(saga, "o3") if isinstance(command, ReleaseResources)]
    assert (release.buckets, [one.service for one in release.allocations]) == ((), ["9"])

"""Where several turns of an order's life meet: what was left, moved, stuck, bound or half done before."""

from typing import Any

from orchestrator.projections.views import order_view
from stagewright.contracts.base import Stage
from stagewright.contracts.commands import (
    AllocateResources,
    Command,
    CreateVariables,
    DeconfigureEnvironment,
    DeleteVariables,
    DeployService,
    RemoveService,
    UpdateRoutes,
)
from stagewright.contracts.orders import Order
from tests.support.saga import Saga, an_order, failure, outcome, received

REVERT = {"on_failure": "revert"}


def commands(saga: Saga, order_id: str) -> list[Command]:
    found = [change.event for change in saga.log if isinstance(change.event, Command)]
    return [command for command in found if command.order_id == order_id]


def of_kind(saga: Saga, order_id: str, kind: type[Command]) -> list[Any]:
    return [command for command in commands(saga, order_id) if isinstance(command, kind)]


def fail(saga: Saga, order_id: str) -> None:
    for command in saga.outstanding(order_id):
        if not command.undo:
            saga.when(failure(command, kind="terminal"))


def as_page(service: str = "7", **more: Any) -> Order:
    """The usual order, in which one API has become a page."""
    order = an_order(more=more).model_dump(mode="json", exclude_defaults=True)
    moved = next(spec for spec in order["api"]["services"] if spec["id"] == service)
    order["api"]["services"].remove(moved)
    order["front"]["services"].append(moved | {"type": "static", "path": "/page"})
    return Order.model_validate(order)


def half_moved() -> Saga:
    """Service 7 was to become a page, and deploying that failed: it runs and is routed where it was."""
    saga = Saga().when(received("o1")).finish("o1").when(received("o2", as_page()))
    saga.until(DeployService, "o2")
    fail(saga, "o2")
    return saga


def occupied(command: Command) -> Any:
    assert isinstance(command, DeployService)
    place = f"{command.allocation.server}:{command.allocation.port}"
    return failure(command, code="port.occupied", resource=place)


# Reversals


def test_a_reversal_leaves_alone_what_an_earlier_order_left_behind() -> None:
    saga = half_moved().when(received("o3", as_page(**REVERT)))
    saga.until(CreateVariables, "o3")
    fail(saga, "o3")
    saga.finish("o3")
    assert saga.order("o3").reverted
    assert [one for one in of_kind(saga, "o3", RemoveService) if one.allocation.port] == []
    assert ("3", "7") in saga.reality.running


def test_a_reversal_does_not_remove_services_from_a_server_that_left_the_settings() -> None:
    saga = Saga().when(received("o1")).finish("o1")
    saga.policy = type(saga.policy)(servers={"server-2": "10.0.0.2"})
    saga.when(received("o2", an_order(more=REVERT)))
    saga.until(DeployService, "o2")
    fail(saga, "o2")
    saga.finish("o2")
    removed = {one.allocation.server for one in of_kind(saga, "o2", RemoveService)}
    assert removed == {"server-2"}
    assert {one.server for one in saga.environment().allocations.values()} == {"server-1", None}


def test_a_reversal_keeps_the_records_that_the_environment_had() -> None:
    saga = Saga().when(received("o1")).finish("o1")
    other = an_order().model_dump(mode="json", exclude_defaults=True)
    other["api"]["domains"] = ["new-3.example.com"]
    saga.when(received("o2", Order.model_validate(other)))
    saga.until(AllocateResources, "o2")
    fail(saga, "o2")
    saga.when(received("o3", an_order(s6={"path": "/x"}, more=REVERT)))
    saga.until(DeployService, "o3")
    fail(saga, "o3")
    saga.finish("o3")
    gone = {record.name for one in of_kind(saga, "o3", DeconfigureEnvironment) for record in one.records}
    assert "api-3.example.com" not in gone
    assert "api-3.example.com" in saga.reality.records


def test_a_reversal_routes_to_where_a_service_is_that_had_to_move() -> None:
    saga = Saga().when(received("o1")).finish("o1")
    saga.reality.generation |= {"7": 2, "8": 2}
    saga.when(received("o2", an_order(more=REVERT)))
    saga.until(DeployService, "o2")
    for command in saga.outstanding("o2"):
        saga.when(occupied(command) if command.target == "7" else outcome(command, saga.reality))
    saga.pass_time(60)
    saga.until(DeployService, "o2")
    for command in saga.outstanding("o2"):
        bad = command.target == "8"
        saga.when(failure(command, kind="terminal") if bad else outcome(command, saga.reality))
    saga.finish("o2")
    assert saga.order("o2").reverted
    at = saga.reality.running["3", "7"][0].port
    assert {route.port for route in saga.reality.routes["3"] if route.service == "7"} == {at}


def test_a_service_whose_old_port_is_taken_goes_back_to_another_and_routes_follow() -> None:
    saga = Saga().when(received("o1")).finish("o1")
    saga.reality.generation["6"] = 2
    saga.when(received("o2", an_order(more=REVERT)))
    saga.until(UpdateRoutes, "o2")
    fail(saga, "o2")
    while not any(isinstance(command, DeployService) for command in saga.outstanding("o2")):
        saga.answer(order_id="o2")
    for command in saga.outstanding("o2"):
        saga.when(occupied(command))
    saga.pass_time(60).finish("o2")
    assert (saga.order("o2").status, saga.order("o2").reverted) == ("failed", True)
    at = saga.reality.running["3", "6"][0].port
    assert at != 3000
    assert {route.port for route in saga.reality.routes["3"] if route.service == "6"} == {at}


def test_a_reversal_deletes_no_secret_of_before_and_records_the_versions_of_before() -> None:
    saga = Saga().when(received("o1")).finish("o1")
    before = saga.environment().secrets
    saga.when(received("o2", as_page(**REVERT)))
    saga.until(DeployService, "o2")
    fail(saga, "o2")
    saga.finish("o2")
    deleted = {path for one in of_kind(saga, "o2", DeleteVariables) for path in one.paths}
    assert deleted == {"environments/3/services/7/CDN_PATH"}
    assert saga.environment().secrets == before


def test_a_reversal_that_was_stuck_without_an_answer_does_that_step_again() -> None:
    saga = Saga().when(received("o1")).finish("o1")
    saga.reality.generation["6"] = 2
    saga.when(received("o2", an_order(more=REVERT)))
    saga.until(UpdateRoutes, "o2")
    fail(saga, "o2")
    while not saga.order("o2").ended:
        for command in saga.outstanding("o2"):
            if isinstance(command, UpdateRoutes):
                saga.when(outcome(command, saga.reality))
        saga.pass_time(1000)
    assert saga.order("o2").status == "stuck"
    saga.ask("retry", "o2")
    assert [command.stage for command in saga.outstanding("o2")] == [Stage.DEPLOY_SERVICES]
    saga.finish("o2")
    assert saga.reality.running["3", "6"][1] == saga.environment().services["6"].commit


# Retries


def test_a_retry_of_one_service_goes_no_further_than_that_service() -> None:
    saga = half_moved().ask("retry", "o2", service="6").finish("o2")
    error = saga.order("o2").error
    assert error is not None
    assert error.code == "order.incomplete"
    assert not of_kind(saga, "o2", UpdateRoutes)
    assert not of_kind(saga, "o2", RemoveService)


def test_a_retry_does_not_do_what_a_bound_plan_did_not_say() -> None:
    saga = Saga().when(received("p1", purpose="plan")).answer(order_id="p1")
    saga.when(received("o1", an_order(more={"plan_id": "p1"})))
    saga.until(DeployService)
    fail(saga, "o1")
    saga.reality.generation["6"] = 2
    saga.ask("retry").finish()
    error = saga.order().error
    assert error is not None
    assert error.code == "plan.outdated"


def test_an_overdue_stage_of_a_failed_order_has_failed() -> None:
    saga = Saga().when(received())
    for _ in range(20):
        saga.pass_time(1000)
    assert [stage.status for stage in order_view(saga.order(), 443).stages][:2] == ["failed", "pending"]


# Places


def test_a_redeploy_starts_a_service_where_it_runs_not_where_it_was_to_go() -> None:
    saga = half_moved()
    order = {"action": "redeploy", "environment_id": "3", "service_ids": ["6", "7"]}
    saga.when(received("o3", Order.model_validate(order)))
    saga.until(DeployService, "o3")
    found = {command.service.id: command for command in of_kind(saga, "o3", DeployService)}
    assert found["7"].allocation == saga.environment().services["7"].allocation
    assert found["7"].allocation.port == 3001
    assert "http://127.0.0.1:3001" in [place.url for place in found["6"].discovery]


def test_a_redeploy_whose_port_is_taken_fails_and_the_next_update_moves_it() -> None:
    saga = Saga().when(received("o1")).finish("o1")
    order = {"action": "redeploy", "environment_id": "3", "service_ids": ["7"]}
    saga.when(received("o2", Order.model_validate(order)))
    for _ in range(5):
        if not saga.order("o2").ended:
            saga.until(DeployService, "o2")
            saga.when(occupied(saga.outstanding("o2")[0])).pass_time(100)
    error = saga.order("o2").error
    assert error is not None
    assert error.code == "port.occupied"
    saga.when(received("o3")).finish("o3")
    assert saga.order("o3").status == "succeeded"
    assert saga.environment().services["7"].allocation.port != 3001


def test_peers_of_a_service_that_had_to_move_are_told_where_it_is() -> None:
    saga = Saga().when(received("o1")).finish("o1")
    saga.reality.generation["7"] = 2
    saga.when(received("o2"))
    saga.until(DeployService, "o2")
    saga.when(occupied(saga.outstanding("o2")[0])).pass_time(60).finish("o2")
    assert saga.order("o2").status == "succeeded"
    services = saga.environment().services.values()
    told = [{peer: url for peer, _, url in entry.peers} for entry in services]
    assert {peers["7"] for peers in told} == {"http://127.0.0.1:3002"}
    saga.when(received("o3")).finish("o3")
    assert {line.decision for line in saga.order("o3").decisions} == {"unchanged"}


# Plans


def test_what_an_order_left_undone_is_in_the_next_plan_and_asks_for_approval() -> None:
    saga = Saga().when(received("o1"))
    saga.until(UpdateRoutes, "o1")
    fail(saga, "o1")
    saga.when(received("o2", an_order(more={"require_approval": True}))).answer(order_id="o2")
    planned = saga.order("o2").plan
    assert planned is not None
    assert planned.environment_decision.reasons == ("routes changes",)
    assert saga.order("o2").awaiting


def test_what_is_left_behind_is_in_the_next_plan() -> None:
    saga = half_moved().when(received("p1", as_page(), purpose="plan")).answer(order_id="p1")
    planned = saga.order("p1").plan
    assert planned is not None
    assert "service 7" in (planned.environment_decision.before["left behind"] or "")


def test_a_paused_plan_ends_when_it_is_resumed() -> None:
    saga = Saga().when(received("p1", purpose="plan")).ask("pause", "p1").answer(order_id="p1")
    saga.ask("resume", "p1")
    assert saga.order("p1").status == "succeeded"

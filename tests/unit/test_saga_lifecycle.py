"""Stopping, holding, resuming, undoing and approving orders, and what comes too late."""

import pytest

from orchestrator.domain.facts import (
    AllocationsReleased,
    CommandOverdue,
    EnvironmentReleased,
    OrderDequeued,
    ProbeScheduled,
    ReplyRefused,
    RetryScheduled,
)
from orchestrator.domain.order import status_of
from orchestrator.domain.policies import Policy, Rule
from orchestrator.projections.views import order_view
from stagewright.contracts.base import Stage
from stagewright.contracts.commands import (
    Command,
    ConfigureEnvironment,
    CreateVariables,
    DeployService,
    InspectEnvironment,
    ProbeServices,
    RemoveService,
    UpdateRoutes,
)
from stagewright.contracts.events import CANCELLED, LEASE_LOST
from stagewright.contracts.order_events import (
    ApprovalRequested,
    CommandsWithdrawn,
    HealthObserved,
    OrderApproved,
    OrderCancelled,
    OrderEnded,
    OrderPaused,
    OrderResumed,
    OrderRetried,
    ReversalBegun,
)
from stagewright.contracts.orders import OrderReceived
from stagewright.errors import Terminal
from tests.support.saga import Saga, a_drop, an_order, failure, outcome, received


def commands(saga: Saga, order_id: str = "o1") -> list[Command]:
    found = [change.event for change in saga.log if isinstance(change.event, Command)]
    return [command for command in found if command.order_id == order_id]


def refused(saga: Saga, verb: str, order_id: str = "o1", **more: str) -> str:
    with pytest.raises(Terminal) as error:
        saga.ask(verb, order_id, **more)  # type: ignore[arg-type]
    return error.value.info.code


def deploying() -> Saga:
    saga = Saga().when(received())
    saga.until(DeployService)
    return saga


# Cancelling


def test_a_cancelled_order_withdraws_what_runs_and_ends_when_it_has_stopped() -> None:
    saga = deploying()
    running = tuple(command.command_id for command in saga.outstanding())
    saga.ask("cancel", why="wrong branch").then(OrderCancelled, CommandsWithdrawn)
    assert isinstance(saga.last[1], CommandsWithdrawn)
    assert saga.last[1].commands == running
    assert status_of(saga.order()) == "cancelling"
    saga.ask("cancel").then_nothing()
    first, *others = saga.outstanding()
    saga.when(outcome(first, saga.reality))
    assert "6" in saga.environment().services
    for command in others:
        saga.when(failure(command, kind="terminal", code=CANCELLED))
    assert [type(event) for event in saga.last[-2:]] == [OrderEnded, EnvironmentReleased]
    error = saga.order().error
    assert saga.order().status == "cancelled"
    assert error is not None
    assert error.reason == "cancelled by bob: wrong branch."
    assert not [command for command in commands(saga) if isinstance(command, UpdateRoutes)]


def test_a_waiting_order_that_is_cancelled_leaves_the_queue() -> None:
    saga = deploying().when(received("o2")).when(received("o3"))
    saga.ask("cancel", "o2").then(OrderCancelled, OrderDequeued, OrderEnded)
    assert saga.environment().queue == ("o3",)
    assert saga.environment().owner == "o1"


def test_a_retry_that_waits_is_dropped_by_cancelling() -> None:
    saga = Saga().when(received())
    saga.when(failure(saga.outstanding()[0])).then(type(failure(commands(saga)[0])), RetryScheduled)
    saga.ask("cancel").then(OrderCancelled, OrderEnded, EnvironmentReleased)
    saga.pass_time(500).then_nothing()


def test_what_has_ended_cannot_be_cancelled_paused_or_resumed() -> None:
    saga = Saga().when(received()).finish()
    assert [refused(saga, verb) for verb in ("cancel", "pause", "resume", "retry")] == ["order.ended"] * 4
    assert refused(saga, "cancel", "o7") == "order.unknown"


# Pausing


def test_a_paused_order_begins_nothing_and_goes_on_when_it_is_resumed() -> None:
    saga = Saga().when(received()).ask("pause").then(OrderPaused)
    saga.ask("pause").then_nothing()
    saga.answer()
    assert not saga.outstanding()
    assert status_of(saga.order()) == "paused"
    saga.ask("resume")
    assert [type(event) for event in saga.last][:1] == [OrderResumed]
    saga.finish()
    assert saga.order().status == "succeeded"


def test_a_retry_that_comes_due_while_the_order_is_paused_waits_for_it() -> None:
    saga = Saga().when(received())
    saga.when(failure(saga.outstanding()[0])).ask("pause")
    saga.pass_time(100).then_nothing()
    saga.ask("resume").then(OrderResumed, RetryScheduled)
    saga.pass_time(0).then(InspectEnvironment)
    saga.finish()


def test_a_paused_order_can_be_cancelled() -> None:
    saga = Saga().when(received()).ask("pause").answer()
    saga.ask("cancel").then(OrderCancelled, OrderEnded, EnvironmentReleased)


# Retrying


def failed_at(service: str) -> Saga:
    saga = deploying()
    for command in saga.outstanding():
        bad = command.target == service
        saga.when(failure(command, kind="terminal") if bad else outcome(command, saga.reality))
    assert saga.order().status == "failed"
    return saga


def test_a_retry_looks_again_at_what_failed_and_does_that_alone() -> None:
    saga = failed_at("7")
    saga.reality.generation["7"] = 2
    before = len(commands(saga))
    saga.ask("retry")
    assert isinstance(saga.last[0], OrderRetried)
    saga.finish()
    assert saga.order().status == "succeeded"
    again = commands(saga)[before:]
    assert isinstance(again[0], InspectEnvironment)
    assert [service.id for service in again[0].services] == ["7"]
    assert [(command.stage, command.target) for command in again[1:]] == [
        (Stage.DEPLOY_SERVICES, "7"),
        (Stage.UPDATE_ROUTES, None),
    ]
    assert saga.environment().services["7"].commit == saga.reality.commit("7")
    assert len({command.command_id for command in commands(saga)}) == len(commands(saga))


def test_a_retried_piece_has_all_its_attempts_again() -> None:
    saga = Saga().when(received())
    saga.until(ConfigureEnvironment)
    for _ in range(3):
        saga.answer(how=lambda command, _: failure(command)).pass_time(200)
    assert saga.order().status == "failed"
    saga.ask("retry")
    (command,) = saga.outstanding()
    assert (command.stage, command.attempt) == (Stage.CONFIGURE_ENVIRONMENT, 4)
    saga.when(failure(command)).pass_time(200)
    saga.finish()
    assert saga.order().status == "succeeded"


def test_a_retry_of_one_service_leaves_the_order_unfinished() -> None:
    saga = deploying()
    for command in saga.outstanding():
        saga.when(failure(command, kind="terminal"))
    assert refused(saga, "retry", service="9") == "service.not_failed"
    saga.ask("retry", service="6").finish()
    error = saga.order().error
    assert saga.order().status == "failed"
    assert error is not None
    assert (error.code, error.resource) == ("order.incomplete", "services[7, 8]")
    saga.ask("retry").finish()
    assert saga.order().status == "succeeded"


def test_a_cancelled_order_goes_on_where_it_stopped() -> None:
    saga = Saga().when(received())
    saga.until(CreateVariables)
    saga.ask("cancel").answer(how=lambda command, _: failure(command, kind="terminal", code=CANCELLED))
    saga.ask("retry")
    assert [command.stage for command in saga.outstanding()] == [Stage.CREATE_VARIABLES]
    saga.finish()
    assert saga.order().status == "succeeded"


def test_an_older_order_is_not_retried_over_a_newer_one() -> None:
    saga = failed_at("7").when(received("o2"))
    assert refused(saga, "retry") == "order.outdated"
    saga.finish("o2")
    assert refused(saga, "retry") == "order.outdated"


# Approval


def awaiting(**more: object) -> Saga:
    return Saga().when(received(order=an_order(more={"require_approval": True, **more}))).answer()


def test_an_order_waits_for_the_approval_of_somebody_else() -> None:
    saga = awaiting()
    assert isinstance(saga.last[-1], ApprovalRequested)
    assert status_of(saga.order()) == "awaiting_approval"
    assert refused(saga, "approve", by="ann") == "approval.own_order"
    saga.ask("approve").then(OrderApproved, ConfigureEnvironment)
    saga.ask("approve").then_nothing()
    assert refused(saga, "approve", by="cara") == "approval.given"
    saga.finish()
    assert saga.order().status == "succeeded"


def test_a_rejection_and_silence_are_both_a_no() -> None:
    saga = awaiting().ask("reject", why="not on Friday").then(OrderEnded, EnvironmentReleased)
    assert saga.order().error.code == "approval.rejected"  # type: ignore[union-attr]
    assert refused(saga, "retry") == "order.denied"
    saga = awaiting().pass_time(86_399).then_nothing()
    saga.pass_time(2).then(OrderEnded, EnvironmentReleased)
    assert saga.order().error.code == "approval.expired"  # type: ignore[union-attr]
    assert refused(saga, "approve") == "approval.not_asked"


def test_the_policy_of_an_environment_asks_for_approval_and_no_change_needs_none() -> None:
    saga = Saga(Policy(approval=("prod-*",)))
    saga.when(received(order=an_order("prod-1"))).answer()
    assert saga.order().awaiting
    saga.ask("approve").finish()
    saga.when(received("o2", an_order("prod-1"))).finish("o2")
    assert saga.order("o2").status == "succeeded"


# Reversing


def reverting(**changes: object) -> object:
    return an_order(more={"on_failure": "revert"}, **changes)  # type: ignore[arg-type]


def fail(saga: Saga, order_id: str = "o1") -> None:
    for command in saga.outstanding(order_id):
        if not command.undo:
            saga.when(failure(command, kind="terminal"))


@pytest.mark.parametrize("stage", list(Stage)[1:6])
def test_a_first_order_that_fails_leaves_nothing_behind(stage: Stage) -> None:
    saga = Saga().when(received(order=reverting()))  # type: ignore[arg-type]
    while saga.outstanding()[0].stage is not stage:
        saga.answer()
    fail(saga)
    assert [type(event) for event in saga.last if isinstance(event, ReversalBegun)] == [ReversalBegun]
    saga.finish()
    order = saga.order()
    assert (order.status, order.reverted) == ("failed", True)
    assert saga.reality.left("3") == {}
    known = saga.environment()
    assert (dict(known.services), dict(known.allocations)) == ({}, {})
    assert (known.leftovers, known.freed, known.old_secrets) == ((), (), frozenset())
    assert not [lease for lease in _leases(saga) if lease[0] == "3"]


def _leases(saga: Saga) -> list[tuple[str, str]]:
    return list(saga.state("server/server-1").leases.values())  # type: ignore[union-attr]


@pytest.mark.parametrize("stage", list(Stage)[1:6])
def test_an_order_that_fails_over_an_older_one_puts_everything_back(stage: Stage) -> None:
    saga = Saga().when(received()).finish()
    before, running, left = saga.environment(), dict(saga.reality.running), saga.reality.left("3")
    saga.reality.generation |= {"6": 2, "8": 2}
    order = an_order(without="s7", s6={"path": "/new"}, more={"on_failure": "revert"}).model_dump(
        mode="json", exclude_defaults=True
    )
    new = {"id": "9", "path": "/nine", "repository": {"url": "https://git.example.com/9"}, "type": "node"}
    order["api"]["services"].append(new)
    order["api"]["domains"].append("more-3.example.com")
    saga.when(received("o2", type(an_order()).model_validate(order)))
    while saga.outstanding("o2")[0].stage is not stage:
        saga.answer(order_id="o2")
    fail(saga, "o2")
    saga.finish("o2")
    assert (saga.order("o2").status, saga.order("o2").reverted) == ("failed", True)
    after = saga.environment()
    assert saga.reality.running == running
    assert saga.reality.left("3") | {"buckets": 0} == left | {"buckets": 0}
    assert {n: (e.commit, e.service, e.peers) for n, e in after.services.items()} == {
        n: (e.commit, e.service, e.peers) for n, e in before.services.items()
    }
    assert (after.allocations, after.secrets, after.routes) == (
        before.allocations,
        before.secrets,
        before.routes,
    )
    assert (set(after.domains), set(after.records)) == (set(before.domains), set(before.records))
    saga.when(received("o3")).answer(order_id="o3")
    saga.reality.generation.clear()


def test_a_cancelled_order_is_reversed_where_it_says_so() -> None:
    saga = Saga().when(received(order=reverting()))  # type: ignore[arg-type]
    saga.until(DeployService)
    saga.ask("cancel").answer(how=lambda command, _: failure(command, kind="terminal", code=CANCELLED))
    assert status_of(saga.order()) == "reverting"
    assert refused(saga, "pause") == "order.ended"
    saga.finish()
    assert (saga.order().status, saga.order().reverted) == ("cancelled", True)
    assert saga.reality.left("3") == {}
    saga.ask("retry").finish()
    assert saga.order().status == "succeeded"


def test_a_reversal_that_fails_is_stuck_and_goes_on_when_it_is_retried() -> None:
    saga = Saga().when(received(order=reverting()))  # type: ignore[arg-type]
    saga.until(DeployService)
    fail(saga)
    while not any(isinstance(command, RemoveService) for command in saga.outstanding()):
        saga.answer()
    first, *others = saga.outstanding()
    saga.when(failure(first, kind="terminal"))
    for command in others:
        saga.when(outcome(command, saga.reality))
    order = saga.order()
    assert order.status == "stuck"
    assert order.error is not None
    assert "reversing the order failed" in order.error.reason
    assert [stage.status for stage in order_view(order, 443).stages if stage.undo] == ["failed"]
    assert saga.environment().owner is None
    saga.ask("retry").finish()
    assert (saga.order().status, saga.order().reverted) == ("failed", True)
    assert saga.reality.left("3") == {}


def test_a_retryable_failure_of_a_reversal_is_tried_again() -> None:
    saga = Saga().when(received(order=reverting()))  # type: ignore[arg-type]
    saga.until(DeployService)
    fail(saga)
    saga.when(failure(saga.outstanding()[0])).pass_time(100)
    saga.finish()
    assert saga.order().reverted


def test_what_is_being_taken_away_is_not_reversed() -> None:
    saga = Saga().when(received()).finish()
    order = an_order(without="s7", more={"on_failure": "revert"})
    saga.when(received("o2", order))
    saga.until(RemoveService, "o2")
    fail(saga, "o2")
    assert (saga.order("o2").status, saga.order("o2").reverted) == ("failed", False)
    saga.ask("retry", "o2").finish("o2")
    assert saga.order("o2").status == "succeeded"


def test_freed_ports_of_a_reversed_order_are_leased_again() -> None:
    saga = Saga().when(received(order=reverting()))  # type: ignore[arg-type]
    saga.until(CreateVariables)
    fail(saga)
    saga.finish()
    assert [change for change in saga.log if isinstance(change.event, AllocationsReleased)]


# Too late


def test_a_command_that_nobody_answers_is_withdrawn_and_tried_again() -> None:
    saga = Saga().when(received())
    (command,) = saga.outstanding()
    saga.pass_time(959).then_nothing()
    saga.pass_time(2).then(CommandOverdue, CommandsWithdrawn, RetryScheduled)
    saga.when(outcome(command, saga.reality)).then(ReplyRefused)
    saga.when(outcome(command, saga.reality)).then_nothing()
    saga.pass_time(60).then(InspectEnvironment)
    saga.finish()
    assert saga.order().status == "succeeded"


def test_nothing_is_waited_for_endlessly() -> None:
    saga = Saga().when(received())
    for _ in range(40):
        saga.pass_time(1000)
    assert saga.order().error.code == "stage.unanswered"  # type: ignore[union-attr]


def test_an_order_may_say_how_long_a_stage_may_take() -> None:
    saga = Saga(Policy(stage_timeouts={Stage.CONFIGURE_ENVIRONMENT: 30}))
    saga.when(received(order=an_order(more={"timeouts": {"inspect": 5}})))
    assert saga.outstanding()[0].timeout == 5
    assert saga.until(ConfigureEnvironment).timeout == 30
    assert saga.until(DeployService).timeout == 900


def test_the_answer_of_an_executor_without_its_lease_is_refused_and_kept() -> None:
    saga = deploying()
    command = saga.outstanding()[0]
    late = failure(command, code=LEASE_LOST, executor="frozen", fence=7)
    saga.when(late).then(ReplyRefused)
    saga.when(late).then_nothing()
    assert command in saga.outstanding()
    saga.finish()
    assert saga.order().status == "succeeded"


def test_a_second_answer_of_another_executor_is_refused_and_kept() -> None:
    saga = deploying()
    command = saga.outstanding()[0]
    saga.when(outcome(command, saga.reality))
    again = outcome(command, saga.reality).model_copy(update={"executor": "other", "fence": 9})
    saga.when(again).then(ReplyRefused)
    assert isinstance(saga.last[0], ReplyRefused)
    assert (saga.last[0].executor, saga.last[0].fence) == ("other", 9)


def test_errors_are_retried_by_their_class() -> None:
    saga = Saga(Policy(rules={"repository": Rule(max_attempts=1), "repository.slow": Rule(max_attempts=2)}))
    saga.when(received())
    saga.when(failure(saga.outstanding()[0], code="repository.slow.very")).pass_time(10)
    saga.when(failure(saga.outstanding()[0], code="repository.gone"))
    assert saga.order().status == "failed"


# The queue


def test_a_newer_update_ends_waiting_ones_only_when_it_says_so() -> None:
    saga = deploying().when(received("o2")).when(received("o3", a_drop())).when(received("o4"))
    assert saga.environment().queue == ("o2", "o3", "o4")
    saga.when(received("o5", an_order(more={"supersedes": True})))
    assert saga.environment().queue == ("o3", "o5")
    assert saga.order("o2").error.code == "order.superseded"  # type: ignore[union-attr]


# Patient services


def test_an_incomplete_service_is_asked_until_it_is_ready() -> None:
    saga = Saga()
    saga.reality.health["7"] = "incomplete"
    saga.when(received()).finish()
    assert isinstance(saga.last[-1], ProbeScheduled)
    assert saga.order().open
    saga.pass_time(1).then(ProbeServices)
    saga.answer()
    saga.reality.health["7"] = "ready"
    saga.pass_time(5).answer()
    assert [type(event) for event in saga.last[1:]] == [HealthObserved, HealthObserved]
    assert saga.environment().services["7"].health == "ready"
    assert saga.order().health["7"] == "ready"
    assert not saga.order().open


def test_asking_ends_with_the_rule_and_with_the_next_order() -> None:
    saga = Saga()
    saga.reality.health["7"] = "incomplete"
    saga.when(received()).finish()
    for _ in range(10):
        saga.pass_time(100).answer()
    assert not saga.order().open
    saga.when(received("o2", an_order(s6={"path": "/x"}))).finish("o2")
    saga.when(received("o3"))
    saga.pass_time(100)
    saga.answer(order_id="o2")
    assert saga.order("o2").probe is None
    saga.finish("o3")


def test_an_order_is_received_once() -> None:
    saga = Saga().when(received())
    assert isinstance(saga.last[0], OrderReceived)
    saga.when(received(by="eve")).then_nothing()

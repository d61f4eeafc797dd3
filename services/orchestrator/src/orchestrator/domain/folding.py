"""Folding the order's stream: the state after one more event."""

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.domain.facts import (
    CommandOverdue,
    PieceGivenUp,
    ProbeScheduled,
    ReplyRefused,
    RetryScheduled,
)
from orchestrator.domain.order import OrderState, StageState
from stagewright.contracts.base import STAGES, Message, Stage
from stagewright.contracts.commands import AllocateResources, Command, DeployService
from stagewright.contracts.events import (
    ApprovalRequested,
    CommandFailed,
    EnvironmentInspected,
    HealthObserved,
    OrderApproved,
    OrderCancelled,
    OrderEnded,
    OrderPaused,
    OrderPlanned,
    OrderResumed,
    OrderRetried,
    Outcome,
    ReversalBegun,
    ServiceDeployed,
)
from stagewright.contracts.orders import OrderReceived


def evolve(state: OrderState, event: Message, at: str) -> OrderState:
    """Fold one event of the order's stream, recorded at `at`; events of other streams change nothing."""
    if isinstance(event, Command):
        return _commanded(state, event, at)
    if isinstance(event, Outcome):
        return _answered(state, event)
    if isinstance(event, OrderReceived):
        return state._replace(
            order_id=event.order_id,
            status="received",
            order=event.order,
            digest=event.digest,
            purpose=event.purpose,
            submitted_by=event.submitted_by,
            received_at=event.received_at,
        )
    if isinstance(event, OrderPlanned):
        return state._replace(status="planned", plan=event, approval=None, approved_by=None)
    if isinstance(event, OrderEnded):
        return state._replace(
            status=event.status,
            error=event.error,
            finished_at=event.finished_at,
            retries={},
            paused=False,
            reverted=event.reverted,
        )
    return _turned(state, event)


def _turned(state: OrderState, event: Message) -> OrderState:
    """The rarer turns of an order's life."""
    turn = _TURNS.get(type(event))
    return turn(state, event) if turn else state


def _refused(state: OrderState, event: ReplyRefused) -> OrderState:
    return state._replace(answers=(*state.answers, (event.command_id, event.executor, event.fence)))


def _cancelled(state: OrderState, event: OrderCancelled) -> OrderState:
    return state._replace(cancelled=event, retries={}, paused=False)


def _reversal(state: OrderState, event: ReversalBegun) -> OrderState:
    return state._replace(undoing=event.error, error=None, retries={}, undo_stage=None, paused=False)


def _scheduled(state: OrderState, event: RetryScheduled) -> OrderState:
    return state._replace(retries={**state.retries, (event.stage, event.service): event})


def _overdue(state: OrderState, event: CommandOverdue) -> OrderState:
    return state._replace(outstanding=_less(state.outstanding, event.command_id))


def _healthy(state: OrderState, event: HealthObserved) -> OrderState:
    return state._replace(health={**state.health, event.service: event.health})


def _retried(state: OrderState, event: OrderRetried) -> OrderState:
    """Back to life. What was reversed begins anew; a reversal that stuck goes on; else what failed does."""
    back = state._replace(
        status="running",
        error=None,
        finished_at=None,
        cancelled=None,
        retries={},
        floor={stage: entry.attempts for stage, entry in state.stages.items()},
        undo_floor={stage: entry.attempts for stage, entry in state.undo.items()},
        only=event.services,
        probe=None,
    )
    if state.status == "stuck":
        return back
    if state.reverted:
        fresh = OrderState()
        return back._replace(
            undoing=None,
            undo_stage=None,
            reverted=False,
            resume=None,
            stage=None,
            plan=None,
            touched=fresh.touched,
            deployed=fresh.deployed,
        )
    return back._replace(
        resume=(state.resume or state.stage) if state.plan else None, approval=None, approved_by=None
    )


def _commanded(state: OrderState, command: Command, at: str) -> OrderState:
    if command.undo:
        return _reversing(state, command, at)
    if command.stage is Stage.PROBE_SERVICES:
        return state._replace(outstanding={**state.outstanding, command.command_id: command}, probe=None)
    piece = (command.stage, command.target)
    again = state.stage is not None and STAGES.index(command.stage) < STAGES.index(state.stage)
    before = state.stages.get(command.stage, StageState())
    inspecting = command.stage is Stage.INSPECT
    changed = state._replace(
        status="received" if inspecting else "running",
        stage=command.stage,
        stages={**state.stages, command.stage: _begun(before, command, at)},
        outstanding={**state.outstanding, command.command_id: command},
        retries={} if again else _less(state.retries, piece),
        resume=state.resume if inspecting else None,
    )
    if isinstance(command, AllocateResources):
        # Services that moved change what their peers are told: what was deployed before is so no more.
        return changed._replace(deployed=frozenset())
    if isinstance(command, DeployService):
        return changed._replace(touched=state.touched | {command.service.id})
    return changed


def _reversing(state: OrderState, command: Command, at: str) -> OrderState:
    before = state.undo.get(command.stage, StageState())
    return state._replace(
        undo_stage=command.stage,
        undo={**state.undo, command.stage: _begun(before, command, at)},
        outstanding={**state.outstanding, command.command_id: command},
        retries=_less(state.retries, (command.stage, command.target)),
    )


def _begun(before: StageState, command: Command, at: str) -> StageState:
    return before._replace(
        attempts=max(before.attempts, command.attempt),
        started_at=before.started_at or at,
        finished_at=None,
        error=None,
    )


def _answered(state: OrderState, outcome: Outcome) -> OrderState:
    command = state.outstanding.get(outcome.command_id)
    outstanding = _less(state.outstanding, outcome.command_id)
    answer = (outcome.command_id, outcome.executor, outcome.fence)
    changed = state._replace(outstanding=outstanding, answers=(*state.answers, answer))
    if outcome.stage is Stage.PROBE_SERVICES:
        return changed
    undo = command is not None and command.undo
    changed = _with_answer(changed, outcome, undo=undo)
    if isinstance(outcome, EnvironmentInspected):
        health = {found.service: found.health for found in outcome.services if found.health is not None}
        return changed._replace(inspected=_looked_again(state, outcome), health={**state.health, **health})
    if isinstance(outcome, ServiceDeployed):
        deployed = state.deployed if undo else state.deployed | {outcome.service}
        return changed._replace(health={**state.health, outcome.service: outcome.health}, deployed=deployed)
    if isinstance(outcome, CommandFailed) and outcome.error.kind == "terminal":
        return changed._replace(error=state.error or outcome.error)
    return changed


def _looked_again(state: OrderState, now: EnvironmentInspected) -> EnvironmentInspected:
    """A retried order looks only at what is left to do; what it saw before of the rest still stands."""
    if state.resume is None or state.inspected is None:
        return now
    fresh = {entry.service for entry in now.services}
    before = tuple(entry for entry in state.inspected.services if entry.service not in fresh)
    return now.model_copy(update={"services": before + now.services})


def _with_answer(state: OrderState, outcome: Outcome, *, undo: bool) -> OrderState:
    stages = state.undo if undo else state.stages
    before = stages.get(outcome.stage, StageState())
    failure = outcome.error if isinstance(outcome, CommandFailed) else None
    stage = before._replace(
        finished_at=outcome.finished_at if not state.outstanding else None, error=failure or before.error
    )
    known = {**stages, outcome.stage: stage}
    return state._replace(undo=known) if undo else state._replace(stages=known)


def _less(mapping: Mapping[Any, Any], key: object) -> Mapping[Any, Any]:
    return {name: value for name, value in mapping.items() if name != key}


_TURNS: Mapping[type[Message], Callable[[OrderState, Any], OrderState]] = {
    RetryScheduled: _scheduled,
    PieceGivenUp: lambda state, event: state._replace(error=state.error or event.error),
    CommandOverdue: _overdue,
    ReplyRefused: _refused,
    ApprovalRequested: lambda state, event: state._replace(approval=event),
    OrderApproved: lambda state, event: state._replace(approved_by=event.by),
    OrderPaused: lambda state, _event: state._replace(paused=True),
    OrderResumed: lambda state, _event: state._replace(paused=False),
    OrderCancelled: _cancelled,
    ReversalBegun: _reversal,
    OrderRetried: _retried,
    ProbeScheduled: lambda state, event: state._replace(probe=event),
    HealthObserved: _healthy,
}

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
from orchestrator.domain.order import NO_TURNS, OrderState, Piece, StageState
from stagewright.contracts.base import STAGES, Message, Stage
from stagewright.contracts.commands import AllocateResources, Command, DeployService
from stagewright.contracts.events import CommandFailed, EnvironmentInspected, Outcome, ServiceDeployed
from stagewright.contracts.order_events import (
    ApprovalRequested,
    HealthObserved,
    OrderApproved,
    OrderCancelled,
    OrderEnded,
    OrderPaused,
    OrderPlanned,
    OrderResumed,
    OrderRetried,
    ReversalBegun,
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
        planned = state._replace(status="planned", plan=event)
        return planned.turned(approval=None, approved_by=None) if state.approval else planned
    if isinstance(event, OrderEnded):
        ended = state._replace(
            status=event.status, error=event.error, finished_at=event.finished_at, retries={}
        )
        return ended.turned(paused=False, reverted=event.reverted) if state.turns is not NO_TURNS else ended
    return _turned(state, event)


def _turned(state: OrderState, event: Message) -> OrderState:
    """The rarer turns of an order's life."""
    turn = _TURNS.get(type(event))
    return turn(state, event) if turn else state


def _refused(state: OrderState, event: ReplyRefused) -> OrderState:
    return state._replace(answers=(*state.answers, (event.command_id, event.executor, event.fence)))


def _cancelled(state: OrderState, event: OrderCancelled) -> OrderState:
    return state._replace(retries={}).turned(cancelled=event, paused=False)


def _reversal(state: OrderState, event: ReversalBegun) -> OrderState:
    stopped = state._replace(error=None, retries={})
    return stopped.turned(undoing=event.error, undo_stage=None, paused=False)


def _scheduled(state: OrderState, event: RetryScheduled) -> OrderState:
    return state._replace(retries={**state.retries, (event.stage, event.service): event})


def _given_up(state: OrderState, event: PieceGivenUp) -> OrderState:
    """The stage says so too, where it was begun: it is looked at once more when the order is retried."""
    stages = state.undo if event.undo else state.stages
    failed = state._replace(error=state.error or event.error)
    if event.stage not in stages:
        return failed
    known = {**stages, event.stage: stages[event.stage]._replace(error=event.error)}
    return failed.turned(undo=known) if event.undo else failed._replace(stages=known)


def _overdue(state: OrderState, event: CommandOverdue) -> OrderState:
    return state._replace(outstanding=_less(state.outstanding, event.command_id))


def _healthy(state: OrderState, event: HealthObserved) -> OrderState:
    return state._replace(health={**state.health, event.service: event.health})


def _retried(state: OrderState, event: OrderRetried) -> OrderState:
    """Back to life. What was reversed begins anew; a reversal that stuck goes on; else what failed does."""
    back = state._replace(status="running", error=None, finished_at=None, retries={}).turned(
        cancelled=None,
        floor={stage: entry.attempts for stage, entry in state.stages.items()},
        undo_floor={stage: entry.attempts for stage, entry in state.undo.items()},
        only=event.services,
        probe=None,
    )
    if state.status == "stuck":
        return back
    if state.reverted:
        none = frozenset[str]()
        anew = back._replace(stage=None, plan=None, touched=none, deployed=none)
        return anew.turned(undoing=None, undo_stage=None, reverted=False, resume=None)
    resume = (state.resume or state.stage) if state.plan else None
    return back.turned(resume=resume, approval=None, approved_by=None)


def _commanded(state: OrderState, command: Command, at: str) -> OrderState:
    if command.undo:
        return _reversing(state, command, at)
    if command.stage is Stage.PROBE_SERVICES:
        out = {**state.outstanding, command.command_id: command}
        return state._replace(outstanding=out).turned(probe=None)
    inspecting = command.stage is Stage.INSPECT
    touched, deployed = state.touched, state.deployed
    if isinstance(command, DeployService):
        touched = touched | {command.service.id}
    elif isinstance(command, AllocateResources):
        # Services that moved change what their peers are told: what was deployed before is so no more.
        deployed = frozenset()
    changed = state._replace(
        status="received" if inspecting else "running",
        stage=command.stage,
        stages={**state.stages, command.stage: _begun(state.stages.get(command.stage), command, at)},
        outstanding={**state.outstanding, command.command_id: command},
        retries=_retries_after(state, command),
        touched=touched,
        deployed=deployed,
    )
    return changed.turned(resume=None) if state.resume and not inspecting else changed


def _retries_after(state: OrderState, command: Command) -> Mapping[Piece, RetryScheduled]:
    """An earlier stage that is done again makes what was to be done again after it needless."""
    if not state.retries:
        return state.retries
    again = state.stage is not None and STAGES.index(command.stage) < STAGES.index(state.stage)
    return {} if again else _less(state.retries, (command.stage, command.target))


def _reversing(state: OrderState, command: Command, at: str) -> OrderState:
    begun = _begun(state.undo.get(command.stage), command, at)
    return state._replace(
        outstanding={**state.outstanding, command.command_id: command},
        retries=_less(state.retries, (command.stage, command.target)),
    ).turned(undo_stage=command.stage, undo={**state.undo, command.stage: begun})


def _begun(before: StageState | None, command: Command, at: str) -> StageState:
    if before is None:
        return StageState(command.attempt, at)
    return StageState(max(before.attempts, command.attempt), before.started_at or at)


def _answered(state: OrderState, outcome: Outcome) -> OrderState:
    command = state.outstanding.get(outcome.command_id)
    outstanding = _less(state.outstanding, outcome.command_id)
    changes: dict[str, Any] = {
        "outstanding": outstanding,
        "answers": (*state.answers, (outcome.command_id, outcome.executor, outcome.fence)),
    }
    if outcome.stage is Stage.PROBE_SERVICES:
        return state._replace(**changes)
    undo = command is not None and command.undo
    if undo:
        stage = _stage_after(state.undo, outcome, over=not outstanding)
        state = state.turned(undo={**state.undo, outcome.stage: stage})
    else:
        stage = _stage_after(state.stages, outcome, over=not outstanding)
        changes["stages"] = {**state.stages, outcome.stage: stage}
    return state._replace(**changes, **_told(state, outcome, undo=undo))


def _told(state: OrderState, outcome: Outcome, *, undo: bool) -> dict[str, Any]:
    """What else an answer tells of the order."""
    if isinstance(outcome, EnvironmentInspected):
        health = {found.service: found.health for found in outcome.services if found.health is not None}
        return {"inspected": _looked_again(state, outcome), "health": {**state.health, **health}}
    if isinstance(outcome, ServiceDeployed):
        deployed = state.deployed if undo else state.deployed | {outcome.service}
        return {"health": {**state.health, outcome.service: outcome.health}, "deployed": deployed}
    if isinstance(outcome, CommandFailed) and outcome.error.kind == "terminal":
        return {"error": state.error or outcome.error}
    return {}


def _stage_after(stages: Mapping[Stage, StageState], outcome: Outcome, *, over: bool) -> StageState:
    before = stages.get(outcome.stage, StageState())
    failure = outcome.error if isinstance(outcome, CommandFailed) else None
    return before._replace(finished_at=outcome.finished_at if over else None, error=failure or before.error)


def _looked_again(state: OrderState, now: EnvironmentInspected) -> EnvironmentInspected:
    """A retried order looks only at what is left to do; what it saw before of the rest still stands."""
    if state.resume is None or state.inspected is None:
        return now
    fresh = {entry.service for entry in now.services}
    before = tuple(entry for entry in state.inspected.services if entry.service not in fresh)
    return now.model_copy(update={"services": before + now.services})


def _less(mapping: Mapping[Any, Any], key: object) -> Mapping[Any, Any]:
    return {name: value for name, value in mapping.items() if name != key}


_TURNS: Mapping[type[Message], Callable[[OrderState, Any], OrderState]] = {
    RetryScheduled: _scheduled,
    PieceGivenUp: _given_up,
    CommandOverdue: _overdue,
    ReplyRefused: _refused,
    ApprovalRequested: lambda state, event: state.turned(approval=event),
    OrderApproved: lambda state, event: state.turned(approved_by=event.by),
    OrderPaused: lambda state, _event: state.turned(paused=True),
    OrderResumed: lambda state, _event: state.turned(paused=False),
    OrderCancelled: _cancelled,
    ReversalBegun: _reversal,
    OrderRetried: _retried,
    ProbeScheduled: lambda state, event: state.turned(probe=event),
    HealthObserved: _healthy,
}

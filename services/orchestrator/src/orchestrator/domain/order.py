"""The order's stream: what was asked, what was commanded, what came back."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple
from uuid import UUID

from orchestrator.domain.facts import (
    CommandOverdue,
    PieceGivenUp,
    ProbeScheduled,
    ReplyRefused,
    RetryScheduled,
)
from stagewright.contracts.base import STAGES, Message, Stage
from stagewright.contracts.commands import AllocateResources, Command, DeployService
from stagewright.contracts.events import (
    ApprovalRequested,
    CommandFailed,
    Decision,
    EndStatus,
    EnvironmentDecision,
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
from stagewright.contracts.orders import Order, OrderReceived, Purpose
from stagewright.contracts.work import Health
from stagewright.errors import ErrorInfo

Status = Literal["unknown", "received", "planned", "running"] | EndStatus
ENDS: frozenset[Status] = frozenset({"succeeded", "failed", "cancelled", "stuck"})
Piece = tuple[Stage, str | None]
"""What is retried as one: a stage, or one service of a stage."""
Answer = tuple[UUID, str | None, int | None]
"""A command, the executor that answered it, and under which fence: what tells two answers apart."""


class StageState(NamedTuple):
    """One stage so far. Moments are RFC 3339."""

    attempts: int = 0
    started_at: str | None = None
    finished_at: str | None = None
    error: ErrorInfo | None = None


_NONE: Mapping[Any, Any] = MappingProxyType({})


class OrderState(NamedTuple):
    """Everything that decisions about one order need.

    `undoing` is the error for which the order is being reversed; `undo` are the stages of that. `floor` and
    `undo_floor` are the attempts of each stage before the order was last retried, which count no more; `resume` is the stage
    that the retried order comes back to, and `only` the services that it tries again, if they were named.
    """

    order_id: str = ""
    status: Status = "unknown"
    order: Order | None = None
    digest: str = ""
    purpose: Purpose = "apply"
    submitted_by: str = ""
    received_at: str = ""
    finished_at: str | None = None
    error: ErrorInfo | None = None
    stage: Stage | None = None
    stages: Mapping[Stage, StageState] = _NONE
    outstanding: Mapping[UUID, Command] = _NONE
    answers: tuple[Answer, ...] = ()
    retries: Mapping[Piece, RetryScheduled] = _NONE
    inspected: EnvironmentInspected | None = None
    plan: OrderPlanned | None = None
    health: Mapping[str, Health] = _NONE
    touched: frozenset[str] = frozenset()
    deployed: frozenset[str] = frozenset()
    approval: ApprovalRequested | None = None
    approved_by: str | None = None
    paused: bool = False
    cancelled: OrderCancelled | None = None
    undoing: ErrorInfo | None = None
    undo_stage: Stage | None = None
    undo: Mapping[Stage, StageState] = _NONE
    reverted: bool = False
    floor: Mapping[Stage, int] = _NONE
    undo_floor: Mapping[Stage, int] = _NONE
    resume: Stage | None = None
    only: tuple[str, ...] = ()
    probe: ProbeScheduled | None = None

    @property
    def known(self) -> bool:
        """Whether the order was ever received."""
        return self.order is not None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.status in ENDS

    @property
    def open(self) -> bool:
        """Whether time or an answer makes something happen: a restart looks after it."""
        return not self.ended or self.probe is not None or bool(self.outstanding)

    @property
    def wanted(self) -> Order:
        """The order itself; only a known order has one."""
        if self.order is None:
            raise LookupError(f"order {self.order_id!r} was never received")
        return self.order

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The plan's lines for services; none before there is a plan."""
        return self.plan.decisions if self.plan else ()

    @property
    def environment_decision(self) -> EnvironmentDecision | None:
        """The plan's line for the environment."""
        return self.plan.environment_decision if self.plan else None

    @property
    def planned(self) -> bool:
        """Whether the last inspection was followed by a plan."""
        return self.status == "planned"

    @property
    def awaiting(self) -> bool:
        """Whether somebody must approve the plan first."""
        return self.approval is not None and self.approved_by is None

    @property
    def idle(self) -> bool:
        """Whether no command is out and none is to come again; a failing order tries nothing again."""
        return not self.outstanding and (self.error is not None or not self.retries)

    def attempts(self, stage: Stage, *, undo: bool = False) -> int:
        """How often the stage was begun, reversals included: numbers of commands never repeat."""
        found = (self.undo if undo else self.stages).get(stage)
        return found.attempts if found else 0


def initial_state() -> OrderState:
    """An order that nobody has sent yet."""
    return OrderState()


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
    match event:
        case RetryScheduled():
            return state._replace(retries={**state.retries, (event.stage, event.service): event})
        case PieceGivenUp():
            return state._replace(error=state.error or event.error)
        case CommandOverdue():
            return state._replace(outstanding=_less(state.outstanding, event.command_id))
        case ReplyRefused():
            refused = (event.command_id, event.executor, event.fence)
            return state._replace(answers=(*state.answers, refused))
        case ApprovalRequested():
            return state._replace(approval=event)
        case OrderApproved():
            return state._replace(approved_by=event.by)
        case OrderPaused():
            return state._replace(paused=True)
        case OrderResumed():
            return state._replace(paused=False)
        case OrderCancelled():
            return state._replace(cancelled=event, retries={}, paused=False)
        case ReversalBegun():
            return state._replace(
                undoing=event.error, error=None, retries={}, undo_stage=None, paused=False
            )
        case OrderRetried():
            return _retried(state, event)
        case ProbeScheduled():
            return state._replace(probe=event)
        case HealthObserved():
            return state._replace(health={**state.health, event.service: event.health})
    return state


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

"""The order's state: what was asked, what was commanded, what came back, and where that leaves it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Self
from uuid import UUID

from orchestrator.domain.facts import ProbeScheduled, RetryScheduled
from stagewright.contracts.base import Stage
from stagewright.contracts.commands import Command
from stagewright.contracts.events import EnvironmentInspected
from stagewright.contracts.order_events import (
    ApprovalRequested,
    Decision,
    EndStatus,
    EnvironmentDecision,
    OrderCancelled,
    OrderPlanned,
)
from stagewright.contracts.orders import Order, Purpose
from stagewright.contracts.queries import OrderStatus
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


class Turns(NamedTuple):
    """What only some orders go through. Apart from the rest, which is copied with every event.

    `undoing` is the error for which the order is being reversed; `undo` are the stages of that. `floor` and
    `undo_floor` are the attempts of each stage before the order was last retried, which count no more;
    `resume` is the stage that the retried order comes back to, and `only` the services that it tries again,
    if they were named.
    """

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


NO_TURNS = Turns()


class OrderState(NamedTuple):
    """Everything that decisions about one order need."""

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
    turns: Turns = NO_TURNS

    @property
    def approval(self) -> ApprovalRequested | None:
        """The approval that was asked for."""
        return self.turns.approval

    @property
    def approved_by(self) -> str | None:
        """Who gave it."""
        return self.turns.approved_by

    @property
    def paused(self) -> bool:
        """Whether nothing new may begin."""
        return self.turns.paused

    @property
    def cancelled(self) -> OrderCancelled | None:
        """Who cancelled the order, and why."""
        return self.turns.cancelled

    @property
    def undoing(self) -> ErrorInfo | None:
        """Why the order is being reversed."""
        return self.turns.undoing

    @property
    def undo_stage(self) -> Stage | None:
        """The stage that is being taken back."""
        return self.turns.undo_stage

    @property
    def undo(self) -> Mapping[Stage, StageState]:
        """The stages of the reversal."""
        return self.turns.undo

    @property
    def reverted(self) -> bool:
        """Whether what the order had done was reversed."""
        return self.turns.reverted

    @property
    def resume(self) -> Stage | None:
        """The stage that a retried order comes back to."""
        return self.turns.resume

    @property
    def only(self) -> tuple[str, ...]:
        """The services that a retry is about, if they were named."""
        return self.turns.only

    @property
    def probe(self) -> ProbeScheduled | None:
        """When incomplete services are asked again."""
        return self.turns.probe

    def turned(self, **changes: Any) -> Self:
        """The state with some of its turns changed."""
        return self._replace(turns=self.turns._replace(**changes))

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


def status_of(state: OrderState) -> OrderStatus:
    """The order's status, as people see it.

    Raises:
        LookupError: the order was never received.
    """
    if state.status == "unknown":
        raise LookupError("an order that was never received has no status")
    if state.ended:
        return state.status
    if state.undoing is not None:
        return "reverting"
    if state.cancelled is not None:
        return "cancelling"
    if state.paused:
        return "paused"
    return "awaiting_approval" if state.awaiting else state.status

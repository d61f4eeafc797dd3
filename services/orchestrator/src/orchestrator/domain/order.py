"""The order's state: what was asked, what was commanded, what came back, and where that leaves it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple
from uuid import UUID

from orchestrator.domain.facts import ProbeScheduled, RetryScheduled
from stagewright.contracts.base import Stage
from stagewright.contracts.commands import Command
from stagewright.contracts.events import (
    ApprovalRequested,
    Decision,
    EndStatus,
    EnvironmentDecision,
    EnvironmentInspected,
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


class OrderState(NamedTuple):
    """Everything that decisions about one order need.

    `undoing` is the error for which the order is being reversed; `undo` are the stages of that. `floor` and
    `undo_floor` are the attempts of each stage before the order was last retried, which count no more;
    `resume` is the stage that the retried order comes back to, and `only` the services that it tries again,
    if they were named.
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

"""The order's stream: what was asked, what was commanded, what came back."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple
from uuid import UUID

from orchestrator.domain.facts import PieceGivenUp, RetryScheduled
from stagewright.contracts.base import STAGES, Message, Stage
from stagewright.contracts.commands import Command
from stagewright.contracts.events import (
    CommandFailed,
    Decision,
    EnvironmentInspected,
    OrderEnded,
    OrderPlanned,
    Outcome,
    ServiceDeployed,
)
from stagewright.contracts.orders import Order, OrderReceived
from stagewright.contracts.work import Health
from stagewright.errors import ErrorInfo

Status = Literal["unknown", "received", "planned", "running", "succeeded", "failed"]
Piece = tuple[Stage, str | None]
"""What is retried as one: a stage, or one service of a stage."""


class StageState(NamedTuple):
    """One stage so far. Moments are RFC 3339."""

    attempts: int = 0
    started_at: str | None = None
    finished_at: str | None = None
    error: ErrorInfo | None = None


_NONE: Mapping[Any, Any] = MappingProxyType({})


class OrderState(NamedTuple):
    """Everything that decisions about one order need."""

    order_id: str = ""
    status: Status = "unknown"
    order: Order | None = None
    digest: str = ""
    received_at: str = ""
    finished_at: str | None = None
    error: ErrorInfo | None = None
    stage: Stage | None = None
    stages: Mapping[Stage, StageState] = _NONE
    outstanding: Mapping[UUID, Command] = _NONE
    retries: Mapping[Piece, RetryScheduled] = _NONE
    inspected: EnvironmentInspected | None = None
    decisions: tuple[Decision, ...] = ()
    health: Mapping[str, Health] = _NONE

    @property
    def known(self) -> bool:
        """Whether the order was ever received."""
        return self.order is not None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in {"succeeded", "failed"}

    @property
    def wanted(self) -> Order:
        """The order itself; only a known order has one."""
        if self.order is None:
            raise LookupError(f"order {self.order_id!r} was never received")
        return self.order

    @property
    def idle(self) -> bool:
        """Whether no command is out and none is to come again; a failing order tries nothing again."""
        return not self.outstanding and (self.error is not None or not self.retries)


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
            received_at=event.received_at,
        )
    if isinstance(event, RetryScheduled):
        return state._replace(retries={**state.retries, (event.stage, event.service): event})
    if isinstance(event, PieceGivenUp):
        return state._replace(error=state.error or event.error)
    if isinstance(event, OrderPlanned):
        return state._replace(status="planned", decisions=event.decisions)
    if isinstance(event, OrderEnded):
        return state._replace(
            status=event.status, error=event.error, finished_at=event.finished_at, retries={}
        )
    return state


def _commanded(state: OrderState, command: Command, at: str) -> OrderState:
    piece = (command.stage, command.target)
    again = state.stage is not None and STAGES.index(command.stage) < STAGES.index(state.stage)
    before = state.stages.get(command.stage, StageState())
    stage = before._replace(
        attempts=max(before.attempts, command.attempt),
        started_at=before.started_at or at,
        finished_at=None,
        error=None,
    )
    return state._replace(
        status=state.status if command.stage is Stage.INSPECT else "running",
        stage=command.stage,
        stages={**state.stages, command.stage: stage},
        outstanding={**state.outstanding, command.command_id: command},
        retries={} if again else {key: value for key, value in state.retries.items() if key != piece},
    )


def _answered(state: OrderState, outcome: Outcome) -> OrderState:
    outstanding = {key: value for key, value in state.outstanding.items() if key != outcome.command_id}
    before = state.stages.get(outcome.stage, StageState())
    failure = outcome.error if isinstance(outcome, CommandFailed) else None
    stage = before._replace(
        finished_at=outcome.finished_at if not outstanding else None,
        error=failure or before.error,
    )
    changed = state._replace(outstanding=outstanding, stages={**state.stages, outcome.stage: stage})
    if isinstance(outcome, EnvironmentInspected):
        health = {found.service: found.health for found in outcome.services if found.health is not None}
        return changed._replace(inspected=outcome, health=health)
    if isinstance(outcome, ServiceDeployed):
        return changed._replace(health={**state.health, outcome.service: outcome.health})
    if isinstance(outcome, CommandFailed) and outcome.error.kind == "terminal":
        return changed._replace(error=state.error or outcome.error)
    return changed


def following(stage: Stage) -> tuple[Stage, ...]:
    """The stages after this one, in order."""
    return STAGES[STAGES.index(stage) + 1 :]

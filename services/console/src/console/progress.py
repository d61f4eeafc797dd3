"""How far an order is, folded from what the streams say of it. Pure: no clock, no I/O."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from stagewright.contracts.base import CLEANING, STAGES, Message, Stage
from stagewright.contracts.events import (
    CANCELLED,
    LEASE_LOST,
    CommandFailed,
    EnvironmentInspected,
    Outcome,
    ServiceDeployed,
)
from stagewright.contracts.logs import TaskLog
from stagewright.contracts.order_events import (
    ApprovalRequested,
    EndStatus,
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
from stagewright.errors import ErrorInfo

Status = Literal["pending", "running", "retrying", "stopped", "succeeded", "failed", "skipped"]
State = EndStatus | Literal["running", "awaiting_approval", "paused", "cancelling", "reverting"]
_OPEN: frozenset[str] = frozenset({"pending", "running", "retrying", "stopped"})

_STAGES_OF: Mapping[str, frozenset[Stage]] = {
    "drop": frozenset({Stage.INSPECT, Stage.UPDATE_ROUTES}) | CLEANING,
    "redeploy": frozenset({Stage.INSPECT, Stage.DEPLOY_SERVICES}),
    "maintenance": frozenset({Stage.INSPECT, Stage.UPDATE_ROUTES}),
}
_USUAL = frozenset(STAGES) - CLEANING
"""Stages that an order of the action has for sure; every other one is there when something is heard of it."""


@dataclass
class StageProgress:
    """One stage; times are RFC 3339 as they came."""

    status: Status = "pending"
    attempts: int = 0
    started_at: str | None = None
    finished_at: str | None = None
    error: ErrorInfo | None = None
    task: str | None = None


@dataclass
class ServiceProgress:
    """One service in stage `deploy_services`."""

    decision: str | None = None
    commit: str | None = None
    health: str | None = None
    deployment: StageProgress = field(default_factory=StageProgress)


class Progress:
    """Feed it messages in the order in which they happened; read stages, services, state and the end.

    `stages` are those that the order has, `undone` those that are being reversed, in the order in which they
    were heard of.
    """

    def __init__(self, action: str = "update") -> None:
        self._sure = _STAGES_OF.get(action, _USUAL)
        self._all = {stage: StageProgress() for stage in STAGES}
        self.undone: dict[Stage, StageProgress] = {}
        self.services: dict[str, ServiceProgress] = {}
        self.state: State = "running"
        self.approval_due: str | None = None
        self.ended: OrderEnded | None = None

    @property
    def stages(self) -> dict[Stage, StageProgress]:
        """The stages that the order has, in the order in which they run."""
        return {stage: one for stage, one in self._all.items() if stage in self._sure or _heard_of(one)}

    def apply(self, message: Message, at: str) -> None:
        """Take one message that was made at `at`. Unknown kinds change nothing."""
        match message:
            case TaskLog() | Outcome() if message.stage not in self._all:
                return
            case TaskLog() | Outcome() if self.state == "reverting":
                self._undo(message, at)
            case TaskLog():
                self._task(message, at)
            case CommandFailed():
                self._failed(message)
            case Outcome():
                self._done(message)
            case OrderPlanned():
                self._planned(message)
            case OrderEnded():
                self._end(message)
            case _:
                self._ordered(message)
        if self.state == "running":
            self._look_ahead(at)

    def service(self, name: str) -> ServiceProgress:
        """The service's progress; made when it is first named."""
        return self.services.setdefault(name, ServiceProgress())

    def _ordered(self, message: Message) -> None:
        """What the saga and people say of the order."""
        match message:
            case ApprovalRequested():
                self.state, self.approval_due = "awaiting_approval", message.due
                self._hold()
            case OrderApproved():
                self.approval_due = None
                self.state = "paused" if self.state == "paused" else "running"
            case OrderResumed():
                self.state = "awaiting_approval" if self.approval_due else "running"
            case OrderPaused():
                self.state = "paused"
            case OrderCancelled():
                self.state = "cancelling"
            case ReversalBegun():
                self.state = "reverting"
                self._close(failed=True)
            case OrderRetried():
                self._retried()
            case HealthObserved():
                self.service(message.service).health = message.health

    def _planned(self, planned: OrderPlanned) -> None:
        for line in planned.decisions:
            service = self.service(line.service)
            service.decision, service.commit = line.decision, line.commit
            if line.decision in {"unchanged", "drop"} and service.deployment.status == "pending":
                service.deployment.status = "skipped"

    def _task(self, log: TaskLog, at: str) -> None:
        for each in self._affected(log.stage, log.service):
            _begin(each, log.attempt, at)
            each.task = log.task
        self._close_before(log.stage)

    def _done(self, outcome: Outcome) -> None:
        stage = self._all[outcome.stage]
        if isinstance(outcome, EnvironmentInspected):
            for found in outcome.services:
                self.service(found.service).commit = found.commit
        if isinstance(outcome, ServiceDeployed):
            service = self.service(outcome.service)
            service.health, service.commit = outcome.health, outcome.commit
            _finish(service.deployment, outcome)
            _begin(stage, outcome.attempt, outcome.started_at)
            if self._all_deployed():
                _finish(stage, outcome, keep_start=True)
        else:
            _finish(stage, outcome, keep_start=outcome.stage is Stage.REMOVE_SERVICES)
        self._close_before(outcome.stage)

    def _failed(self, failed: CommandFailed) -> None:
        affected = self._affected(failed.stage, failed.service)
        if failed.error.code == LEASE_LOST or affected[-1].attempts > failed.attempt:
            return  # not an answer: another executor has taken over, or another attempt has begun
        for each in affected:
            _begin(each, failed.attempt, failed.started_at)
            _fail(each, failed)
        self._close_before(failed.stage)

    def _undo(self, message: TaskLog | Outcome, at: str) -> None:
        known = message.stage in self.undone
        one = self.undone.setdefault(message.stage, StageProgress())
        if not known:
            _begin(one, message.attempt, at)
        if isinstance(message, TaskLog):
            one.task = message.task
            one.status = "running"
        elif isinstance(message, CommandFailed):
            _fail(one, message)
        else:
            _finish(one, message, keep_start=known)

    def _retried(self) -> None:
        """On from what failed; where everything was reversed, from the beginning."""
        for stage in self._everything():
            if stage.status not in {"succeeded", "skipped"} or self.undone:
                stage.status, stage.error = "pending", None
                stage.started_at = stage.finished_at = None
        self.state, self.ended = "running", None
        self.undone.clear()

    def _end(self, ended: OrderEnded) -> None:
        self.ended, self.state = ended, ended.status
        self._close(failed=ended.status != "succeeded", at=ended.finished_at)

    def _close(self, *, failed: bool, at: str | None = None) -> None:
        for stage in self._everything():
            if stage.status not in _OPEN:
                continue
            if failed:
                stage.status = "failed" if stage.error else "pending"
            elif stage.started_at is None or stage.attempts == 0:
                stage.status, stage.started_at = "skipped", None
            else:
                stage.status, stage.finished_at = "succeeded", stage.finished_at or at

    def _affected(self, stage: Stage, service: str | None) -> list[StageProgress]:
        found = [self._all[stage]]
        if service is not None and stage is Stage.DEPLOY_SERVICES:
            found.append(self.service(service).deployment)
        return found

    def _everything(self) -> list[StageProgress]:
        return [*self._all.values(), *(service.deployment for service in self.services.values())]

    def _all_deployed(self) -> bool:
        wanted = [s for s in self.services.values() if s.decision not in {"unchanged", "drop"}]
        return all(service.deployment.status == "succeeded" for service in wanted)

    def _close_before(self, stage: Stage) -> None:
        """A later stage spoke: what stands open before it was done, or there was nothing to do."""
        for earlier in STAGES[: STAGES.index(stage)]:
            each = self._all[earlier]
            if each.status in _OPEN:
                each.status = "succeeded" if each.attempts else "skipped"

    def _look_ahead(self, at: str) -> None:
        """The stage after the last finished one is running, though it has not spoken yet."""
        if any(stage.status in {"running", "retrying", "failed"} for stage in self._all.values()):
            return
        following = next(self._pending(), None)
        if following is not None:
            following.status, following.started_at = "running", at

    def _hold(self) -> None:
        """What was thought to run waits."""
        for stage in self._all.values():
            if stage.status == "running" and not stage.attempts:
                stage.status, stage.started_at = "pending", None

    def _pending(self) -> Iterator[StageProgress]:
        return (one for stage, one in self._all.items() if stage in self._sure and one.status == "pending")


def _heard_of(stage: StageProgress) -> bool:
    return stage.attempts > 0


def _begin(stage: StageProgress, attempt: int, at: str) -> None:
    if attempt > stage.attempts or stage.status == "pending":
        stage.status = "running"
    stage.attempts = max(stage.attempts, attempt)
    stage.started_at = stage.started_at or at


def _fail(stage: StageProgress, failed: CommandFailed) -> None:
    stage.error, stage.task = failed.error, None
    if failed.error.code == CANCELLED:
        stage.status = "stopped"
    else:
        stage.status = "failed" if failed.error.kind == "terminal" else "retrying"


def _finish(stage: StageProgress, outcome: Outcome, *, keep_start: bool = False) -> None:
    stage.status = "succeeded"
    stage.attempts = max(stage.attempts, outcome.attempt)
    stage.started_at = (stage.started_at if keep_start else None) or outcome.started_at
    stage.finished_at, stage.error, stage.task = outcome.finished_at, None, None

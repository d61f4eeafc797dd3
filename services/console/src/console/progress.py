"""How far an order is, folded from what the streams say of it. Pure: no clock, no I/O."""

from dataclasses import dataclass, field
from typing import Literal

from stagewright.contracts.base import STAGES, Message, Stage
from stagewright.contracts.events import (
    CommandFailed,
    EnvironmentInspected,
    OrderEnded,
    OrderPlanned,
    Outcome,
    ServiceDeployed,
)
from stagewright.contracts.logs import TaskLog
from stagewright.errors import ErrorInfo

Status = Literal["pending", "running", "retrying", "succeeded", "failed", "skipped"]
_OPEN: frozenset[str] = frozenset({"pending", "running", "retrying"})


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
    """Feed it messages in the order in which they happened; read stages, services and the end."""

    def __init__(self) -> None:
        self.stages: dict[Stage, StageProgress] = {stage: StageProgress() for stage in STAGES}
        self.services: dict[str, ServiceProgress] = {}
        self.ended: OrderEnded | None = None

    def apply(self, message: Message, at: str) -> None:
        """Take one message that was made at `at`. Unknown kinds change nothing."""
        match message:
            case TaskLog():
                self._task(message, at)
            case CommandFailed():
                self._failed(message)
            case Outcome():
                self._done(message)
            case OrderPlanned():
                for line in message.decisions:
                    service = self.service(line.service)
                    service.decision, service.commit = line.decision, line.commit
            case OrderEnded():
                self._end(message)
            case _:
                return
        if self.ended is None:
            self._look_ahead(at)

    def service(self, name: str) -> ServiceProgress:
        """The service's progress; made when it is first named."""
        return self.services.setdefault(name, ServiceProgress())

    def _task(self, log: TaskLog, at: str) -> None:
        for each in self._affected(log.stage, log.service):
            self._begin(each, log.attempt, at)
            each.task = log.task
        self._close_before(log.stage)

    def _done(self, outcome: Outcome) -> None:
        stage = self.stages[outcome.stage]
        if isinstance(outcome, EnvironmentInspected):
            for found in outcome.services:
                self.service(found.service).commit = found.commit
        if isinstance(outcome, ServiceDeployed):
            service = self.service(outcome.service)
            service.health, service.commit = outcome.health, outcome.commit
            _finish(service.deployment, outcome)
            self._begin(stage, outcome.attempt, outcome.started_at)
            if self._all_deployed():
                _finish(stage, outcome, keep_start=True)
        else:
            _finish(stage, outcome)
        self._close_before(outcome.stage)

    def _failed(self, failed: CommandFailed) -> None:
        for each in self._affected(failed.stage, failed.service):
            self._begin(each, failed.attempt, failed.started_at)
            each.error, each.task = failed.error, None
            each.status = "failed" if failed.error.kind == "terminal" else "retrying"
        self._close_before(failed.stage)

    def _end(self, ended: OrderEnded) -> None:
        self.ended = ended
        for stage in self._everything():
            if stage.status not in _OPEN:
                continue
            if ended.status == "failed":
                stage.status = "failed" if stage.status == "retrying" or stage.error else "pending"
            elif stage.started_at is None or stage.attempts == 0:
                stage.status, stage.started_at = "skipped", None
            else:
                stage.status, stage.finished_at = "succeeded", stage.finished_at or ended.finished_at

    def _affected(self, stage: Stage, service: str | None) -> list[StageProgress]:
        found = [self.stages[stage]]
        if service is not None and stage is Stage.DEPLOY_SERVICES:
            found.append(self.service(service).deployment)
        return found

    def _everything(self) -> list[StageProgress]:
        return [*self.stages.values(), *(service.deployment for service in self.services.values())]

    def _begin(self, stage: StageProgress, attempt: int, at: str) -> None:
        if attempt > stage.attempts or stage.status == "pending":
            stage.status = "running"
        stage.attempts = max(stage.attempts, attempt)
        stage.started_at = stage.started_at or at

    def _all_deployed(self) -> bool:
        wanted = [s for s in self.services.values() if s.decision != "unchanged"]
        return all(service.deployment.status == "succeeded" for service in wanted)

    def _close_before(self, stage: Stage) -> None:
        """A later stage spoke: what stands open before it was done, or there was nothing to do."""
        for earlier in STAGES[: STAGES.index(stage)]:
            each = self.stages[earlier]
            if each.status in _OPEN:
                each.status = "succeeded" if each.attempts else "skipped"

    def _look_ahead(self, at: str) -> None:
        """The stage after the last finished one is running, though it has not spoken yet."""
        if any(stage.status in {"running", "retrying", "failed"} for stage in self.stages.values()):
            return
        following = next((stage for stage in self.stages.values() if stage.status == "pending"), None)
        if following is not None:
            following.status, following.started_at = "running", at


def _finish(stage: StageProgress, outcome: Outcome, *, keep_start: bool = False) -> None:
    stage.status = "succeeded"
    stage.attempts = max(stage.attempts, outcome.attempt)
    if not keep_start:
        stage.started_at = outcome.started_at
    stage.finished_at, stage.error, stage.task = outcome.finished_at, None, None

"""An order's messages as plain lines: what a pipe, a log file and `stagewright logs` get."""

from collections.abc import Iterator
from datetime import datetime

from console.following import Entry
from stagewright.clock import parse_rfc3339
from stagewright.contracts.base import Message
from stagewright.contracts.events import (
    CommandFailed,
    EnvironmentConfigured,
    EnvironmentInspected,
    OrderEnded,
    OrderPlanned,
    Outcome,
    ResourcesAllocated,
    RoutesUpdated,
    ServiceDeployed,
    VariablesCreated,
)
from stagewright.contracts.logs import TaskLog

_WIDTH = 24


class Narrator:
    """Turns entries into lines with the seconds since the first one."""

    def __init__(self, *, tasks: bool = True) -> None:
        self._tasks = tasks
        self._first: datetime | None = None

    def lines(self, entry: Entry) -> Iterator[str]:
        """No line for what a reader does not miss: a task's start, a skipped task."""
        if isinstance(entry.message, TaskLog) and not self._tasks:
            return
        for where, text in describe(entry.message):
            yield f"{self._since(entry):8.2f} s  {where:<{_WIDTH}} {text}"

    def _since(self, entry: Entry) -> float:
        moment = parse_rfc3339(entry.at)
        if self._first is None:
            self._first = _started(entry.message) or moment
        return max(0.0, (moment - self._first).total_seconds())


def describe(message: Message) -> Iterator[tuple[str, str]]:
    """`(where, what)` for each line that the message is worth."""
    match message:
        case TaskLog():
            yield from _task(message)
        case CommandFailed():
            yield from _failed(message)
        case Outcome():
            yield _place(message), f"done{_took(message)}: {_found(message)}"
        case OrderPlanned():
            for line in message.decisions:
                reasons = "; ".join(line.reasons)
                yield "plan", f"{line.service} {line.decision} at {line.commit[:10]}: {reasons}"
        case OrderEnded():
            yield "order", message.status
            if message.error:
                yield "", f"{message.error.resource}: {message.error.reason} [{message.error.code}]"
                yield "", message.error.remedy
        case _:
            return


def _task(log: TaskLog) -> Iterator[tuple[str, str]]:
    if log.status in {"started", "skipped"}:
        return
    took = f" {log.duration_s:.2f} s" if log.duration_s is not None else ""
    detail = f": {log.detail}" if log.detail else ""
    yield place(log.stage, log.service), f"{log.status:<7} {log.task}{took}{detail}"


def _failed(failed: CommandFailed) -> Iterator[tuple[str, str]]:
    error = failed.error
    again = "will be tried again" if error.kind == "retryable" else "failed"
    where = place(failed.stage, failed.service)
    yield (
        where,
        f"{again} (attempt {failed.attempt}): {error.resource}: {error.reason} [{error.code}] {error.remedy}",
    )


def _place(outcome: Outcome) -> str:
    return place(outcome.stage, outcome.service if isinstance(outcome, ServiceDeployed) else None)


def place(stage: str, service: str | None) -> str:
    """`deploy_services/6`, or the stage alone."""
    return f"{stage}/{service}" if service else str(stage)


def _found(outcome: Outcome) -> str:
    match outcome:
        case EnvironmentInspected():
            return ", ".join(f"{each.service} at {each.commit[:10]}" for each in outcome.services)
        case ServiceDeployed():
            return f"{outcome.health} at {outcome.commit[:10]}, {_changes(len(outcome.changed))}"
        case RoutesUpdated():
            return f"{len(outcome.routes)} routes, {'written' if outcome.changed else 'unchanged'}"
        case EnvironmentConfigured():
            return f"{len(outcome.records)} records, {_changes(len(outcome.changed))}"
        case ResourcesAllocated():
            return f"{len(outcome.allocations)} allocations, {_changes(len(outcome.changed))}"
        case VariablesCreated():
            count = sum(len(service.secrets) for service in outcome.services)
            return f"{count} secrets, {_changes(len(outcome.changed))}"
        case _:
            return "done"


def _changes(count: int) -> str:
    return f"{count} changed" if count else "unchanged"


def _took(outcome: Outcome) -> str:
    took = parse_rfc3339(outcome.finished_at) - parse_rfc3339(outcome.started_at)
    return f" in {took.total_seconds():.2f} s"


def _started(message: Message) -> datetime | None:
    return parse_rfc3339(message.started_at) if isinstance(message, Outcome) else None

"""An order's messages as plain lines: what a pipe, a log file and `stagewright logs` get."""

from collections.abc import Iterator
from datetime import datetime

from console.following import Entry
from console.outcomes import found
from console.times import when
from stagewright.clock import parse_rfc3339
from stagewright.contracts.base import Message
from stagewright.contracts.events import CANCELLED, LEASE_LOST, CommandFailed, Outcome, ServicesProbed
from stagewright.contracts.logs import TaskLog
from stagewright.contracts.order_events import (
    ApprovalRequested,
    Decision,
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

Line = tuple[str, str]

_WIDTH = 24


class Narrator:
    """Turns entries into lines with the seconds since the first one."""

    def __init__(self) -> None:
        self._first: datetime | None = None

    def lines(self, entry: Entry) -> Iterator[str]:
        """No line for what a reader does not miss: a task's start, a skipped task."""
        for where, text in describe(entry.message):
            yield f"{self._since(entry):8.2f} s  {where:<{_WIDTH}} {text}"

    def _since(self, entry: Entry) -> float:
        moment = parse_rfc3339(entry.at)
        if self._first is None:
            self._first = _started(entry.message) or moment
        return max(0.0, (moment - self._first).total_seconds())


def describe(message: Message) -> Iterator[Line]:
    """`(where, what)` for each line that the message is worth."""
    match message:
        case TaskLog():
            yield from _task(message)
        case CommandFailed():
            yield from _failed(message)
        case ServicesProbed():  # `HealthObserved` says what is new in it
            return
        case Outcome():
            yield _place(message), f"done{_took(message)}: {found(message)}"
        case OrderPlanned():
            yield from _plan(message)
        case _:
            yield from _of_order(message)


def _of_order(message: Message) -> Iterator[Line]:
    """What the saga and people say of an order."""
    match message:
        case ApprovalRequested():
            yield "order", f"waits for approval, until {when(message.due)}; without it the order fails"
            yield "", how_to_approve(message.order_id)
        case OrderApproved():
            yield "order", f"approved by {message.by}"
        case OrderCancelled():
            why = f": {message.why}" if message.why else ""
            yield "order", f"cancelled by {message.by}{why}; what runs of it is being stopped"
        case OrderPaused():
            yield "order", f"paused by {message.by}; what runs is finished, nothing new begins"
            yield "", f"resume it: stagewright orders resume {message.order_id}"
        case OrderResumed():
            yield "order", f"resumed by {message.by}"
        case OrderRetried():
            what = f"services {', '.join(message.services)}" if message.services else "what failed"
            yield "order", f"retried by {message.by}: {what}"
        case ReversalBegun():
            yield "order", "what was done is being reversed, the last step first"
            yield from _error(message.error)
        case HealthObserved():
            yield f"health/{message.service}", f"{message.health} now"
        case OrderEnded():
            yield "order", f"{message.status}{', and what was done is reversed' if message.reverted else ''}"
            yield from _error(message.error)


def how_to_approve(order_id: str) -> str:
    """What another person types."""
    return f"somebody else than the submitter approves it: stagewright orders approve {order_id} --by NAME"


def _error(error: ErrorInfo | None) -> Iterator[Line]:
    if error:
        yield "", f"{error.resource}: {error.reason} [{error.code}]"
        yield "", error.remedy


def _plan(planned: OrderPlanned) -> Iterator[Line]:
    whole = planned.environment_decision
    yield "plan", f"environment {whole.decision}: {'; '.join(whole.reasons)}"
    for line in planned.decisions:
        yield "plan", f"{line.service} {line.decision}{_at(line)}: {'; '.join(line.reasons)}"


def _at(line: Decision) -> str:
    return f" at {line.commit[:10]}" if line.commit else ""


def _task(log: TaskLog) -> Iterator[Line]:
    if log.status in {"started", "skipped"}:
        return
    took = f" {log.duration_s:.2f} s" if log.duration_s is not None else ""
    detail = f": {log.detail}" if log.detail else ""
    yield place(log.stage, log.service), f"{log.status:<7} {log.task}{took}{detail}"


def _failed(failed: CommandFailed) -> Iterator[Line]:
    error = failed.error
    yield (
        place(failed.stage, failed.service),
        f"{_what_follows(error)} (attempt {failed.attempt}): {error.resource}: {error.reason} [{error.code}] "
        f"{error.remedy}",
    )
    if failed.run:
        yield "", f"again by hand, on {failed.executor or 'the executor'}: {failed.run}"


def _what_follows(error: ErrorInfo) -> str:
    if error.code == LEASE_LOST:
        return "not counted"
    if error.code == CANCELLED:
        return "stopped"
    return "will be tried again" if error.kind == "retryable" else "failed"


def _place(outcome: Outcome) -> str:
    return place(outcome.stage, getattr(outcome, "service", None))


def place(stage: str, service: str | None) -> str:
    """`deploy_services/6`, or the stage alone."""
    return f"{stage}/{service}" if service else str(stage)


def _took(outcome: Outcome) -> str:
    took = parse_rfc3339(outcome.finished_at) - parse_rfc3339(outcome.started_at)
    return f" in {took.total_seconds():.2f} s"


def _started(message: Message) -> datetime | None:
    return parse_rfc3339(message.started_at) if isinstance(message, Outcome) else None

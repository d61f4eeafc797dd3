"""What the orchestrator says in its own log of what it stored: one line where an order's life turns."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from orchestrator.domain.facts import (
    CommandOverdue,
    OrderQueued,
    PieceGivenUp,
    ReplyRefused,
    RetryScheduled,
)
from orchestrator.store.codec import Recorded
from stagewright.contracts.base import Message
from stagewright.contracts.order_events import (
    ApprovalRequested,
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

log = structlog.get_logger()


def journal(batch: Sequence[Recorded]) -> None:
    """Log the turns in a batch, each with its order's correlation id."""
    for row in batch:
        if (tell := _TURNS.get(type(row.event))) is not None:
            action, facts = tell(row.event)
            order_id = row.event.order_id  # type: ignore[attr-defined]  # each type of the table has one
            log.info(action.replace(".", " "), action=action, correlation_id=order_id, **facts)


Told = tuple[str, dict[str, object]]


def _planned(event: OrderPlanned) -> Told:
    plan = {line.service: line.decision for line in event.decisions}
    return "order.planned", {"environment": event.environment, "plan": plan}


def _retrying(event: RetryScheduled) -> Told:
    facts = {"stage": event.stage, "target": event.service, "attempt": event.attempt}
    return "stage.retrying", {**facts, "code": event.error.code}


def _refused(event: ReplyRefused) -> Told:
    facts = {"command": str(event.command_id), "executor": event.executor, "fence": event.fence}
    return "reply.refused", {**facts, "reason": event.reason}


def _ended(event: OrderEnded) -> Told:
    facts = {"status": event.status, "reverted": event.reverted}
    return "order.ended", {**facts, "code": event.error.code if event.error else None}


_TURNS: Mapping[type[Message], Callable[[Any], Told]] = {
    OrderReceived: lambda event: ("order.received", {"environment": event.order.environment}),
    OrderQueued: lambda event: ("order.queued", {"environment": event.environment}),
    OrderPlanned: _planned,
    RetryScheduled: _retrying,
    PieceGivenUp: lambda event: ("stage.given_up", {"stage": event.stage, "code": event.error.code}),
    CommandOverdue: lambda event: ("command.overdue", {"command": str(event.command_id)}),
    ReplyRefused: _refused,
    ApprovalRequested: lambda event: ("order.awaiting_approval", {"due": event.due}),
    OrderApproved: lambda event: ("order.approved", {"by": event.by}),
    OrderCancelled: lambda event: ("order.cancelled", {"by": event.by}),
    OrderPaused: lambda event: ("order.paused", {"by": event.by}),
    OrderResumed: lambda event: ("order.resumed", {"by": event.by}),
    OrderRetried: lambda event: ("order.retried", {"by": event.by}),
    ReversalBegun: lambda event: ("order.reversing", {"code": event.error.code}),
    OrderEnded: _ended,
}

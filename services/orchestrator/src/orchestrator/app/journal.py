"""What the orchestrator says in its own log of what it stored: one line where an order's life turns."""

from collections.abc import Sequence

import structlog

from orchestrator.domain.facts import (
    CommandOverdue,
    OrderQueued,
    PieceGivenUp,
    ReplyRefused,
    RetryScheduled,
)
from orchestrator.store.codec import Recorded
from stagewright.contracts.events import (
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
        match row.event:
            case OrderReceived() as event:
                _say("order.received", event.order_id, environment=event.order.environment)
            case OrderQueued() as event:
                _say("order.queued", event.order_id, environment=event.environment)
            case OrderPlanned() as event:
                plan = {line.service: line.decision for line in event.decisions}
                _say("order.planned", event.order_id, environment=event.environment, plan=plan)
            case RetryScheduled() as event:
                _say(
                    "stage.retrying",
                    event.order_id,
                    stage=event.stage,
                    target=event.service,
                    attempt=event.attempt,
                    code=event.error.code,
                )
            case PieceGivenUp() as event:
                _say("stage.given_up", event.order_id, stage=event.stage, code=event.error.code)
            case CommandOverdue() as event:
                _say("command.overdue", event.order_id, command=str(event.command_id))
            case ReplyRefused() as event:
                _say(
                    "reply.refused",
                    event.order_id,
                    command=str(event.command_id),
                    executor=event.executor,
                    fence=event.fence,
                    reason=event.reason,
                )
            case ApprovalRequested() as event:
                _say("order.awaiting_approval", event.order_id, due=event.due)
            case (
                OrderApproved() | OrderCancelled() | OrderPaused() | OrderResumed() | OrderRetried() as event
            ):
                verb = event.ce_type.removeprefix("stagewright.").removesuffix(".v1")
                _say(verb, event.order_id, by=event.by)
            case ReversalBegun() as event:
                _say("order.reversing", event.order_id, code=event.error.code)
            case OrderEnded() as event:
                code = event.error.code if event.error else None
                _say("order.ended", event.order_id, status=event.status, code=code)


def _say(action: str, correlation_id: str, **facts: object) -> None:
    log.info(action.replace(".", " "), action=action, correlation_id=correlation_id, **facts)

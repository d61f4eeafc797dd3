"""The moments that an order waits for, read off its folded state: nothing of them lives only in memory."""

from collections.abc import Iterator
from datetime import datetime

from orchestrator.domain.inputs import AnswerDue, ApprovalDue, Moment, ProbeDue, RetryDue
from orchestrator.domain.order import OrderState
from stagewright.clock import parse_rfc3339


def moments(state: OrderState) -> Iterator[tuple[datetime, Moment]]:
    """Everything that happens to the order when nothing else does, and when."""
    for scheduled in state.retries.values():
        due = RetryDue(state.order_id, scheduled.stage, scheduled.service)
        yield parse_rfc3339(scheduled.due), due
    if state.approval is not None and state.awaiting and not state.ended:
        yield parse_rfc3339(state.approval.due), ApprovalDue(state.order_id)
    if state.probe is not None:
        yield parse_rfc3339(state.probe.due), ProbeDue(state.order_id)


def answers_due(state: OrderState, now: datetime) -> Iterator[AnswerDue]:
    """Commands that should have been answered by now."""
    for command in state.outstanding.values():
        if command.due is not None and parse_rfc3339(command.due) <= now:
            yield AnswerDue(state.order_id, command.command_id)

"""Every status that an order can have, and every step between two: what the diagram in the docs is made of.

Nothing decides by this table. A test drives the saga through thousands of orders and holds it to this: no
step that is not here, and none here that never happens.
"""

from stagewright.contracts.base import Message
from stagewright.contracts.commands import Command
from stagewright.contracts.queries import OrderStatus

Transition = tuple[OrderStatus | None, str, OrderStatus]
"""From (None: before it was received), through an event, to."""

TRANSITIONS: frozenset[Transition] = frozenset(
    {
        (None, "OrderReceived", "received"),
        ("received", "OrderPlanned", "planned"),
        ("received", "OrderPaused", "paused"),
        ("received", "OrderCancelled", "cancelling"),
        ("received", "ReversalBegun", "reverting"),
        ("received", "OrderEnded", "cancelled"),
        ("received", "OrderEnded", "failed"),
        ("planned", "ApprovalRequested", "awaiting_approval"),
        ("planned", "Command", "running"),
        ("planned", "OrderEnded", "succeeded"),
        ("planned", "OrderEnded", "failed"),
        ("awaiting_approval", "OrderApproved", "planned"),
        ("awaiting_approval", "OrderPaused", "paused"),
        ("awaiting_approval", "OrderCancelled", "cancelling"),
        ("awaiting_approval", "OrderEnded", "failed"),
        ("running", "Command", "received"),
        ("running", "OrderPaused", "paused"),
        ("running", "OrderCancelled", "cancelling"),
        ("running", "ReversalBegun", "reverting"),
        ("running", "OrderEnded", "succeeded"),
        ("running", "OrderEnded", "failed"),
        ("paused", "OrderResumed", "received"),
        ("paused", "OrderResumed", "planned"),
        ("paused", "OrderResumed", "awaiting_approval"),
        ("paused", "OrderResumed", "running"),
        ("paused", "OrderCancelled", "cancelling"),
        ("paused", "ReversalBegun", "reverting"),
        ("paused", "OrderEnded", "failed"),
        ("paused", "OrderEnded", "cancelled"),
        ("cancelling", "ReversalBegun", "reverting"),
        ("cancelling", "OrderEnded", "cancelled"),
        ("reverting", "OrderEnded", "failed"),
        ("reverting", "OrderEnded", "cancelled"),
        ("reverting", "OrderEnded", "stuck"),
        ("failed", "OrderRetried", "running"),
        ("cancelled", "OrderRetried", "running"),
        ("stuck", "OrderRetried", "reverting"),
    }
)


def cause_of(event: Message) -> str:
    """What an event is called in the table."""
    return "Command" if isinstance(event, Command) else type(event).__name__

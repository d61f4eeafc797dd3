"""What the saga itself says of an order: its plan, its turns, its end."""

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from stagewright.contracts.base import Contract, Message
from stagewright.contracts.work import Health
from stagewright.errors import ErrorInfo


class Decision(Contract):
    """One line of the plan."""

    service: str
    decision: Literal["create", "update", "unchanged", "replace", "drop"]
    reasons: tuple[str, ...]
    commit: str | None = Field(description="the commit that will run; None for what is dropped")
    before: dict[str, str | None] = Field(
        default_factory=dict, description="the fields that change, as they were"
    )
    after: dict[str, str | None] = Field(default_factory=dict, description="the same fields, as they will be")


class EnvironmentDecision(Contract):
    """The plan's line for the environment itself: its domains, and whether it is in maintenance."""

    decision: Literal["create", "update", "unchanged", "drop"]
    reasons: tuple[str, ...]
    before: dict[str, str | None] = Field(default_factory=dict)
    after: dict[str, str | None] = Field(default_factory=dict)


class OrderEvent(Message):
    """What the saga itself says of an order, on `events.order.<environment>.<order>`."""

    order_id: str
    environment: str


class OrderPlanned(OrderEvent):
    """The saga made its plan: published so that others can follow.

    `revision` is the environment's when the plan was made: a plan that an order binds to holds for it alone.
    """

    ce_type: ClassVar[str] = "stagewright.order.planned.v1"

    decisions: tuple[Decision, ...]
    environment_decision: EnvironmentDecision
    revision: int = Field(ge=0)


EndStatus = Literal["succeeded", "failed", "cancelled", "stuck"]


class OrderEnded(OrderEvent):
    """An order reached its end."""

    ce_type: ClassVar[str] = "stagewright.order.ended.v1"

    status: EndStatus = Field(
        description="`stuck`: reversing what was done failed; `error` says what to do by hand"
    )
    error: ErrorInfo | None = None
    reverted: bool = Field(default=False, description="what the order had done was reversed")
    finished_at: str


class ApprovalRequested(OrderEvent):
    """The order waits until somebody else than its submitter approves its plan; at `due` it is denied."""

    ce_type: ClassVar[str] = "stagewright.order.approval_requested.v1"

    due: str


class OrderApproved(OrderEvent):
    """Somebody approved the plan as it stands."""

    ce_type: ClassVar[str] = "stagewright.order.approved.v1"

    by: str


class OrderCancelled(OrderEvent):
    """Somebody wants the order to stop; it ends when nothing of it runs any more."""

    ce_type: ClassVar[str] = "stagewright.order.cancelled.v1"

    by: str
    why: str | None = None


class OrderPaused(OrderEvent):
    """Nothing new of the order begins until it is resumed."""

    ce_type: ClassVar[str] = "stagewright.order.paused.v1"

    by: str


class OrderResumed(OrderEvent):
    """The order goes on."""

    ce_type: ClassVar[str] = "stagewright.order.resumed.v1"

    by: str


class OrderRetried(OrderEvent):
    """An order that had ended badly goes on from what failed; `services` are those tried again, if named."""

    ce_type: ClassVar[str] = "stagewright.order.retried.v1"

    by: str
    services: tuple[str, ...] = ()


class ReversalBegun(OrderEvent):
    """What the order did is being reversed, last step first."""

    ce_type: ClassVar[str] = "stagewright.order.reversal_begun.v1"

    error: ErrorInfo


class HealthObserved(OrderEvent):
    """A service that is not deployed anew was seen with another health."""

    ce_type: ClassVar[str] = "stagewright.environment.health_observed.v1"

    service: str
    health: Health


class CommandsWithdrawn(Message):
    """These commands are to be neither begun nor finished; whoever runs one stops it and says so."""

    ce_type: ClassVar[str] = "stagewright.commands.withdrawn.v1"

    order_id: str
    environment: str
    commands: tuple[UUID, ...]


ORDER_EVENTS: tuple[type[OrderEvent], ...] = (
    OrderPlanned,
    ApprovalRequested,
    OrderApproved,
    OrderCancelled,
    OrderPaused,
    OrderResumed,
    OrderRetried,
    ReversalBegun,
    HealthObserved,
    OrderEnded,
)

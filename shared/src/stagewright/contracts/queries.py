"""Queries and their views. Requests and replies are JSON; an unknown id replies with `QueryError`."""

from typing import Literal

from pydantic import Field

from stagewright.contracts.base import Contract, Stage
from stagewright.contracts.order_events import Decision, EnvironmentDecision
from stagewright.contracts.orders import FieldError, OnFailure, Order, Purpose, Receipt
from stagewright.contracts.work import DnsRecord, Health, Route, SecretRef
from stagewright.errors import ErrorInfo

OrderStatus = Literal[
    "received",
    "planned",
    "awaiting_approval",
    "running",
    "paused",
    "cancelling",
    "reverting",
    "succeeded",
    "failed",
    "cancelled",
    "stuck",
]
"""`received`: it waits for its environment, or is inspected. `stuck`: reversing what it did failed."""
ENDED: frozenset[OrderStatus] = frozenset({"succeeded", "failed", "cancelled", "stuck"})
StageStatus = Literal["pending", "running", "retrying", "succeeded", "failed", "skipped"]


class QueryError(Contract):
    """A query that has no answer."""

    error: ErrorInfo


class StageView(Contract):
    """One stage of an order."""

    stage: Stage
    status: StageStatus
    attempts: int
    started_at: str | None = None
    finished_at: str | None = None
    error: ErrorInfo | None = None
    undo: bool = Field(default=False, description="this line is about reversing what the stage did")


class AttemptView(Contract):
    """One command of an order and what came of it."""

    stage: Stage
    service: str | None = None
    attempt: int
    undo: bool = False
    started_at: str | None = None
    finished_at: str | None = None
    executor: str | None = None
    error: ErrorInfo | None = None
    run: str | None = Field(default=None, description="command that runs the playbook again by hand")


class ApprovalView(Contract):
    """Where an order stands with its approval."""

    due: str
    approved_by: str | None = None


class ServiceOutcomeView(Contract):
    """One service of an order."""

    id: str
    decision: str | None = None
    commit: str | None = None
    url: str | None = None
    health: Health | None = None


class OrderView(Contract):
    """`orders show`."""

    order_id: str
    environment_id: str
    action: str
    status: OrderStatus
    description: str | None = None
    received_at: str
    finished_at: str | None = None
    queue_position: int | None = Field(default=None, description="1 is next; None when it has begun")
    waits_for: str | None = Field(default=None, description="the order that has the environment meanwhile")
    submitted_by: str
    purpose: Purpose
    on_failure: OnFailure
    approval: ApprovalView | None = None
    cancelled_by: str | None = None
    reverted: bool = False
    error: ErrorInfo | None = None
    stages: tuple[StageView, ...]
    services: tuple[ServiceOutcomeView, ...]
    plan: tuple[Decision, ...] = ()
    environment_plan: EnvironmentDecision | None = None
    revision: int | None = Field(default=None, description="the environment's revision that was planned on")


class AttemptList(Contract):
    """`logs ID --attempts`: every command of an order, oldest first."""

    attempts: tuple[AttemptView, ...]


class OrderSummary(Contract):
    """One line of `orders list`."""

    order_id: str
    environment_id: str
    action: str
    status: OrderStatus
    received_at: str
    finished_at: str | None = None


class OrderList(Contract):
    """`orders list`, newest first; `next` is the `before` of the next page."""

    orders: tuple[OrderSummary, ...]
    next: str | None = None


class StoredEventView(Contract):
    """One line of `orders events`: an event of the log that belongs to the order."""

    position: int
    stream: str
    version: int
    type: str
    recorded_at: str
    body: dict[str, object]


class EventList(Contract):
    """`orders events`."""

    events: tuple[StoredEventView, ...]


class EnvironmentServiceView(Contract):
    """One service of an environment."""

    id: str
    type: str
    path: str
    block: str
    url: str | None = None
    server: str | None = None
    port: int | None = None
    bucket: str | None = None
    prefix: str | None = None
    database: str | None = None
    commit: str | None = None
    health: Health | None = None
    secrets: tuple[SecretRef, ...] = ()
    order_id: str | None = Field(default=None, description="the order that deployed it")


class EnvironmentView(Contract):
    """`environments show`."""

    environment_id: str
    domains: tuple[str, ...]
    records: tuple[DnsRecord, ...] = ()
    services: tuple[EnvironmentServiceView, ...]
    routes: tuple[Route, ...] = ()
    active_order: str | None = None
    queue: tuple[str, ...] = Field(default=(), description="orders that wait, the next one first")
    last_order: str | None = None
    maintenance: bool = False
    revision: int = Field(default=0, description="counts what changed: a plan holds for one revision")


class PlanLine(Decision):
    """A line of a plan, and what it rests on: what the log says, or what was looked at."""

    basis: Literal["believed", "verified"]
    as_of: str | None = Field(description="RFC 3339: since when it is believed, or when it was looked at")


class PlanView(Contract):
    """A plan. `plan_id` binds an order to it; a plan from the log alone has none."""

    plan_id: str | None = None
    environment_id: str
    action: str
    revision: int
    environment: EnvironmentDecision
    services: tuple[PlanLine, ...]
    changes: bool = Field(description="whether anything would be done")


class PlanReply(Contract):
    """The reply to `orders.plan`: as to a submit, or with the plan itself where it was asked offline."""

    status: Literal["planned", "accepted", "duplicate", "rejected"]
    order_id: str | None = Field(default=None, description="under which the plan is made and can be shown")
    receipt: Receipt | None = None
    errors: tuple[FieldError, ...] = ()
    plan: PlanView | None = Field(default=None, description="`planned`: what the log alone says")


class PlanQuery(Contract):
    """Body of `queries.plans.show` (with `plan_id`) and of `queries.plans.believed` (with `order`)."""

    plan_id: str | None = None
    order: Order | None = None


class RollbackQuery(Contract):
    """Body of `queries.orders.rollback`: bring an environment back to where an order left it."""

    environment_id: str
    to: str


class RollbackOrder(Contract):
    """Reply of `queries.orders.rollback`: the order that does it, to plan and submit as any other."""

    order: Order


class OrderQuery(Contract):
    """Body of `queries.orders.show`, `queries.orders.events` and `queries.orders.attempts`."""

    order_id: str


class OrderListQuery(Contract):
    """Body of `queries.orders.list`."""

    environment_id: str | None = None
    status: OrderStatus | None = None
    purpose: Purpose = "apply"
    before: str | None = None
    limit: int = Field(default=50, ge=1, le=1000)


class EnvironmentQuery(Contract):
    """Body of `queries.environments.show`."""

    environment_id: str


class ReceiptsQuery(Contract):
    """Body of `queries.orders.receipts`: which of these order ids are known, for ever."""

    order_ids: tuple[str, ...] = Field(max_length=1024)


class ReceiptList(Contract):
    """Reply of `queries.orders.receipts`: one receipt for every known id, none for the others."""

    receipts: tuple[Receipt, ...]


class Probe(Contract):
    """Reply of `queries.system.health`."""

    status: Literal["ready", "degraded"]
    position: int
    detail: str | None = None

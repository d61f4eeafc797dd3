"""Queries and their views. Requests and replies are JSON; an unknown id replies with `QueryError`."""

from typing import Literal

from pydantic import Field

from stagewright.contracts.base import Contract, Stage
from stagewright.contracts.events import Decision
from stagewright.contracts.orders import Receipt
from stagewright.contracts.work import DnsRecord, Health, Route, SecretRef
from stagewright.errors import ErrorInfo

OrderStatus = Literal["received", "planned", "running", "succeeded", "failed"]
StageStatus = Literal["pending", "running", "retrying", "succeeded", "failed"]


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
    error: ErrorInfo | None = None
    stages: tuple[StageView, ...]
    services: tuple[ServiceOutcomeView, ...]
    plan: tuple[Decision, ...] = ()


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
    last_order: str | None = None


class OrderQuery(Contract):
    """Body of `queries.orders.show` and `queries.orders.events`."""

    order_id: str


class OrderListQuery(Contract):
    """Body of `queries.orders.list`."""

    environment_id: str | None = None
    status: OrderStatus | None = None
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

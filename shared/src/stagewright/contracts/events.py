"""Events: what an executor found and changed, and what became of an order. In the past tense."""

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from stagewright.contracts.base import Contract, Message, Stage
from stagewright.contracts.work import Allocation, DnsRecord, Health, Route, ServiceSecrets
from stagewright.errors import ErrorInfo


class Outcome(Message):
    """What every answer to a command carries."""

    command_id: UUID
    order_id: str
    environment: str
    stage: Stage
    attempt: int = Field(ge=1)
    started_at: str = Field(description="RFC 3339, UTC")
    finished_at: str = Field(description="RFC 3339, UTC")


class InspectedService(Contract):
    """One service, as `inspect` found it."""

    service: str
    commit: str = Field(
        pattern=r"^[0-9a-f]{40,64}$", description="what the order's repository resolves to now"
    )
    running: str | None = Field(
        default=None,
        description="the commit that is really there (checked out and supervised, or in the bucket)",
    )
    health: Health | None = None


class EnvironmentInspected(Outcome):
    """Facts for the plan."""

    ce_type: ClassVar[str] = "stagewright.environment.inspected.v1"

    services: tuple[InspectedService, ...]
    occupied_ports: tuple[tuple[str, int], ...] = Field(
        default=(),
        description="(server, port): listening now, in the leasable range, and not ours by `deployed`",
    )


class EnvironmentConfigured(Outcome):
    """Every domain points at the proxy."""

    ce_type: ClassVar[str] = "stagewright.environment.configured.v1"

    records: tuple[DnsRecord, ...]
    changed: tuple[str, ...] = Field(default=(), description="names of the records that were written")


class ResourcesAllocated(Outcome):
    """The allocations exist."""

    ce_type: ClassVar[str] = "stagewright.resources.allocated.v1"

    allocations: tuple[Allocation, ...]
    changed: tuple[str, ...] = Field(default=(), description="what was made: `bucket:stagewright-3`")


class VariablesCreated(Outcome):
    """Every secret that the services need exists; by reference."""

    ce_type: ClassVar[str] = "stagewright.variables.created.v1"

    services: tuple[ServiceSecrets, ...]
    changed: tuple[str, ...] = Field(default=(), description="paths that were created")


class ServiceDeployed(Outcome):
    """One service runs at one commit."""

    ce_type: ClassVar[str] = "stagewright.service.deployed.v1"

    service: str
    commit: str
    health: Health = Field(description="`incomplete`: up, but not answering yet")
    changed: tuple[str, ...] = Field(default=(), description="names of the tasks that changed something")


class RoutesUpdated(Outcome):
    """The proxy serves the environment's routes."""

    ce_type: ClassVar[str] = "stagewright.routes.updated.v1"

    routes: tuple[Route, ...]
    changed: bool = False


class CommandFailed(Outcome):
    """A command could not be done; the saga decides what follows."""

    ce_type: ClassVar[str] = "stagewright.command.failed.v1"

    service: str | None = None
    error: ErrorInfo


class OrderPlanned(Message):
    """The saga made its plan: published so that others can follow."""

    ce_type: ClassVar[str] = "stagewright.order.planned.v1"

    order_id: str
    environment: str
    decisions: tuple["Decision", ...]


class Decision(Contract):
    """One line of the plan."""

    service: str
    decision: Literal["create", "update", "unchanged"]
    reasons: tuple[str, ...]
    commit: str
    before: dict[str, str | None] = Field(
        default_factory=dict, description="the fields that change, as they were"
    )
    after: dict[str, str | None] = Field(default_factory=dict, description="the same fields, as they will be")


class OrderEnded(Message):
    """An order reached its end."""

    ce_type: ClassVar[str] = "stagewright.order.ended.v1"

    order_id: str
    environment: str
    status: Literal["succeeded", "failed"]
    error: ErrorInfo | None = None
    finished_at: str


OrderPlanned.model_rebuild()

ALL_OUTCOMES: tuple[type[Outcome], ...] = (
    EnvironmentInspected,
    EnvironmentConfigured,
    ResourcesAllocated,
    VariablesCreated,
    ServiceDeployed,
    RoutesUpdated,
    CommandFailed,
)
ORDER_EVENTS: tuple[type[Message], ...] = (OrderPlanned, OrderEnded)

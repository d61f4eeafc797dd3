"""Events: what an executor found and changed, and what became of an order. In the past tense."""

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from stagewright.contracts.base import Contract, Message, Stage
from stagewright.contracts.work import (
    Allocation,
    DnsRecord,
    Health,
    Route,
    ServiceHealth,
    ServiceSecrets,
)
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
    executor: str | None = Field(default=None, description="which executor did it")
    fence: int | None = Field(default=None, description="the lease's revision under which it was done")


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
    run: str | None = Field(
        default=None, description="command that runs the playbook again by hand, on the executor's machine"
    )


class RoutesUpdated(Outcome):
    """The proxy serves the environment's routes."""

    ce_type: ClassVar[str] = "stagewright.routes.updated.v1"

    routes: tuple[Route, ...]
    maintenance: bool = False
    changed: bool = False


class ServiceRemoved(Outcome):
    """One service is gone from its allocation."""

    ce_type: ClassVar[str] = "stagewright.service.removed.v1"

    service: str
    dump: str | None = Field(default=None, description="where its database was dumped: a path or `s3://…`")
    changed: tuple[str, ...] = Field(default=(), description="names of the tasks that changed something")
    run: str | None = Field(
        default=None, description="command that runs the playbook again by hand, on the executor's machine"
    )


class ResourcesReleased(Outcome):
    """The allocations are free for others."""

    ce_type: ClassVar[str] = "stagewright.resources.released.v1"

    changed: tuple[str, ...] = Field(default=(), description="what was removed: `bucket:stagewright-3`")


class VariablesDeleted(Outcome):
    """The secrets are deleted; their versions can be restored."""

    ce_type: ClassVar[str] = "stagewright.variables.deleted.v1"

    changed: tuple[str, ...] = Field(default=(), description="paths that were deleted now")


class EnvironmentDeconfigured(Outcome):
    """The records are gone."""

    ce_type: ClassVar[str] = "stagewright.environment.deconfigured.v1"

    changed: tuple[str, ...] = Field(default=(), description="names of the records that were removed")


class ServicesProbed(Outcome):
    """How services are now."""

    ce_type: ClassVar[str] = "stagewright.services.probed.v1"

    services: tuple[ServiceHealth, ...]


class CommandFailed(Outcome):
    """A command could not be done; the saga decides what follows."""

    ce_type: ClassVar[str] = "stagewright.command.failed.v1"

    service: str | None = None
    error: ErrorInfo
    run: str | None = Field(
        default=None, description="command that runs the playbook again by hand, on the executor's machine"
    )


CANCELLED = "command.cancelled"
"""Error code of a command that was withdrawn before or while it ran."""
LEASE_LOST = "lease.lost"
"""Error code of an executor that lost its lease and therefore stopped: no answer to the command."""


ALL_OUTCOMES: tuple[type[Outcome], ...] = (
    EnvironmentInspected,
    EnvironmentConfigured,
    ResourcesAllocated,
    VariablesCreated,
    ServiceDeployed,
    RoutesUpdated,
    ServiceRemoved,
    ResourcesReleased,
    VariablesDeleted,
    EnvironmentDeconfigured,
    ServicesProbed,
    CommandFailed,
)

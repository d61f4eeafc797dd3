"""Commands: one per stage, one per service for deployments. Imperative; executors obey them."""

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from stagewright.contracts.base import Message, Stage
from stagewright.contracts.work import (
    Allocation,
    Deployable,
    Deployed,
    DnsRecord,
    Location,
    Route,
    SecretRef,
    ServiceSecrets,
)


class Command(Message):
    """What every command carries."""

    stage: ClassVar[Stage]

    command_id: UUID
    order_id: str
    environment: str
    attempt: int = Field(default=1, ge=1)
    timeout: float = Field(default=900, gt=0, description="seconds that the executor may take")
    due: str | None = Field(
        default=None, description="RFC 3339: when the saga waits no longer and withdraws the command"
    )
    undo: bool = Field(default=False, description="part of a compensation: it reverses what the order did")

    @property
    def target(self) -> str | None:
        """The service that the command is about, None where it is about the whole environment."""
        return None


class InspectEnvironment(Command):
    """Resolve every repository to a commit, and look at what is there."""

    ce_type: ClassVar[str] = "stagewright.environment.inspect.v1"
    stage: ClassVar[Stage] = Stage.INSPECT

    services: tuple[Deployable, ...]
    deployed: tuple[Deployed, ...] = Field(default=(), description="what the history believes to run")


class ConfigureEnvironment(Command):
    """Point every domain at the proxy."""

    ce_type: ClassVar[str] = "stagewright.environment.configure.v1"
    stage: ClassVar[Stage] = Stage.CONFIGURE_ENVIRONMENT

    domains: tuple[str, ...]


class AllocateResources(Command):
    """Make the allocations true: ports are leased already, buckets are made here."""

    ce_type: ClassVar[str] = "stagewright.resources.allocate.v1"
    stage: ClassVar[Stage] = Stage.ALLOCATE_RESOURCES

    allocations: tuple[Allocation, ...]


class CreateVariables(Command):
    """Create the secrets that are missing; check those that the order lists."""

    ce_type: ClassVar[str] = "stagewright.variables.create.v1"
    stage: ClassVar[Stage] = Stage.CREATE_VARIABLES

    services: tuple[Deployable, ...]
    allocations: tuple[Allocation, ...]
    pins: tuple[ServiceSecrets, ...] = Field(
        default=(),
        description="exact versions that must be used, restored where they were deleted; a rollback has them",
    )


class DeployService(Command):
    """Bring one service to one commit on its allocation."""

    ce_type: ClassVar[str] = "stagewright.service.deploy.v1"
    stage: ClassVar[Stage] = Stage.DEPLOY_SERVICES

    service: Deployable
    commit: str = Field(pattern=r"^[0-9a-f]{40,64}$")
    allocation: Allocation
    secrets: tuple[SecretRef, ...] = ()
    discovery: tuple[Location, ...] = Field(default=(), description="where the environment's APIs are")
    domains: tuple[str, ...] = ()
    restart: bool = Field(default=False, description="start the process anew also where nothing differs")

    @property
    def target(self) -> str | None:
        """The service's id."""
        return self.service.id


class UpdateRoutes(Command):
    """Make the proxy serve exactly these routes for the environment; none at all removes its site."""

    ce_type: ClassVar[str] = "stagewright.routes.update.v1"
    stage: ClassVar[Stage] = Stage.UPDATE_ROUTES

    routes: tuple[Route, ...]
    maintenance: bool = Field(
        default=False, description="answer 503 with Retry-After on every domain; services run on untouched"
    )


class RemoveService(Command):
    """Take one service off its allocation: process and files, or objects; its database is dumped first."""

    ce_type: ClassVar[str] = "stagewright.service.remove.v1"
    stage: ClassVar[Stage] = Stage.REMOVE_SERVICES

    service: Deployable
    allocation: Allocation
    dump: bool = Field(default=True, description="dump the database before it is dropped")

    @property
    def target(self) -> str | None:
        """The service's id."""
        return self.service.id


class ReleaseResources(Command):
    """Give back what only removed services used: these allocations, and these buckets, which are empty."""

    ce_type: ClassVar[str] = "stagewright.resources.release.v1"
    stage: ClassVar[Stage] = Stage.RELEASE_RESOURCES

    allocations: tuple[Allocation, ...]
    buckets: tuple[str, ...] = Field(default=(), description="those that no service of the environment uses")


class DeleteVariables(Command):
    """Delete these secrets softly: their versions can be restored."""

    ce_type: ClassVar[str] = "stagewright.variables.delete.v1"
    stage: ClassVar[Stage] = Stage.DELETE_VARIABLES

    paths: tuple[str, ...] = Field(description="paths under the KV v2 mount")


class DeconfigureEnvironment(Command):
    """Remove the DNS records of domains that the environment no longer answers on."""

    ce_type: ClassVar[str] = "stagewright.environment.deconfigure.v1"
    stage: ClassVar[Stage] = Stage.DECONFIGURE_ENVIRONMENT

    records: tuple[DnsRecord, ...] = Field(description="as they were written; another value stays")


class ProbeServices(Command):
    """Ask services that were up but incomplete whether they are ready now. Changes nothing."""

    ce_type: ClassVar[str] = "stagewright.services.probe.v1"
    stage: ClassVar[Stage] = Stage.PROBE_SERVICES

    services: tuple[Deployed, ...]


ALL_COMMANDS: tuple[type[Command], ...] = (
    InspectEnvironment,
    ConfigureEnvironment,
    AllocateResources,
    CreateVariables,
    DeployService,
    UpdateRoutes,
    RemoveService,
    ReleaseResources,
    DeleteVariables,
    DeconfigureEnvironment,
    ProbeServices,
)

__all__ = [
    "ALL_COMMANDS",
    "AllocateResources",
    "Command",
    "ConfigureEnvironment",
    "CreateVariables",
    "DeconfigureEnvironment",
    "DeleteVariables",
    "DeployService",
    "InspectEnvironment",
    "ProbeServices",
    "ReleaseResources",
    "RemoveService",
    "UpdateRoutes",
]

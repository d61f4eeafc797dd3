"""Commands: one per stage, one per service for deployments. Imperative; executors obey them."""

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from stagewright.contracts.base import Message, Stage
from stagewright.contracts.work import (
    Allocation,
    Deployable,
    Deployed,
    Location,
    Route,
    SecretRef,
)


class Command(Message):
    """What every command carries."""

    stage: ClassVar[Stage]

    command_id: UUID
    order_id: str
    environment: str
    attempt: int = Field(default=1, ge=1)
    timeout: float = Field(default=900, gt=0, description="seconds that the executor may take")

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

    @property
    def target(self) -> str | None:
        """The service's id."""
        return self.service.id


class UpdateRoutes(Command):
    """Make the proxy serve exactly these routes for the environment."""

    ce_type: ClassVar[str] = "stagewright.routes.update.v1"
    stage: ClassVar[Stage] = Stage.UPDATE_ROUTES

    routes: tuple[Route, ...]


ALL_COMMANDS: tuple[type[Command], ...] = (
    InspectEnvironment,
    ConfigureEnvironment,
    AllocateResources,
    CreateVariables,
    DeployService,
    UpdateRoutes,
)

__all__ = [
    "ALL_COMMANDS",
    "AllocateResources",
    "Command",
    "ConfigureEnvironment",
    "CreateVariables",
    "DeployService",
    "InspectEnvironment",
    "UpdateRoutes",
]

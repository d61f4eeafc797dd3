"""Values that commands and events share: what is deployed, allocated, stored and routed."""

from typing import Literal

from pydantic import Field

from stagewright.contracts.base import Contract
from stagewright.contracts.orders import BlockName, Repository, ServiceType

Health = Literal["ready", "incomplete"]


class Allocation(Contract):
    """Where a service lives. APIs have server and port, fronts a bucket and prefix."""

    service: str
    server: str | None = Field(default=None, description="the server's name, from settings")
    port: int | None = Field(default=None, ge=3000, le=9999)
    database: str | None = Field(
        default=None, description="name of the database, and of the user that owns it"
    )
    bucket: str | None = None
    prefix: str | None = Field(
        default=None, description="key prefix in the bucket, without slashes at the ends"
    )


class SecretRef(Contract):
    """A secret by name, place and version. The value never travels."""

    name: str = Field(description="environment variable of the service: `DB_PASSWORD`")
    path: str = Field(description="path under the KV v2 mount")
    version: int = Field(ge=1)


def variable_path(environment: str, name: str) -> str:
    """Where a variable that orders list is, under the vault's mount."""
    return f"environments/{environment}/variables/{name}"


def own_variable_path(environment: str, service: str, name: str) -> str:
    """Where a variable that Stagewright makes for one service is, under the vault's mount."""
    return f"environments/{environment}/services/{service}/{name}"


OWN_VARIABLES: dict[BlockName, tuple[str, ...]] = {
    "api": ("DB_DATABASE", "DB_USERNAME", "DB_PASSWORD"),
    "front": ("CDN_PATH",),
}
"""The variables that Stagewright makes for a service, by the block that it stands in."""


class ServiceSecrets(Contract):
    """The secrets of one service."""

    service: str
    secrets: tuple[SecretRef, ...] = ()


class DnsRecord(Contract):
    """One record that an environment's domain has."""

    name: str
    type: Literal["A", "CNAME"]
    value: str


class Route(Contract):
    """One path of one domain, and what answers there: a server and port, or a prefix in a bucket."""

    domain: str
    path: str
    service: str
    server: str | None = None
    port: int | None = None
    bucket: str | None = None
    prefix: str | None = None


class Location(Contract):
    """Where a role can be found: one line of a service's `.discovery.json`."""

    service: str
    roles: tuple[str, ...]
    url: str


class Deployable(Contract):
    """A service as the executor needs it: the order's words for it and the block that it stands in."""

    id: str
    block: BlockName
    path: str
    type: ServiceType
    repository: Repository
    roles: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()


class ServiceHealth(Contract):
    """How one service was seen."""

    service: str
    health: Health


class Deployed(Contract):
    """What the environment's history says runs for a service: what `inspect` looks for."""

    service: str
    commit: str = Field(pattern=r"^[0-9a-f]{40,64}$")
    allocation: Allocation

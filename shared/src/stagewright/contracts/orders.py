"""The order: the desired state of one environment, as a person writes it.

Field rules live in `order_rules`, once; every service that reads an order applies them. Validation errors
carry the code as pydantic's error `type` and a message with reason and remedy.
"""

import hashlib
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

import orjson
from pydantic import AfterValidator, AliasChoices, Field, model_validator

from stagewright.contracts import order_rules as rules
from stagewright.contracts.base import Contract, Message
from stagewright.contracts.order_rules import (
    API_TYPES,
    FRONT_TYPES,
    ID_PATTERN,
    ORDER_ID_PATTERN,
    DomainLine,
    ServiceLine,
)

ServiceType = Literal["node", "angular", "python", "static"]
BlockName = Literal["api", "front"]

OrderId = Annotated[str, AfterValidator(rules.order_id)]
Identifier = Annotated[str, AfterValidator(rules.identifier)]
Domain = Annotated[str, AfterValidator(rules.domain)]
UrlPath = Annotated[str, AfterValidator(rules.url_path)]
RepositoryUrl = Annotated[str, Field(max_length=500), AfterValidator(rules.repository_url)]
GitRef = Annotated[str, AfterValidator(rules.ref)]
Role = Annotated[str, AfterValidator(rules.role)]
VaultId = Annotated[str, AfterValidator(rules.vault_id)]
Text = Annotated[str, Field(max_length=500), AfterValidator(rules.plain)]


class Repository(Contract):
    """Where a service's source is; `version` is a branch, tag or commit, the default branch without it."""

    url: RepositoryUrl
    version: GitRef | None = None

    @model_validator(mode="before")
    @classmethod
    def _version_is_text(cls, data: Any) -> Any:
        if isinstance(data, dict) and "version" in data:
            rules.quoted(data["version"])
        return data


class ServiceSpec(Contract):
    """One service as the order wants it."""

    id: Identifier = Field(validation_alias=AliasChoices("id", "uuid"))
    path: UrlPath
    repository: Repository
    roles: tuple[Role, ...] = Field(default=(), validation_alias=AliasChoices("roles", "tags"), max_length=50)
    variables: tuple[VaultId, ...] = Field(
        default=(), max_length=100, description="vault ids that must exist"
    )
    type: ServiceType


class Block(Contract):
    """The services of one side (api or front) and the domains on which they answer."""

    domains: tuple[Domain, ...] = Field(min_length=1, max_length=50)
    services: tuple[ServiceSpec, ...] = Field(min_length=1, max_length=100)


class OrderedService(NamedTuple):
    """A service together with the block that it stands in."""

    block: BlockName
    spec: ServiceSpec


class Order(Contract):
    """The desired state of one environment, verified."""

    action: Literal["update"]
    environment_id: Identifier
    order_id: OrderId | None = None
    description: Text | None = None
    api: Block
    front: Block

    @model_validator(mode="after")
    def _whole(self) -> Self:
        lines = (
            ServiceLine(name, index, spec.id, spec.path, spec.type)
            for name, block in self._blocks()
            for index, spec in enumerate(block.services)
        )
        domains = (
            DomainLine(name, index, domain)
            for name, block in self._blocks()
            for index, domain in enumerate(block.domains)
        )
        for conflict in rules.conflicts(lines, domains):
            where = ".".join(str(part) for part in conflict.field)
            raise rules.fail(conflict.code, f"{where} {conflict.message}")
        return self

    def digest(self) -> str:
        """SHA-256, in hex, of the order's content: its canonical JSON without the order id.

        Keys are sorted, and fields that have their default are left out: a field that a later version adds
        changes no digest of an order that does not use it.
        """
        content = self.model_dump(mode="json", exclude={"order_id"}, exclude_defaults=True)
        return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()

    @property
    def environment(self) -> str:
        """The environment's id (the reference's `getEnvironmentUuid`)."""
        return self.environment_id

    @property
    def domains(self) -> tuple[str, ...]:
        """Every domain, those of api first (the reference's `getDomains`)."""
        return self.api.domains + self.front.domains

    @cached_property
    def services(self) -> tuple[OrderedService, ...]:
        """Every service with its block, those of api first (the reference's `getServices`)."""
        return tuple(self._ordered())

    def _ordered(self) -> Iterator[OrderedService]:
        for name, block in self._blocks():
            for spec in block.services:
                yield OrderedService(name, spec)

    def _blocks(self) -> tuple[tuple[BlockName, Block], ...]:
        return ("api", self.api), ("front", self.front)


class OrderReceived(Message):
    """order-intake accepted an order. `digest` is the SHA-256, in hex, of the order's canonical JSON."""

    ce_type: ClassVar[str] = "stagewright.order.received.v1"

    order_id: OrderId
    order: Order
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    received_at: str = Field(description="RFC 3339, UTC: the first receipt, the same for ever")


class FieldError(Contract):
    """One thing wrong with a submitted order."""

    code: str
    field: str = Field(
        description="path from the root of the order: `api.services[0].path`; empty for the whole"
    )
    message: str


class Receipt(Contract):
    """The first receipt of an order id: what every later submit of the same order gets back."""

    order_id: OrderId
    digest: str
    received_at: str


class SubmitReply(Contract):
    """The reply to `orders.submit`."""

    status: Literal["accepted", "duplicate", "rejected"]
    order_id: str | None = None
    receipt: Receipt | None = None
    errors: tuple[FieldError, ...] = ()


__all__ = [
    "API_TYPES",
    "FRONT_TYPES",
    "ID_PATTERN",
    "ORDER_ID_PATTERN",
    "Block",
    "BlockName",
    "Domain",
    "FieldError",
    "GitRef",
    "Identifier",
    "Order",
    "OrderId",
    "OrderReceived",
    "OrderedService",
    "Receipt",
    "Repository",
    "RepositoryUrl",
    "Role",
    "ServiceSpec",
    "ServiceType",
    "SubmitReply",
    "Text",
    "UrlPath",
    "VaultId",
]

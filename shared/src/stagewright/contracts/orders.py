"""The order: the desired state of one environment, as a person writes it, or something to be done to it.

Field rules live in `order_rules` and those between fields in `order_conflicts`, once; every service that
reads an order applies them. Validation errors carry the code as pydantic's error `type` and a message with
reason and remedy.
"""

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

import orjson
from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    Strict,
    WithJsonSchema,
    model_validator,
)

from stagewright.contracts import order_rules as rules
from stagewright.contracts.base import STAGES, Contract, Message, Stage
from stagewright.contracts.order_conflicts import Conflict, conflicts

ID_PATTERN, ORDER_ID_PATTERN = rules.ID_PATTERN, rules.ORDER_ID_PATTERN

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
Person = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(rules.person)]
"""Who submits or asks: a name as the installation knows people."""
Flag = Annotated[bool, Strict()]
"""True or false, and never text or a number that reads like one."""
Seconds = Annotated[float, Strict(), Field(gt=0, le=86_400)]
OrderStage = Annotated[
    Stage, BeforeValidator(rules.stage), WithJsonSchema({"type": "string", "enum": list(STAGES)})
]


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


class SecretPin(Contract):
    """An exact version of a secret: a name as the service sees it, and a version number."""

    name: VaultId
    version: Annotated[int, Strict()] = Field(ge=1)


class ServicePins(Contract):
    """The secrets of one service at exact versions."""

    service: Identifier
    secrets: tuple[SecretPin, ...] = Field(max_length=200)


Action = Literal["update", "drop", "redeploy", "maintenance", "rollback"]
OnFailure = Literal["keep", "revert"]
Purpose = Literal["apply", "plan"]


class Order(Contract):
    """The desired state of one environment, verified, or something to be done to it.

    Which fields an action needs and takes is in `order_conflicts.ACTION_FIELDS`.
    """

    action: Action
    environment_id: Identifier
    order_id: OrderId | None = None
    description: Text | None = None
    api: Block | None = Field(default=None, description="the services without a page of their own")
    front: Block | None = Field(default=None, description="the services that are pages")
    service_ids: tuple[Identifier, ...] = Field(
        default=(), max_length=200, description="`redeploy`: the services that are started anew"
    )
    maintenance: Flag | None = Field(
        default=None, description="`maintenance`: true answers 503 on every domain, false serves again"
    )
    to: OrderId | None = Field(default=None, description="`rollback`: the order whose result is brought back")
    pins: tuple[ServicePins, ...] = Field(
        default=(), max_length=200, description="`rollback`: secrets at exact versions"
    )
    dump: Flag = Field(default=True, description="`drop`: dump databases before they are dropped")
    require_approval: Flag = Field(
        default=False, description="wait until somebody else than the submitter approves the plan"
    )
    on_failure: OnFailure = Field(
        default="keep", description="what becomes of what was done, when the order fails or is cancelled"
    )
    supersedes: Flag = Field(
        default=False, description="end the updates of this environment that wait for their turn"
    )
    timeouts: dict[OrderStage, Seconds] = Field(
        default_factory=dict, description="seconds that a command of a stage may take, instead of the setting"
    )
    plan_id: OrderId | None = Field(
        default=None, description="a saved plan: the order fails where another plan would be made by now"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for conflict in conflicts_of(self):
            where = ".".join(str(part) for part in conflict.field)
            raise rules.fail(conflict.code, f"{where} {conflict.message}")
        return self

    def digest(self, purpose: Purpose = "apply") -> str:
        """SHA-256, in hex, of the order's content: its canonical JSON without the order id.

        Keys are sorted, and fields that have their default are left out: a field that a later version adds
        changes no digest of an order that does not use it. To plan an order is another content than to apply
        it: nobody may take the receipt of a plan for that of an order.
        """
        content = self.model_dump(mode="json", exclude={"order_id"}, exclude_defaults=True)
        if purpose != "apply":
            content["purpose"] = purpose
        return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def same_wish(self, other: "Order") -> bool:
        """Whether both orders want the same, whatever their ids, words and plan."""
        apart = {"order_id": None, "plan_id": None, "description": None}
        return self.model_copy(update=apart) == other.model_copy(update=apart)

    @property
    def environment(self) -> str:
        """The environment's id (the reference's `getEnvironmentUuid`)."""
        return self.environment_id

    @property
    def domains(self) -> tuple[str, ...]:
        """Every domain, those of api first (the reference's `getDomains`)."""
        return tuple(domain for _, block in self.blocks() for domain in block.domains)

    @cached_property
    def services(self) -> tuple[OrderedService, ...]:
        """Every service with its block, those of api first (the reference's `getServices`)."""
        return tuple(self._ordered())

    def _ordered(self) -> Iterator[OrderedService]:
        for name, block in self.blocks():
            for spec in block.services:
                yield OrderedService(name, spec)

    def blocks(self) -> tuple[tuple[BlockName, Block], ...]:
        """The blocks that the order has, api first; none where its action needs none."""
        sides: tuple[tuple[BlockName, Block | None], ...] = (("api", self.api), ("front", self.front))
        return tuple((name, block) for name, block in sides if block is not None)


_BLANK: Mapping[str, tuple[Any, ...]] = {
    name: (None, default, [] if default == () else default)
    for name, info in Order.model_fields.items()
    for default in [info.get_default(call_default_factory=True)]
}
"""What a field holds, in a model or in a tree, that says no more than if it were left out."""


def conflicts_of(order: Order | dict[str, Any]) -> Iterator[Conflict]:
    """What in an order cannot stand together; also of the plain tree of one that is wrong elsewhere too."""
    values = order if isinstance(order, dict) else vars(order)
    given = [name for name, blank in _BLANK.items() if values.get(name) not in blank]
    return conflicts(order, given)


ANONYMOUS = "anonymous"
SUBMITTER_HEADER = "Stagewright-Submitter"
"""Header of a submit or plan that says who sends it; `ANONYMOUS` without it."""
OFFLINE_HEADER = "Stagewright-Offline"
"""Header of `orders.plan`: `true` plans from the log alone, and nothing is looked at."""


class OrderReceived(Message):
    """order-intake accepted an order. `digest` is `Order.digest`."""

    ce_type: ClassVar[str] = "stagewright.order.received.v1"

    order_id: OrderId
    order: Order
    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the order and its purpose")
    received_at: str = Field(description="RFC 3339, UTC: the first receipt, the same for ever")
    submitted_by: Person = Field(default=ANONYMOUS, description="who says to have submitted it")
    purpose: Purpose = Field(default="apply", description="`plan`: inspect and plan, and change nothing")


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

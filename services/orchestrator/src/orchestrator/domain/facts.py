"""Facts that only the log knows, beside the wire messages that are stored as they are.

An order's stream holds `OrderReceived`, every command, every outcome, `OrderPlanned` and `OrderEnded`:
the messages themselves. What is here completes them.
"""

from typing import ClassVar
from uuid import UUID

from stagewright.contracts.base import Message, Stage
from stagewright.contracts.order_events import CommandsWithdrawn
from stagewright.contracts.work import (
    Allocation,
    Deployable,
    DnsRecord,
    Health,
    Route,
    ServiceSecrets,
)
from stagewright.errors import ErrorInfo


class RetryScheduled(Message):
    """A command failed in a way that time may heal; it is issued again at `due`."""

    ce_type: ClassVar[str] = "stagewright.retry.scheduled.v1"

    order_id: str
    stage: Stage
    service: str | None
    attempt: int
    due: str
    error: ErrorInfo
    undo: bool = False


class PieceGivenUp(Message):
    """A stage, or one service of it, is not tried again: the order fails when nothing of it runs any more."""

    ce_type: ClassVar[str] = "stagewright.order.piece_given_up.v1"

    order_id: str
    stage: Stage
    service: str | None
    error: ErrorInfo
    undo: bool = False


class CommandOverdue(Message):
    """No answer came in time: the command is withdrawn, and an answer that still comes is refused."""

    ce_type: ClassVar[str] = "stagewright.command.overdue.v1"

    order_id: str
    command_id: UUID


class ReplyRefused(Message):
    """An answer that is none: to a command that is not waited for, or of an executor without its lease."""

    ce_type: ClassVar[str] = "stagewright.reply.refused.v1"

    order_id: str
    command_id: UUID
    stage: Stage
    attempt: int
    executor: str | None
    fence: int | None
    reason: str


class ProbeScheduled(Message):
    """Services are up but incomplete; they are asked again at `due`."""

    ce_type: ClassVar[str] = "stagewright.order.probe_scheduled.v1"

    order_id: str
    attempt: int
    due: str


class EnvironmentClaimed(Message):
    """An order owns the environment from now on."""

    ce_type: ClassVar[str] = "stagewright.environment.claimed.v1"

    environment: str
    order_id: str


class OrderQueued(Message):
    """The environment is owned by another order; this one waits, first come first served."""

    ce_type: ClassVar[str] = "stagewright.environment.order_queued.v1"

    environment: str
    order_id: str


class OrderDequeued(Message):
    """An order that waited does not wait any more: it was cancelled, or superseded."""

    ce_type: ClassVar[str] = "stagewright.environment.order_dequeued.v1"

    environment: str
    order_id: str


class EnvironmentReleased(Message):
    """The order that owned the environment has ended."""

    ce_type: ClassVar[str] = "stagewright.environment.released.v1"

    environment: str
    order_id: str


class DomainsRecorded(Message):
    """The environment answers on these domains, and these records point at the proxy."""

    ce_type: ClassVar[str] = "stagewright.environment.domains_recorded.v1"

    order_id: str
    domains: tuple[str, ...]
    records: tuple[DnsRecord, ...]


class RecordsRemoved(Message):
    """These records are gone."""

    ce_type: ClassVar[str] = "stagewright.environment.records_removed.v1"

    order_id: str
    records: tuple[DnsRecord, ...]


class AllocationsRecorded(Message):
    """These services live there; `tenants` are the same services, in the order's words."""

    ce_type: ClassVar[str] = "stagewright.environment.allocations_recorded.v1"

    order_id: str
    allocations: tuple[Allocation, ...]
    tenants: tuple[Deployable, ...]


class AllocationsReleased(Message):
    """These allocations are nobody's any more."""

    ce_type: ClassVar[str] = "stagewright.environment.allocations_released.v1"

    order_id: str
    allocations: tuple[Allocation, ...]


class SecretsRecorded(Message):
    """These references exist in the vault."""

    ce_type: ClassVar[str] = "stagewright.environment.secrets_recorded.v1"

    order_id: str
    services: tuple[ServiceSecrets, ...]


class SecretsDeleted(Message):
    """What is under these paths of the vault was deleted; its versions can be restored."""

    ce_type: ClassVar[str] = "stagewright.environment.secrets_deleted.v1"

    order_id: str
    paths: tuple[str, ...]


class ServiceRecorded(Message):
    """This is what runs for a service: the words of the order it came from, and the exact commit."""

    ce_type: ClassVar[str] = "stagewright.environment.service_recorded.v1"

    order_id: str
    service: Deployable
    commit: str
    health: Health
    domains: tuple[str, ...]
    allocation: Allocation
    peers: tuple[tuple[str, tuple[str, ...], str], ...]


class ServiceDropped(Message):
    """A service is off an allocation; `dump` is where its database was dumped."""

    ce_type: ClassVar[str] = "stagewright.environment.service_dropped.v1"

    order_id: str
    service: str
    allocation: Allocation
    dump: str | None


class RoutesRecorded(Message):
    """The proxy serves these routes, or says on all of them that it is maintained."""

    ce_type: ClassVar[str] = "stagewright.environment.routes_recorded.v1"

    order_id: str
    routes: tuple[Route, ...]
    maintenance: bool


class PortLeased(Message):
    """A port of a server belongs to one service of one environment."""

    ce_type: ClassVar[str] = "stagewright.server.port_leased.v1"

    server: str
    port: int
    environment: str
    service: str
    order_id: str


class PortReleased(Message):
    """A port of a server is free again."""

    ce_type: ClassVar[str] = "stagewright.server.port_released.v1"

    server: str
    port: int
    order_id: str


class PortOccupied(Message):
    """A port of a server is held by somebody else: the lease on it ends and it is not leased again."""

    ce_type: ClassVar[str] = "stagewright.server.port_occupied.v1"

    server: str
    port: int
    order_id: str


ALL_FACTS: tuple[type[Message], ...] = (
    CommandsWithdrawn,
    RetryScheduled,
    PieceGivenUp,
    CommandOverdue,
    ReplyRefused,
    ProbeScheduled,
    EnvironmentClaimed,
    OrderQueued,
    OrderDequeued,
    EnvironmentReleased,
    DomainsRecorded,
    RecordsRemoved,
    AllocationsRecorded,
    AllocationsReleased,
    SecretsRecorded,
    SecretsDeleted,
    ServiceRecorded,
    ServiceDropped,
    RoutesRecorded,
    PortLeased,
    PortReleased,
    PortOccupied,
)

"""Facts that only the log knows, beside the wire messages that are stored as they are.

An order's stream holds `OrderReceived`, every command, every outcome, `OrderPlanned` and `OrderEnded`:
the messages themselves. What is here completes them.
"""

from typing import ClassVar

from stagewright.contracts.base import Message, Stage
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


class PieceGivenUp(Message):
    """A stage, or one service of it, is not tried again: the order fails when nothing of it runs any more."""

    ce_type: ClassVar[str] = "stagewright.order.piece_given_up.v1"

    order_id: str
    stage: Stage
    service: str | None
    error: ErrorInfo


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


class AllocationsRecorded(Message):
    """These services live there."""

    ce_type: ClassVar[str] = "stagewright.environment.allocations_recorded.v1"

    order_id: str
    allocations: tuple[Allocation, ...]


class SecretsRecorded(Message):
    """These references exist in the vault."""

    ce_type: ClassVar[str] = "stagewright.environment.secrets_recorded.v1"

    order_id: str
    services: tuple[ServiceSecrets, ...]


class ServiceRecorded(Message):
    """This is what runs for a service: the words of the order it came from, and the exact commit."""

    ce_type: ClassVar[str] = "stagewright.environment.service_recorded.v1"

    order_id: str
    service: Deployable
    commit: str
    health: Health
    domains: tuple[str, ...]
    peers: tuple[tuple[str, tuple[str, ...]], ...]


class RoutesRecorded(Message):
    """The proxy serves these routes."""

    ce_type: ClassVar[str] = "stagewright.environment.routes_recorded.v1"

    order_id: str
    routes: tuple[Route, ...]


class PortLeased(Message):
    """A port of a server belongs to one service of one environment."""

    ce_type: ClassVar[str] = "stagewright.server.port_leased.v1"

    server: str
    port: int
    environment: str
    service: str
    order_id: str


class PortOccupied(Message):
    """A port of a server is held by somebody else: the lease on it ends and it is not leased again."""

    ce_type: ClassVar[str] = "stagewright.server.port_occupied.v1"

    server: str
    port: int
    order_id: str


ALL_FACTS: tuple[type[Message], ...] = (
    RetryScheduled,
    PieceGivenUp,
    EnvironmentClaimed,
    OrderQueued,
    EnvironmentReleased,
    DomainsRecorded,
    AllocationsRecorded,
    SecretsRecorded,
    ServiceRecorded,
    RoutesRecorded,
    PortLeased,
    PortOccupied,
)

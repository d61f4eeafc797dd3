"""The environment's stream: what is deployed there, and which order owns it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from orchestrator.domain.facts import (
    AllocationsRecorded,
    DomainsRecorded,
    EnvironmentClaimed,
    EnvironmentReleased,
    HealthObserved,
    OrderQueued,
    RoutesRecorded,
    SecretsRecorded,
    ServiceRecorded,
)
from stagewright.contracts.base import Message
from stagewright.contracts.work import Allocation, Deployable, DnsRecord, Health, Route, SecretRef

Peers = tuple[tuple[str, tuple[str, ...]], ...]
"""Which services with which roles a service was told of, sorted by id."""


_NONE: Mapping[Any, Any] = MappingProxyType({})


class DeployedService(NamedTuple):
    """One service as its last deployment left it."""

    service: Deployable
    commit: str
    health: Health
    domains: tuple[str, ...]
    peers: Peers
    order_id: str


class EnvironmentState(NamedTuple):
    """Everything that decisions about one environment need."""

    environment: str = ""
    owner: str | None = None
    queue: tuple[str, ...] = ()
    last_order: str | None = None
    domains: tuple[str, ...] = ()
    records: tuple[DnsRecord, ...] = ()
    allocations: Mapping[str, Allocation] = _NONE
    secrets: Mapping[str, tuple[SecretRef, ...]] = _NONE
    services: Mapping[str, DeployedService] = _NONE
    routes: tuple[Route, ...] = ()


def initial_state() -> EnvironmentState:
    """An environment where nothing was ever deployed."""
    return EnvironmentState()


def evolve(state: EnvironmentState, event: Message, at: str) -> EnvironmentState:
    """Fold one event of the environment's stream; `at` is part of every evolve's signature."""
    match event:
        case EnvironmentClaimed():
            queue = tuple(waiting for waiting in state.queue if waiting != event.order_id)
            return state._replace(environment=event.environment, owner=event.order_id, queue=queue)
        case OrderQueued():
            return state._replace(environment=event.environment, queue=(*state.queue, event.order_id))
        case EnvironmentReleased():
            return state._replace(owner=None, last_order=event.order_id)
        case DomainsRecorded():
            return state._replace(domains=event.domains, records=event.records)
        case AllocationsRecorded():
            found = {allocation.service: allocation for allocation in event.allocations}
            return state._replace(allocations={**state.allocations, **found})
        case SecretsRecorded():
            refs = {entry.service: entry.secrets for entry in event.services}
            return state._replace(secrets={**state.secrets, **refs})
        case ServiceRecorded():
            return _with_service(state, _deployed(event))
        case HealthObserved() if event.service in state.services:
            return _with_service(state, state.services[event.service]._replace(health=event.health))
        case RoutesRecorded():
            return state._replace(routes=event.routes)
    return state


def _deployed(event: ServiceRecorded) -> DeployedService:
    return DeployedService(
        event.service, event.commit, event.health, event.domains, event.peers, event.order_id
    )


def _with_service(state: EnvironmentState, deployed: DeployedService) -> EnvironmentState:
    return state._replace(services={**state.services, deployed.service.id: deployed})

"""The environment's stream: what is deployed there, and which order owns it."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from orchestrator.domain.facts import (
    AllocationsRecorded,
    AllocationsReleased,
    DomainsRecorded,
    EnvironmentClaimed,
    EnvironmentReleased,
    OrderDequeued,
    OrderQueued,
    RecordsRemoved,
    RoutesRecorded,
    SecretsDeleted,
    SecretsRecorded,
    ServiceDropped,
    ServiceRecorded,
)
from stagewright.contracts.base import Message
from stagewright.contracts.order_events import HealthObserved
from stagewright.contracts.work import (
    OWN_VARIABLES,
    Allocation,
    Deployable,
    DnsRecord,
    Health,
    Route,
    SecretRef,
    own_variable_path,
)

Peers = tuple[tuple[str, tuple[str, ...], str], ...]
"""Which services, with which roles, where, a service was told of, sorted by id."""


_NONE: Mapping[Any, Any] = MappingProxyType({})


class DeployedService(NamedTuple):
    """One service as its last deployment left it. `at` is when that was, RFC 3339.

    `allocation` is where it really is; the environment's may be a place that it was to move to.
    """

    service: Deployable
    commit: str
    health: Health
    domains: tuple[str, ...]
    allocation: Allocation
    peers: Peers
    order_id: str
    at: str


class Tenant(NamedTuple):
    """A service, in the words of the order that it came from, and where it lives or lived."""

    service: Deployable
    allocation: Allocation


class EnvironmentState(NamedTuple):
    """Everything that decisions about one environment need.

    What orders left behind on their way, because it was replaced or taken out, waits to be cleaned up in
    `leftovers` (services on allocations that are not theirs any more), `freed` (allocations without a
    service), `old_secrets` (paths) and `old_records`. `base` is the environment as it was when the order
    `base_order` claimed it: what a reversal goes back to. `revision` counts what changed.
    """

    environment: str = ""
    owner: str | None = None
    queue: tuple[str, ...] = ()
    last_order: str | None = None
    domains: tuple[str, ...] = ()
    records: tuple[DnsRecord, ...] = ()
    allocations: Mapping[str, Allocation] = _NONE
    tenants: Mapping[str, Deployable] = _NONE
    secrets: Mapping[str, tuple[SecretRef, ...]] = _NONE
    services: Mapping[str, DeployedService] = _NONE
    routes: tuple[Route, ...] = ()
    maintenance: bool = False
    leftovers: tuple[Tenant, ...] = ()
    freed: tuple[Allocation, ...] = ()
    old_secrets: frozenset[str] = frozenset()
    old_records: tuple[DnsRecord, ...] = ()
    revision: int = 0
    changed_at: str | None = None
    base: Self | None = None  # type: ignore[misc, unused-ignore]
    base_order: str | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing is there that anybody would have to take away."""
        there = (self.records, self.allocations, self.secrets, self.services, self.routes, self.leftovers)
        return not any(there) and not any((self.freed, self.old_secrets, self.old_records))


def initial_state() -> EnvironmentState:
    """An environment where nothing was ever deployed."""
    return EnvironmentState()


def evolve(state: EnvironmentState, event: Message, at: str) -> EnvironmentState:
    """Fold one event of the environment's stream, recorded at `at`."""
    match event:
        case EnvironmentClaimed():
            return _claimed(state, event)
        case OrderQueued():
            return state._replace(environment=event.environment, queue=(*state.queue, event.order_id))
        case OrderDequeued():
            return state._replace(queue=_without(state.queue, event.order_id))
        case EnvironmentReleased():
            return state._replace(owner=None, last_order=event.order_id)
        case HealthObserved():
            known = state.services.get(event.service)
            return _with_service(state, known._replace(health=event.health)) if known else state
    changed = _changed(state, event, at)
    if changed is state:
        return state
    return changed._replace(revision=state.revision + 1, changed_at=at)


def _claimed(state: EnvironmentState, event: EnvironmentClaimed) -> EnvironmentState:
    """An order that comes back to an environment which is still as it left it keeps its base."""
    again = state.base_order == event.order_id and state.last_order == event.order_id
    return state._replace(
        environment=event.environment,
        owner=event.order_id,
        queue=_without(state.queue, event.order_id),
        base=state.base if again else state._replace(base=None),
        base_order=event.order_id,
    )


def _changed(state: EnvironmentState, event: Message, at: str) -> EnvironmentState:
    match event:
        case DomainsRecorded():
            names = {record.name for record in event.records}
            gone = tuple(record for record in state.records if record.name not in names)
            old = tuple(record for record in state.old_records if record.name not in names)
            return state._replace(domains=event.domains, records=event.records, old_records=old + gone)
        case RecordsRemoved():
            return _without_records(state, event)
        case AllocationsRecorded():
            return _allocated(state, event)
        case AllocationsReleased():
            freed = tuple(one for one in state.freed if one not in event.allocations)
            return state._replace(freed=freed)
        case SecretsRecorded():
            return _with_secrets(state, event)
        case SecretsDeleted():
            return _without_secrets(state, frozenset(event.paths))
        case ServiceRecorded():
            return _with_service(state, _deployed(event, at))
        case ServiceDropped():
            return _dropped(state, event)
        case RoutesRecorded():
            return state._replace(routes=event.routes, maintenance=event.maintenance)
    return state


def _without(queue: Iterable[str], order_id: str) -> tuple[str, ...]:
    return tuple(waiting for waiting in queue if waiting != order_id)


def _without_records(state: EnvironmentState, event: RecordsRemoved) -> EnvironmentState:
    names = {record.name for record in event.records}
    return state._replace(
        domains=tuple(name for name in state.domains if name not in names),
        records=tuple(record for record in state.records if record.name not in names),
        old_records=tuple(record for record in state.old_records if record.name not in names),
    )


def moved(before: Allocation, after: Allocation) -> bool:
    """Whether a service on `after` leaves something behind on `before`: another server, or another kind.

    Another port of the same server is the same process under the same name.
    """
    return (before.server, before.bucket, before.prefix) != (after.server, after.bucket, after.prefix)


def _allocated(state: EnvironmentState, event: AllocationsRecorded) -> EnvironmentState:
    found = {allocation.service: allocation for allocation in event.allocations}
    left = tuple(
        _leftover(state.tenants[name], before, found[name])
        for name, before in state.allocations.items()
        if name in found and moved(before, found[name])
    )
    still = tuple(
        one
        for one in state.leftovers + left
        if one.service.id not in found or moved(one.allocation, found[one.service.id])
    )
    return state._replace(
        allocations={**state.allocations, **found},
        tenants={**state.tenants, **{service.id: service for service in event.tenants}},
        leftovers=still,
        freed=tuple(one for one in state.freed if one not in event.allocations),
    )


def _leftover(service: Deployable, before: Allocation, after: Allocation) -> Tenant:
    """What is left at the old place; a database that the service keeps is not."""
    kept = before.database == after.database
    return Tenant(service, before.model_copy(update={"database": None}) if kept else before)


def _dropped(state: EnvironmentState, event: ServiceDropped) -> EnvironmentState:
    name = event.service
    freed = (*state.freed, event.allocation)
    if state.allocations.get(name) != event.allocation:
        left = tuple(one for one in state.leftovers if one.allocation != event.allocation)
        return state._replace(leftovers=left, freed=freed)
    # All that may be there: what was made may never have been told.
    names = OWN_VARIABLES[state.tenants[name].block]
    own = {own_variable_path(state.environment, name, variable) for variable in names}
    return state._replace(
        services=_less(state.services, name),
        allocations=_less(state.allocations, name),
        tenants=_less(state.tenants, name),
        secrets=_less(state.secrets, name),
        old_secrets=state.old_secrets | own,
        freed=freed,
    )


def _with_secrets(state: EnvironmentState, event: SecretsRecorded) -> EnvironmentState:
    refs = {entry.service: entry.secrets for entry in event.services}
    new = {ref.path for secrets in refs.values() for ref in secrets}
    before = {ref.path for name in refs for ref in state.secrets.get(name, ())}
    own = frozenset(path for path in before | state.old_secrets if path not in new and is_own(path))
    return state._replace(secrets={**state.secrets, **refs}, old_secrets=own)


def _without_secrets(state: EnvironmentState, paths: frozenset[str]) -> EnvironmentState:
    kept = {
        name: tuple(ref for ref in secrets if ref.path not in paths)
        for name, secrets in state.secrets.items()
    }
    return state._replace(secrets=kept, old_secrets=state.old_secrets - paths)


def is_own(path: str) -> bool:
    """Whether Stagewright made the secret; what orders list is other people's."""
    return "/services/" in path


def _less(mapping: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return {key: value for key, value in mapping.items() if key != name}


def _deployed(event: ServiceRecorded, at: str) -> DeployedService:
    return DeployedService(
        event.service,
        event.commit,
        event.health,
        event.domains,
        event.allocation,
        event.peers,
        event.order_id,
        at,
    )


def _with_service(state: EnvironmentState, deployed: DeployedService) -> EnvironmentState:
    name = deployed.service.id
    return state._replace(
        services={**state.services, name: deployed}, tenants={**state.tenants, name: deployed.service}
    )

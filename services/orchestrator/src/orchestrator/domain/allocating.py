"""Where services live: servers, ports, databases, buckets. Ports are leased in the same decision."""

import re

from orchestrator.domain import plan
from orchestrator.domain.facts import AllocationsRecorded, PortLeased, PortReleased
from orchestrator.domain.order import OrderState
from orchestrator.domain.policies import Policy
from orchestrator.domain.server import FIRST_PORT, Tenant, free_port
from orchestrator.domain.world import Draft, environment_stream, server_stream
from stagewright.contracts.work import Allocation
from stagewright.errors import Terminal
from stagewright.ids import derived_id


def allocate(draft: Draft, state: OrderState, policy: Policy) -> tuple[Allocation, ...]:
    """Every service's allocation: the one it has, or a new one, leased and recorded in the same decision."""
    order = state.wanted
    held = draft.environment(order.environment).allocations
    result = []
    for block, spec in order.services:
        known = held.get(spec.id)
        if known is not None and still_good(draft, known, block == "api", policy):
            result.append(known)
        elif block == "api":
            result.append(_place(draft, state, spec.id, policy))
        else:
            bucket = _bucket(policy.bucket_prefix, order.environment)
            result.append(Allocation(service=spec.id, bucket=bucket, prefix=spec.id))
    _record(draft, state, result)
    return tuple(result)


def move(draft: Draft, state: OrderState, service: str, policy: Policy) -> None:
    """Lease and record another place for an API.

    Raises:
        Terminal: `port.exhausted`.
    """
    name = state.wanted.environment
    place = _place(draft, state, service, policy)
    tenants = (draft.environment(name).tenants[service],)
    fact = AllocationsRecorded(order_id=state.order_id, allocations=(place,), tenants=tenants)
    draft.add(environment_stream(name), fact)


def _record(draft: Draft, state: OrderState, decided: list[Allocation]) -> None:
    """From now on these places are the services', whatever becomes of making them true."""
    order = state.wanted
    held = draft.environment(order.environment).allocations
    news = {one.service: one for one in decided if held.get(one.service) != one}
    tenants = [plan.deployable(block, spec) for block, spec in order.services if spec.id in news]
    if news:
        draft.add(
            environment_stream(order.environment),
            AllocationsRecorded(
                order_id=state.order_id,
                allocations=tuple(news[one.id] for one in tenants),
                tenants=tuple(tenants),
            ),
        )


def still_good(draft: Draft, known: Allocation, api: bool, policy: Policy) -> bool:
    """Whether a service can stay where it is: the place is of its kind, and its server and port are there."""
    if not api:
        return known.bucket is not None
    if known.server is None or known.server not in policy.servers or known.port is None:
        return False
    return known.port not in draft.server(known.server).occupied


def _place(draft: Draft, state: OrderState, service: str, policy: Policy) -> Allocation:
    environment = state.wanted.environment
    name, port = _leased(draft, (environment, service), policy)
    if port is None:
        port = _lease(draft, state, service, name, policy)
    return Allocation(service=service, server=name, port=port, database=database_name(environment, service))


def _leased(draft: Draft, tenant: Tenant, policy: Policy) -> tuple[str, int | None]:
    """Where an earlier attempt leased a port for the tenant; else the emptiest server, and None."""
    servers = sorted(policy.servers, key=lambda server: (len(draft.server(server).leases), server))
    held = (
        (server, port)
        for server in servers
        for port, found in draft.server(server).leases.items()
        if found == tenant
    )
    return next(held, (servers[0], None))


def _lease(draft: Draft, state: OrderState, service: str, server: str, policy: Policy) -> int:
    seen = state.inspected.occupied_ports if state.inspected else ()
    busy = frozenset(port for where, port in seen if where == server)
    port = free_port(draft.server(server), busy, policy.first_ports.get(server, FIRST_PORT))
    if port is None:
        raise Terminal(
            "port.exhausted",
            server,
            "every port from 3000 to 9999 is leased or occupied.",
            "Add a server to the settings, or drop environments that nobody needs.",
        )
    draft.add(
        server_stream(server),
        PortLeased(
            server=server,
            port=port,
            environment=state.wanted.environment,
            service=service,
            order_id=state.order_id,
        ),
    )
    return port


def database_name(environment: str, service: str) -> str:
    """A PostgreSQL identifier of at most 63 bytes that no other environment and service can have.

    Ids differ in case and hyphens, identifiers here do not: a part of the id's hash tells them apart.
    """
    readable = re.sub(r"[^a-z0-9]+", "_", f"env_{environment}_{service}".lower())[:52]
    return f"{readable}_{derived_id('database', environment, service).hex[:8]}"


def _bucket(prefix: str, environment: str) -> str:
    if re.fullmatch(r"[a-z0-9]|[a-z0-9][a-z0-9-]*[a-z0-9]", environment):
        return f"{prefix}-{environment}"
    plain = environment.lower().strip("-") or "environment"
    return f"{prefix}-{plain}-{derived_id('bucket', environment).hex[:8]}"


def release(draft: Draft, order_id: str, environment: str, allocation: Allocation) -> None:
    """End the lease of an allocation's port, where it is the service's still."""
    server, port = allocation.server, allocation.port
    if server is None or port is None:
        return
    if draft.server(server).leases.get(port) == (environment, allocation.service):
        draft.add(server_stream(server), PortReleased(server=server, port=port, order_id=order_id))

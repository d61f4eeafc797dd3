"""Which commands a stage consists of, for one order in one environment."""

import re
from collections.abc import Sequence

from orchestrator.domain import plan
from orchestrator.domain.environment import EnvironmentState
from orchestrator.domain.facts import PortLeased
from orchestrator.domain.order import OrderState
from orchestrator.domain.policies import Policy
from orchestrator.domain.server import FIRST_PORT, Tenant, free_port
from orchestrator.domain.world import Draft, server_stream
from stagewright.contracts.base import Stage
from stagewright.contracts.commands import (
    AllocateResources,
    Command,
    ConfigureEnvironment,
    CreateVariables,
    DeployService,
    InspectEnvironment,
    UpdateRoutes,
)
from stagewright.contracts.orders import Order
from stagewright.contracts.work import Allocation, Deployable, Deployed, Location, Route
from stagewright.errors import Terminal
from stagewright.ids import command_id, derived_id


def commands(
    draft: Draft,
    state: OrderState,
    stage: Stage,
    policy: Policy,
    *,
    attempt: int = 1,
    only: str | None = None,
) -> Sequence[Command]:
    """The commands of a stage; `only` names the one service to do again.

    Raises:
        Terminal: what the stage needs cannot be had (`port.exhausted`).
    """
    order = state.wanted
    environment = draft.environment(order.environment)
    base = {
        "command_id": command_id(state.order_id, stage, only, attempt),
        "order_id": state.order_id,
        "environment": order.environment,
        "attempt": attempt,
        "timeout": policy.stage_timeout,
    }
    match stage:
        case Stage.INSPECT:
            return [InspectEnvironment(**base, services=_services(order), deployed=_deployed(environment))]
        case Stage.CONFIGURE_ENVIRONMENT:
            return [ConfigureEnvironment(**base, domains=order.domains)]
        case Stage.ALLOCATE_RESOURCES:
            return [AllocateResources(**base, allocations=allocate(draft, state, policy))]
        case Stage.CREATE_VARIABLES:
            allocations = tuple(environment.allocations[service.id] for _, service in order.services)
            return [CreateVariables(**base, services=_services(order), allocations=allocations)]
        case Stage.DEPLOY_SERVICES:
            return _deployments(state, environment, policy, attempt, only)
        case Stage.UPDATE_ROUTES:
            return [UpdateRoutes(**base, routes=routes(order, environment))]


def _services(order: Order) -> tuple[Deployable, ...]:
    return tuple(plan.deployable(block, spec) for block, spec in order.services)


def _deployed(environment: EnvironmentState) -> tuple[Deployed, ...]:
    return tuple(
        Deployed(service=name, commit=entry.commit, allocation=environment.allocations[name])
        for name, entry in environment.services.items()
        if name in environment.allocations
    )


def _deployments(
    state: OrderState,
    environment: EnvironmentState,
    policy: Policy,
    attempt: int,
    only: str | None,
) -> Sequence[Command]:
    order = state.wanted
    needed = {line.service: line.commit for line in state.decisions if line.decision != "unchanged"}
    discovery = locations(order, environment, policy)
    return [
        DeployService(
            command_id=command_id(state.order_id, Stage.DEPLOY_SERVICES, service.id, attempt),
            order_id=state.order_id,
            environment=order.environment,
            attempt=attempt,
            timeout=policy.stage_timeout,
            service=service,
            commit=needed[service.id],
            allocation=environment.allocations[service.id],
            secrets=environment.secrets.get(service.id, ()),
            discovery=discovery,
            domains=plan.block_domains(order, service.block),
        )
        for service in _services(order)
        if service.id in needed and only in {None, service.id}
    ]


def allocate(draft: Draft, state: OrderState, policy: Policy) -> tuple[Allocation, ...]:
    """Every service's allocation: the one it has, or a new one with its port leased in the same decision."""
    order = state.wanted
    held = draft.environment(order.environment).allocations
    result = []
    for block, spec in order.services:
        known = held.get(spec.id)
        if known is not None and _still_good(draft, known, block == "api"):
            result.append(known)
        elif block == "api":
            result.append(_place(draft, state, spec.id, policy))
        else:
            bucket = _bucket(policy.bucket_prefix, order.environment)
            result.append(Allocation(service=spec.id, bucket=bucket, prefix=spec.id))
    return tuple(result)


def _still_good(draft: Draft, known: Allocation, api: bool) -> bool:
    if not api:
        return known.bucket is not None
    if known.server is None or known.port is None:
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


def locations(order: Order, environment: EnvironmentState, policy: Policy) -> tuple[Location, ...]:
    """Where every API of the order is: what services find in `.discovery.json`."""
    found = []
    for spec in order.api.services:
        allocation = environment.allocations[spec.id]
        address = policy.servers.get(allocation.server or "", allocation.server or "")
        found.append(Location(service=spec.id, roles=spec.roles, url=f"http://{address}:{allocation.port}"))
    return tuple(found)


def routes(order: Order, environment: EnvironmentState) -> tuple[Route, ...]:
    """What the proxy serves: every service on every domain of its block."""
    return tuple(
        Route(
            domain=domain,
            path=spec.path,
            service=spec.id,
            **environment.allocations[spec.id].model_dump(include={"server", "port", "bucket", "prefix"}),
        )
        for block, spec in order.services
        for domain in plan.block_domains(order, block)
    )

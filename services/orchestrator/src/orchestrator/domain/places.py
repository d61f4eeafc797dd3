"""Where services are found: by each other, and through the proxy."""

from orchestrator.domain import plan
from orchestrator.domain.environment import EnvironmentState
from orchestrator.domain.plan_environment import block_domains
from orchestrator.domain.policies import Policy
from stagewright.contracts.orders import Order
from stagewright.contracts.work import Location, Route


def locations(order: Order, environment: EnvironmentState, policy: Policy) -> tuple[Location, ...]:
    """Where every API of the order is: what services find in `.discovery.json`."""
    apis = order.api.services if order.api else ()
    return tuple(
        Location(
            service=spec.id, roles=spec.roles, url=plan.url(environment.allocations[spec.id], policy.servers)
        )
        for spec in apis
    )


def recorded_locations(environment: EnvironmentState, policy: Policy) -> tuple[Location, ...]:
    """Where every API of the environment runs."""
    return tuple(
        Location(service=name, roles=entry.service.roles, url=plan.url(entry.allocation, policy.servers))
        for name, entry in environment.services.items()
        if entry.service.block == "api"
    )


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
        for domain in block_domains(order, block)
    )

"""The stages: for each command what operators do for it, and the event that says what came of it."""

from functools import partial
from typing import cast

from executor.handling import Context, Handler, Handlers
from executor.operators.environment import EnvironmentOperator
from executor.operators.proxy import EnvironmentProxyOperator
from executor.operators.service import ServiceOperator
from executor.operators.world import World, all_of
from stagewright.contracts.base import Stage
from stagewright.contracts.commands import (
    AllocateResources,
    ConfigureEnvironment,
    CreateVariables,
    DeployService,
    InspectEnvironment,
    UpdateRoutes,
)
from stagewright.contracts.events import (
    EnvironmentConfigured,
    EnvironmentInspected,
    InspectedService,
    ResourcesAllocated,
    RoutesUpdated,
    ServiceDeployed,
    VariablesCreated,
)
from stagewright.contracts.work import Allocation


async def inspect_environment(
    world: World, command: InspectEnvironment, context: Context
) -> EnvironmentInspected:
    """Facts for the plan: commits, what runs, which ports are taken."""
    deployed = {one.service: one for one in command.deployed}
    looking = [
        ServiceOperator(command.environment, service, world).inspect(deployed.get(service.id))
        for service in command.services
    ]
    ports = EnvironmentOperator(command.environment, world).occupied_ports(command.deployed)
    services, occupied = cast(
        "tuple[list[InspectedService], tuple[tuple[str, int], ...]]", await all_of([all_of(looking), ports])
    )
    return context.answer(EnvironmentInspected, services=tuple(services), occupied_ports=occupied)


async def configure_environment(
    world: World, command: ConfigureEnvironment, context: Context
) -> EnvironmentConfigured:
    """Every domain points at the proxy."""
    records, changed = await EnvironmentOperator(command.environment, world).configure(command.domains)
    return context.answer(EnvironmentConfigured, records=records, changed=changed)


async def allocate_resources(
    world: World, command: AllocateResources, context: Context
) -> ResourcesAllocated:
    """Buckets exist, ports are free; a database is made by the deployment that needs it."""
    changed = await EnvironmentOperator(command.environment, world).allocate(command.allocations)
    return context.answer(ResourcesAllocated, allocations=command.allocations, changed=changed)


async def create_variables(world: World, command: CreateVariables, context: Context) -> VariablesCreated:
    """Listed variables are there, or nothing is made; then what is missing is made."""
    listed = await EnvironmentOperator(command.environment, world).listed_variables(command.services)
    allocations = {one.service: one for one in command.allocations}
    made = await all_of(
        [
            ServiceOperator(command.environment, service, world).create_variables(
                allocations.get(service.id, Allocation(service=service.id)), listed
            )
            for service in command.services
        ]
    )
    return context.answer(
        VariablesCreated,
        services=tuple(secrets for secrets, _ in made),
        changed=tuple(path for _, paths in made for path in paths),
    )


async def deploy_service(world: World, command: DeployService, context: Context) -> ServiceDeployed:
    """One service at one commit; its tasks go to the live output."""
    operator = ServiceOperator(command.environment, command.service, world)
    done = await operator.deploy(command, context.on_task)
    return context.answer(
        ServiceDeployed,
        service=command.service.id,
        commit=command.commit,
        health=done.health,
        changed=done.changed,
    )


async def update_routes(world: World, command: UpdateRoutes, context: Context) -> RoutesUpdated:
    """The proxy serves the environment's routes."""
    changed = await EnvironmentProxyOperator(command.environment, world).update(command.routes)
    return context.answer(RoutesUpdated, routes=command.routes, changed=changed)


def handlers(world: World) -> Handlers:
    """The handler of every stage. `inspect` changes nothing, so it needs no lease."""
    return {
        Stage.INSPECT: Handler(partial(inspect_environment, world), leased=False),
        Stage.CONFIGURE_ENVIRONMENT: Handler(partial(configure_environment, world)),
        Stage.ALLOCATE_RESOURCES: Handler(partial(allocate_resources, world)),
        Stage.CREATE_VARIABLES: Handler(partial(create_variables, world)),
        Stage.DEPLOY_SERVICES: Handler(partial(deploy_service, world)),
        Stage.UPDATE_ROUTES: Handler(partial(update_routes, world)),
    }

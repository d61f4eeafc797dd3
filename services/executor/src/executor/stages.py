"""The stages: for each command what operators do for it, and the event that says what came of it."""

from functools import partial
from typing import cast

from executor.handling import Context, Handler, Handlers
from executor.operators.domains import EnvironmentDomainsOperator
from executor.operators.environment import EnvironmentOperator
from executor.operators.ports import TaskProgress
from executor.operators.proxy import EnvironmentProxyOperator
from executor.operators.service import ServiceOperator
from executor.operators.variables import EnvironmentVariablesOperator
from executor.operators.world import World, all_of
from stagewright.clock import rfc3339, utc_now
from stagewright.contracts.base import Stage
from stagewright.contracts.commands import (
    AllocateResources,
    ConfigureEnvironment,
    CreateVariables,
    DeconfigureEnvironment,
    DeleteVariables,
    DeployService,
    InspectEnvironment,
    ProbeServices,
    ReleaseResources,
    RemoveService,
    UpdateRoutes,
)
from stagewright.contracts.events import (
    EnvironmentConfigured,
    EnvironmentDeconfigured,
    EnvironmentInspected,
    InspectedService,
    ResourcesAllocated,
    ResourcesReleased,
    RoutesUpdated,
    ServiceDeployed,
    ServiceRemoved,
    ServicesProbed,
    VariablesCreated,
    VariablesDeleted,
)


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
    records, changed = await EnvironmentDomainsOperator(command.environment, world).configure(command.domains)
    return context.answer(EnvironmentConfigured, records=records, changed=changed)


async def allocate_resources(
    world: World, command: AllocateResources, context: Context
) -> ResourcesAllocated:
    """Buckets exist, ports are free; a database is made by the deployment that needs it."""
    changed = await EnvironmentOperator(command.environment, world).allocate(command.allocations)
    return context.answer(ResourcesAllocated, allocations=command.allocations, changed=changed)


async def create_variables(world: World, command: CreateVariables, context: Context) -> VariablesCreated:
    """Listed and pinned variables are there, or nothing is made; then what is missing is made."""
    services, changed = await EnvironmentVariablesOperator(command.environment, world).create(
        command.services, command.allocations, command.pins
    )
    return context.answer(VariablesCreated, services=services, changed=changed)


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
        run=done.run,
    )


async def update_routes(world: World, command: UpdateRoutes, context: Context) -> RoutesUpdated:
    """The proxy serves the environment's routes, says that there is maintenance, or has no site for it."""
    operator = EnvironmentProxyOperator(command.environment, world)
    changed = await operator.update(command.routes, maintenance=command.maintenance)
    return context.answer(
        RoutesUpdated, routes=command.routes, maintenance=command.maintenance, changed=changed
    )


async def remove_service(world: World, command: RemoveService, context: Context) -> ServiceRemoved:
    """One service is gone from one allocation; its tasks go to the live output."""
    operator = ServiceOperator(command.environment, command.service, world)
    done = await operator.remove(command, context.on_task)
    return context.answer(
        ServiceRemoved, service=command.service.id, dump=done.dump, changed=done.changed, run=done.run
    )


async def release_resources(world: World, command: ReleaseResources, context: Context) -> ResourcesReleased:
    """Buckets are gone; one that somebody put objects into stays, and the live output says so."""
    removed, kept = await EnvironmentOperator(command.environment, world).release(command.buckets)
    for bucket in kept:
        await context.on_task(
            TaskProgress(
                f"Remove the bucket {bucket}",
                "skipped",
                rfc3339(utc_now()),
                detail="it holds objects that are no service's; remove it by hand if nobody needs them",
            )
        )
    return context.answer(ResourcesReleased, changed=removed)


async def delete_variables(world: World, command: DeleteVariables, context: Context) -> VariablesDeleted:
    """The secrets cannot be read any more; their versions can be restored."""
    changed = await EnvironmentVariablesOperator(command.environment, world).delete(command.paths)
    return context.answer(VariablesDeleted, changed=changed)


async def deconfigure_environment(
    world: World, command: DeconfigureEnvironment, context: Context
) -> EnvironmentDeconfigured:
    """The records are gone, as far as they were as we wrote them and are no other environment's now."""
    changed = await EnvironmentDomainsOperator(command.environment, world).deconfigure(command.records)
    return context.answer(EnvironmentDeconfigured, changed=changed)


async def probe_services(world: World, command: ProbeServices, context: Context) -> ServicesProbed:
    """How services are now."""
    services = await EnvironmentOperator(command.environment, world).probe(command.services)
    return context.answer(ServicesProbed, services=services)


def handlers(world: World) -> Handlers:
    """The handler of every stage. `inspect` and `probe_services` change nothing, so they need no lease."""
    return {
        Stage.INSPECT: Handler(partial(inspect_environment, world), leased=False),
        Stage.CONFIGURE_ENVIRONMENT: Handler(partial(configure_environment, world)),
        Stage.ALLOCATE_RESOURCES: Handler(partial(allocate_resources, world)),
        Stage.CREATE_VARIABLES: Handler(partial(create_variables, world)),
        Stage.DEPLOY_SERVICES: Handler(partial(deploy_service, world)),
        Stage.UPDATE_ROUTES: Handler(partial(update_routes, world)),
        Stage.REMOVE_SERVICES: Handler(partial(remove_service, world)),
        Stage.RELEASE_RESOURCES: Handler(partial(release_resources, world)),
        Stage.DELETE_VARIABLES: Handler(partial(delete_variables, world)),
        Stage.DECONFIGURE_ENVIRONMENT: Handler(partial(deconfigure_environment, world)),
        Stage.PROBE_SERVICES: Handler(partial(probe_services, world), leased=False),
    }

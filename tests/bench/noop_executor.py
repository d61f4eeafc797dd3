"""An executor that does nothing, at once or slowly: the real worker, and a new commit each time."""

import asyncio
import hashlib
import os
import signal
from typing import Any

from executor.handling import Context, Handler
from executor.worker import Worker
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
from stagewright.contracts.events import (
    EnvironmentConfigured,
    EnvironmentInspected,
    InspectedService,
    Outcome,
    ResourcesAllocated,
    RoutesUpdated,
    ServiceDeployed,
    VariablesCreated,
)
from stagewright.contracts.work import DnsRecord, SecretRef, ServiceSecrets
from stagewright.messaging.connecting import connect
from stagewright.messaging.presence import announce
from stagewright.messaging.topology import EXECUTOR
from stagewright.runtime import run
from stagewright.settings import Settings

SECONDS = "BENCH_SECONDS_A_COMMAND"


async def inspect(command: InspectEnvironment, context: Context) -> Outcome:
    found = tuple(
        InspectedService(
            service=service.id, commit=hashlib.sha1(f"{command.order_id}{service.id}".encode()).hexdigest()
        )
        for service in command.services
    )
    return context.answer(EnvironmentInspected, services=found)


async def configure(command: ConfigureEnvironment, context: Context) -> Outcome:
    records = tuple(DnsRecord(name=name, type="A", value="127.0.0.1") for name in command.domains)
    return context.answer(EnvironmentConfigured, records=records)


async def allocate(command: AllocateResources, context: Context) -> Outcome:
    return context.answer(ResourcesAllocated, allocations=command.allocations)


async def variables(command: CreateVariables, context: Context) -> Outcome:
    return context.answer(
        VariablesCreated,
        services=tuple(
            ServiceSecrets(
                service=service.id,
                secrets=(SecretRef(name="DB_PASSWORD", path=f"environments/x/{service.id}", version=1),),
            )
            for service in command.services
        ),
    )


async def deploy(command: DeployService, context: Context) -> Outcome:
    return context.answer(ServiceDeployed, service=command.service.id, commit=command.commit, health="ready")


async def route(command: UpdateRoutes, context: Context) -> Outcome:
    return context.answer(RoutesUpdated, routes=command.routes)


def doing(run: Any, seconds: float) -> Handler:
    """At once; or as long as a stage of real work would take, under a lease as real work is."""
    if not seconds:
        return Handler(run, leased=False, instant=True)

    async def wait(command: Command, context: Context) -> Outcome:
        await asyncio.sleep(seconds)
        answer: Outcome = await run(command, context)
        return answer

    return Handler(wait)


RUNS = {
    Stage.INSPECT: inspect,
    Stage.CONFIGURE_ENVIRONMENT: configure,
    Stage.ALLOCATE_RESOURCES: allocate,
    Stage.CREATE_VARIABLES: variables,
    Stage.DEPLOY_SERVICES: deploy,
    Stage.UPDATE_ROUTES: route,
}


async def serve() -> None:
    settings = Settings()
    client = await connect(settings.nats.url, EXECUTOR, seed_file=settings.nats.seed(EXECUTOR.name))
    await announce(client, "executor", "does nothing")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    seconds = float(os.environ.get(SECONDS, "0"))
    handlers = {stage: doing(run, seconds) for stage, run in RUNS.items()}
    await Worker(client, handlers, slots=settings.executor.slots).run(stop)
    await client.close()


if __name__ == "__main__":
    run(serve())

"""Whether each connection of the settings answers."""

import asyncio
from collections.abc import Awaitable, Callable

from console.client import Console, connected
from console.doctor.findings import Finding, found
from console.doctor.settings import masked
from console.probes import aws, database, processes, proxy, vault
from stagewright.errors import Retryable, StagewrightError
from stagewright.settings import Settings

SERVICES = {"order-intake", "orchestrator", "executor"}


async def connections(settings: Settings) -> list[Finding]:
    """One finding for each connection; all are asked at once."""
    checks: list[tuple[str, Callable[[], Awaitable[str]]]] = [
        ("event store", lambda: database.check_event_store(settings.event_store)),
        ("vault", lambda: vault.check_vault(settings.vault)),
        ("route53", lambda: asyncio.to_thread(aws.check_route53, settings.aws)),
        ("s3", lambda: asyncio.to_thread(aws.check_s3, settings.aws)),
        ("proxy", lambda: proxy.check_proxy(settings.proxy)),
        ("database", lambda: database.check_database(settings.database, settings.vault)),
    ]
    bus, others, servers = await asyncio.gather(
        _bus(settings), asyncio.gather(*(found(name, check) for name, check in checks)), _servers(settings)
    )
    return [*bus, *others, *servers]


async def _bus(settings: Settings) -> list[Finding]:
    try:
        async with connected(settings) as console:
            bus = Finding("bus", "ok", f"{masked('nats.url', settings.nats.url)} answers")
            return [
                bus,
                await found("services", lambda: _present(console)),
                await found("orchestrator", lambda: _orchestrator(console)),
            ]
    except StagewrightError as error:
        return [Finding("bus", "failed", f"{error.info.resource}: {error.info.reason}", error.info.remedy)]


async def _present(console: Console) -> str:
    services = await console.services()
    missing = sorted(SERVICES - set(services))
    if missing:
        raise Retryable(
            "doctor.missing",
            "bus",
            f"{', '.join(missing)} did not answer a ping.",
            "Start what is missing; `stagewright status` and its log say why it stopped.",
        )
    return ", ".join(sorted(services)) + " answer"


async def _orchestrator(console: Console) -> str:
    probe = await console.health()
    if probe.status != "ready":
        raise Retryable(
            "doctor.degraded",
            "orchestrator",
            f"it is degraded: {probe.detail or 'it does not say why'}.",
            "See its log.",
        )
    return f"ready, at position {probe.position}"


async def _servers(settings: Settings) -> list[Finding]:
    if not settings.servers:
        remedy = "Name the servers in stagewright.toml ([[servers]]), or start the one-machine stack."
        return [Finding("servers", "failed", "no server is named: services have nowhere to go.", remedy)]
    return [
        await found(f"server {server.name}", lambda server=server: processes.check_server(server))  # type: ignore[misc]
        for server in settings.servers
    ]

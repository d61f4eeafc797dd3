"""What is left of an environment, asked of the real parts: after a drop, nothing but dumps."""

import asyncio
from pathlib import Path
from typing import Any

import psutil

from console.demo.scene import Scene
from console.probes import aws, database, processes, proxy
from console.probes.vault import vault_reader
from tests.support.whole_stack import WholeStack
from tests.support.whole_stack_facts import leases, log_rows


async def left_of(whole: WholeStack, scene: Scene) -> dict[str, Any]:
    """Everything that is still there, by part; empty parts are left out."""
    environment = scene.order.environment
    found = {
        "dns": [
            record
            for record in await asyncio.to_thread(aws.records, scene.settings.aws)
            if record.name in scene.order.domains
        ],
        "bucket": await asyncio.to_thread(_bucket, scene),
        "secrets": await _secrets(scene),
        "databases": [
            name
            for name in await database.databases(scene.settings.database, scene.settings.vault)
            if name.startswith(f"env_{environment}_")
        ],
        "routes": _hosts(await proxy.configuration(scene.settings.proxy)) & set(scene.order.domains),
        "supervised": [
            name for name in await processes.processes(scene.server) if name.startswith(f"{environment}-")
        ],
        "processes": _working_in(scene.home("")),
        "files": list(scene.home("").glob("*")),
        "leases": [place for place, tenant in leases(log_rows(whole)).items() if tenant[0] == environment],
    }
    return {name: value for name, value in found.items() if value}


def _bucket(scene: Scene) -> list[str]:
    names = [bucket["Name"] for bucket in aws.s3(scene.settings.aws).list_buckets()["Buckets"]]
    return [name for name in names if name == scene.bucket]


async def _secrets(scene: Scene) -> list[str]:
    """Secrets that can be read: those whose newest version is not deleted."""
    prefix = f"environments/{scene.order.environment}"
    async with vault_reader(scene.settings.vault) as vault:
        return [secret.path for secret in await vault.secrets(prefix) if await vault.readable(secret.path)]


def _hosts(configuration: dict[str, Any]) -> set[str]:
    servers = configuration.get("apps", {}).get("http", {}).get("servers", {})
    return {
        host
        for server in servers.values()
        for route in server.get("routes", [])
        for match in route.get("match", [])
        for host in match.get("host", [])
    }


def _working_in(home: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(f"{home.resolve()}/"):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def dumps(whole: WholeStack, environment: str) -> list[Path]:
    """Where the databases of an environment were dumped."""
    return sorted((whole.stack.layout.root / "dumps" / environment).rglob("*.dump"))

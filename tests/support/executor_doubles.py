"""Ports in memory, and a world of them."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from executor.operators.ports import (
    OnTask,
    Playbook,
    PlaybookResult,
    Running,
    SiteRoute,
    TaskProgress,
)
from executor.operators.world import World
from stagewright.errors import StagewrightError, Terminal
from stagewright.settings import ServerSettings, Settings
from tests.support.executor_bus import COMMIT
from tests.support.executor_strict_aws import StrictRoute53, StrictS3


@dataclass
class MemoryVault:
    """KV with check-and-set; deleted and destroyed versions count on."""

    values: dict[str, list[str]] = field(default_factory=dict)
    deleted: set[tuple[str, int]] = field(default_factory=set)
    destroyed: set[tuple[str, int]] = field(default_factory=set)

    async def version(self, path: str) -> int | None:
        current = len(self.values.get(path, ()))
        return current if (await self.versions(path)).get(current) else None

    async def versions(self, path: str) -> Mapping[int, bool]:
        numbers = range(1, len(self.values.get(path, ())) + 1)
        return {
            number: (path, number) not in self.deleted
            for number in numbers
            if (path, number) not in self.destroyed
        }

    async def create(self, path: str, value: str) -> tuple[int, bool]:
        current = await self.version(path)
        if current is not None:
            return current, False
        self.values.setdefault(path, []).append(value)
        return len(self.values[path]), True

    async def delete(self, path: str, versions: Sequence[int]) -> None:
        self.deleted.update((path, number) for number in versions)

    async def undelete(self, path: str, versions: Sequence[int]) -> None:
        self.deleted.difference_update((path, number) for number in versions)


@dataclass
class MemoryProxy:
    """Sites by environment, and environments in maintenance."""

    sites: dict[str, list[SiteRoute]] = field(default_factory=dict)
    maintenance: set[str] = field(default_factory=set)

    async def ensure(
        self, environment: str, routes: Sequence[SiteRoute], *, maintenance: bool = False
    ) -> bool:
        before = (self.sites.get(environment), environment in self.maintenance)
        self.sites.pop(environment, None)
        self.maintenance.discard(environment)
        if routes:
            self.sites[environment] = list(routes)
        if routes and maintenance:
            self.maintenance.add(environment)
        return before != (self.sites.get(environment), environment in self.maintenance)

    async def taken(self, environment: str) -> Collection[str]:
        others = (routes for name, routes in self.sites.items() if name != environment)
        return {route.domain for routes in others for route in routes}


@dataclass
class MemoryGit:
    """Commits by address and version."""

    commits: dict[tuple[str, str | None], str] = field(default_factory=dict)

    async def resolve(self, url: str, version: str | None) -> str:
        if url.endswith("/missing"):
            raise Terminal("repository.ref_not_found", url, "is missing.", "Push it.")
        return self.commits.get((url, version), COMMIT)


@dataclass
class MemoryHosts:
    """One server: what is deployed, which ports listen, and whose they are."""

    running: dict[str, Running] = field(default_factory=dict)
    ports: dict[int, int | None] = field(default_factory=dict)
    owners: dict[int, str] = field(default_factory=dict)
    healthy: set[int] = field(default_factory=set)

    async def look(self, server: ServerSettings, environment: str, service: str) -> Running | None:
        return self.running.get(service)

    async def listening(self, server: ServerSettings) -> Mapping[int, int | None]:
        return self.ports

    async def owns(self, server: ServerSettings, environment: str, service: str, pid: int | None) -> bool:
        return pid is not None and self.owners.get(pid) == service

    async def answers(self, server: ServerSettings, port: int) -> bool:
        return port in self.healthy


@dataclass
class MemoryPlaybooks:
    """Keeps what it was asked to run."""

    runs: list[Playbook] = field(default_factory=list)
    facts: Mapping[str, Any] = field(default_factory=lambda: {"health": "ready"})
    failure: StagewrightError | None = None

    async def run(self, playbook: Playbook, on_task: OnTask) -> PlaybookResult:
        if self.failure is not None:
            raise self.failure
        json.dumps(playbook.variables)  # it travels as a JSON file
        first = not any(run.variables == playbook.variables for run in self.runs)
        self.runs.append(playbook)
        await on_task(TaskProgress("Check out the commit", "changed", "2026-11-23T10:00:00.000000Z", 0.1))
        kept = Path("/srv/runs") / playbook.run_id
        return PlaybookResult(("Check out the commit",) if first else (), self.facts, kept)

    def names(self) -> Sequence[str]:
        return (
            *("deploy_node", "deploy_python", "deploy_angular", "deploy_static"),
            *("remove_api", "remove_front"),
        )


def memory_world(settings: Settings, **ports: Any) -> World:
    """A world of doubles; the AWS ones are the real adapters over the strict clients."""
    from executor.adapters.aws import Route53
    from executor.adapters.aws_s3 import S3Buckets

    return World(
        **{
            "settings": settings,
            "dns": Route53(StrictRoute53()),  # type: ignore[arg-type]
            "buckets": S3Buckets(StrictS3(), "eu-west-1"),  # type: ignore[arg-type]
            "vault": MemoryVault(),
            "proxy": MemoryProxy(),
            "git": MemoryGit(),
            "hosts": MemoryHosts(),
            "playbooks": MemoryPlaybooks(),
            **ports,
        }
    )

"""Everything that operators act on, joined by `bootstrap` once."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from executor.operators.ports import Buckets, Dns, Git, Hosts, Playbooks, Proxy, Vault
from stagewright.errors import Terminal
from stagewright.settings import ServerSettings, Settings

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """The settings and one adapter for each port."""

    settings: Settings
    dns: Dns
    buckets: Buckets
    vault: Vault
    proxy: Proxy
    git: Git
    hosts: Hosts
    playbooks: Playbooks

    def knows(self, name: str | None) -> bool:
        """Whether the settings still have the server."""
        return name is None or any(server.name == name for server in self.settings.servers)

    def server(self, name: str | None) -> ServerSettings:
        """A server by its name; the first one for None.

        Raises:
            Terminal: `server.unknown`.
        """
        for server in self.settings.servers:
            if name is None or server.name == name:
                return server
        raise Terminal(
            "server.unknown",
            name or "settings.servers",
            "the executor's settings have no such server.",
            "Add it to settings.servers of every executor.",
        )


async def all_of(works: Sequence[Awaitable[T]]) -> list[T]:
    """Run side by side and wait for all to end; then raise what a person must mend, if anything."""
    results = await asyncio.gather(*works, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    if errors:
        raise next((error for error in errors if isinstance(error, Terminal)), errors[0])
    return [result for result in results if not isinstance(result, BaseException)]

"""What the proofs are about: an order, and the settings of the installation that carried it out."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import yaml

from stagewright.contracts.orders import BlockName, Order, OrderedService
from stagewright.settings import ServerSettings, Settings


@dataclass(frozen=True)
class Scene:
    """An order and its installation."""

    order: Order
    settings: Settings

    @property
    def apis(self) -> tuple[OrderedService, ...]:
        """Services that run as processes."""
        return tuple(service for service in self.order.services if service.block == "api")

    @property
    def fronts(self) -> tuple[OrderedService, ...]:
        """Services that are files in a bucket."""
        return tuple(service for service in self.order.services if service.block == "front")

    @property
    def server(self) -> ServerSettings:
        """The one server of the one-machine stack."""
        return self.settings.servers[0]

    @property
    def bucket(self) -> str:
        """The environment's bucket."""
        return f"{self.settings.aws.bucket_prefix}-{self.order.environment}".lower()

    def domain(self, block: BlockName) -> str:
        """The first domain of a block that has services."""
        return next(found.domains[0] for name, found in self.order.blocks() if name == block)

    def home(self, service: str) -> Path:
        """A service's directory on the server."""
        return self.server.home / "environments" / self.order.environment / service

    def program(self, service: str) -> str:
        """A service's name at the supervisor."""
        return f"{self.order.environment}-{service}"

    async def source_commit(self, service: OrderedService) -> str:
        """What git says the service's repository stands at, asked where the mirror setting points to."""
        address = self._mirrored(service.spec.repository.url)
        return await _git("ls-remote", "--", address, service.spec.repository.version or "HEAD")

    def _mirrored(self, url: str) -> str:
        mirrors = self.settings.git.mirrors
        prefix = max((each for each in mirrors if url.startswith(each)), key=len, default=None)
        return url if prefix is None else mirrors[prefix] + url.removeprefix(prefix)


def scene(order: bytes, settings: Settings) -> Scene:
    """The scene of an order, YAML or JSON, that intake has accepted or will."""
    return Scene(Order.model_validate(yaml.safe_load(order)), settings)


async def _git(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec("git", *arguments, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return output.decode().split("\t", 1)[0].strip()

"""EnvironmentOperator: what concerns a whole environment: its ports, its buckets, how its services are."""

from collections.abc import Mapping, Sequence

from executor.operators.observing import observed
from executor.operators.world import World, all_of
from stagewright.contracts.work import Allocation, Deployed, ServiceHealth
from stagewright.errors import Retryable
from stagewright.settings import ServerSettings

LEASABLE = range(3000, 10_000)
"""Ports that services may be given."""


class EnvironmentOperator:
    """Acts on one environment; every method may be repeated at will."""

    def __init__(self, environment: str, world: World) -> None:
        self._environment = environment
        self._world = world

    async def occupied_ports(self, deployed: Sequence[Deployed]) -> tuple[tuple[str, int], ...]:
        """(server, port) of what listens in the leasable range, without what `deployed` explains."""
        ours = {(one.allocation.server, one.allocation.port) for one in deployed}
        servers = self._world.settings.servers
        listening = await all_of([self._world.hosts.listening(server) for server in servers])
        found = {
            (server.name, port)
            for server, ports in zip(servers, listening, strict=True)
            for port in ports
            if port in LEASABLE
        }
        return tuple(sorted(found - ours))

    async def probe(self, services: Sequence[Deployed]) -> tuple[ServiceHealth, ...]:
        """How each service is now; one that is not up on its place is `incomplete`."""
        seen = await all_of([observed(self._world, self._environment, one.allocation) for one in services])
        return tuple(
            ServiceHealth(service=one.service, health=health or "incomplete")
            for one, (_, health) in zip(services, seen, strict=True)
        )

    async def allocate(self, allocations: Sequence[Allocation]) -> tuple[str, ...]:
        """Make the allocations true; what was made, as `bucket:<name>`.

        Raises:
            Retryable: `port.occupied`, resource `<server>:<port>`: a process that is not the service's own
                listens there.
        """
        buckets = sorted({one.bucket for one in allocations if one.bucket})
        made, _ = await all_of(
            [self._make_buckets(buckets), self._check_ports([one for one in allocations if one.port])]
        )
        return made

    async def _make_buckets(self, buckets: Sequence[str]) -> tuple[str, ...]:
        changes = await all_of([self._make_bucket(bucket) for bucket in buckets])
        return tuple(change for change in changes if change)

    async def _make_bucket(self, bucket: str) -> str | None:
        storage = self._world.buckets
        if not await storage.exists(bucket):
            await storage.create(bucket)
        elif await storage.is_readable(bucket):
            return None
        await storage.make_readable(bucket)
        return f"bucket:{bucket}"

    async def _check_ports(self, allocations: Sequence[Allocation]) -> tuple[str, ...]:
        servers = {one.server: self._world.server(one.server) for one in allocations}
        listening = dict(
            zip(
                servers,
                await all_of([self._world.hosts.listening(server) for server in servers.values()]),
                strict=True,
            )
        )
        await all_of(
            [self._check_port(one, servers[one.server], listening[one.server]) for one in allocations]
        )
        return ()

    async def _check_port(
        self, allocation: Allocation, server: ServerSettings, listening: Mapping[int, int | None]
    ) -> None:
        port = allocation.port
        if port is None or port not in listening:
            return
        if await self._world.hosts.owns(server, self._environment, allocation.service, listening[port]):
            return
        raise Retryable(
            "port.occupied",
            f"{server.name}:{port}",
            "a process that is not the service's own listens on the port.",
            "The next attempt takes another port; stop the foreign process to have this one.",
        )

    async def release(self, buckets: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Remove buckets; (what was removed, as `bucket:<name>`; names of those that are not empty and stay).

        No object is removed with a bucket: those of our services went with the services.
        """
        done = await all_of([self._world.buckets.delete(bucket) for bucket in buckets])
        ends = list(zip(buckets, done, strict=True))
        removed = tuple(f"bucket:{bucket}" for bucket, end in ends if end == "removed")
        return removed, tuple(bucket for bucket, end in ends if end == "kept")

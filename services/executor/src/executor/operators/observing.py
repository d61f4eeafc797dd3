"""What can be seen of a deployed service, without changing anything."""

from executor.operators.world import World
from stagewright.contracts.work import Allocation, Health

MARKER = "deployed.json"
"""What a deployment leaves behind, on the server or in the bucket: `{"commit": …}`."""


async def observed(
    world: World, environment: str, allocation: Allocation
) -> tuple[str | None, Health | None]:
    """(The commit that is really there, its health); (None, None) where the service is not up on its place.

    Raises:
        Retryable: `server.unreachable`, `bucket.unavailable`.
    """
    if allocation.bucket is not None:
        return await _front(world, allocation.bucket, allocation.prefix)
    if allocation.port is None or not world.knows(allocation.server):
        return None, None
    return await _api(world, environment, allocation.service, allocation.server, allocation.port)


async def _api(
    world: World, environment: str, service: str, name: str | None, port: int
) -> tuple[str | None, Health | None]:
    server = world.server(name)
    found = await world.hosts.look(server, environment, service)
    if found is None or found.commit is None or not found.supervised or found.port != port:
        return None, None
    healthy = await world.hosts.answers(server, port)
    return found.commit, "ready" if healthy else "incomplete"


async def _front(world: World, bucket: str, prefix: str | None) -> tuple[str | None, Health | None]:
    key = f"{prefix}/{MARKER}" if prefix else MARKER
    found = await world.buckets.read_json(bucket, key)
    commit = found.get("commit") if found else None
    return (commit, "ready") if isinstance(commit, str) else (None, None)

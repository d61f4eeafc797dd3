"""Whether a service of ours answers on the bus."""

import asyncio

import nats
from nats.errors import Error as NatsError

from embedded.program import Probe
from stagewright.messaging.topology import CONSOLE
from stagewright.settings import NatsSettings

TIMEOUT = 1.0
"""Seconds that one question may take."""


def answers(bus: NatsSettings, name: str) -> Probe:
    """The service answers `$SRV.PING.<name>`, asked as the console."""

    def ask() -> bool:
        try:
            return asyncio.run(_ping(bus, name))
        except (OSError, NatsError, TimeoutError):
            return False

    return ask


async def _ping(bus: NatsSettings, name: str) -> bool:
    seed = bus.seed(CONSOLE.name)
    client = await nats.connect(
        bus.url,
        nkeys_seed=str(seed) if seed else None,
        inbox_prefix=CONSOLE.inbox.encode(),
        allow_reconnect=False,
        connect_timeout=1,
        error_cb=_ignore,
    )
    try:
        await client.request(f"$SRV.PING.{name}", timeout=TIMEOUT)
        return True
    finally:
        await client.close()


async def _ignore(_error: Exception) -> None:
    """The question is answered by its result alone."""

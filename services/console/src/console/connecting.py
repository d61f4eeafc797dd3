"""Connecting as the console user, for a person who wants to know soon that it does not work."""

import asyncio
import time

import nats.errors
from nats.aio.client import Client

from console.asking import Unreachable
from console.doctor.settings import masked
from stagewright.messaging import topology
from stagewright.messaging.connecting import BusHealth, connect
from stagewright.settings import Settings

_GRACE_AFTER_ERROR = 0.5


async def connect_console(settings: Settings, health: BusHealth, timeout: float) -> Client:
    """The client retries for ever by nature; here it has `timeout` seconds.

    Raises:
        Unreachable: no server answers at the address in time, or it refuses the user.
    """
    seed = settings.nats.seed(topology.CONSOLE.name)
    if seed is not None and not seed.is_file():
        raise _unreachable(settings, f"the key file {seed} does not exist")
    attempt = asyncio.create_task(connect(settings.nats.url, topology.CONSOLE, seed_file=seed, health=health))
    give_up = time.monotonic() + timeout
    failed_at: float | None = None
    while not attempt.done() and time.monotonic() < give_up:
        await asyncio.wait({attempt}, timeout=0.05)
        if health.last_error and failed_at is None:
            failed_at = time.monotonic()
            give_up = min(give_up, failed_at + _GRACE_AFTER_ERROR)
    if not attempt.done():
        attempt.cancel()
        await asyncio.wait({attempt}, timeout=1)
        raise _unreachable(settings, health.last_error or f"no answer within {timeout:g} s")
    try:
        return attempt.result()
    except (OSError, nats.errors.Error, ValueError) as error:
        raise _unreachable(settings, str(error)) from error


def _unreachable(settings: Settings, reason: str) -> Unreachable:
    return Unreachable(
        "bus.unreachable",
        masked("nats.url", settings.nats.url),
        f"cannot connect: {reason}.",
        "Start the one-machine stack with `stagewright up`, or set STAGEWRIGHT_NATS__URL; "
        "`stagewright doctor` tells more.",
    )

"""One way to connect to the bus: NKey, own inbox, quick notice of a dead server, endless reconnects."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import nats
import structlog
from nats.aio.client import Client

from stagewright.messaging.topology import User

log = structlog.get_logger()


@dataclass
class BusHealth:
    """What the connection last said about itself; a denied permission shows only here."""

    connected: bool = False
    last_error: str | None = None
    reconnects: int = 0
    on_reconnect: list[Callable[[], Awaitable[None]]] = field(default_factory=list)


async def connect(
    url: str,
    user: User,
    *,
    seed_file: Path | None,
    health: BusHealth | None = None,
    allow_reconnect: bool = True,
) -> Client:
    """Connect as `user`; `seed_file` holds its NKey seed (None: the server asks for none).

    Raises:
        OSError, nats.errors.Error: the server cannot be reached at first, or refuses the user.
    """
    state = health or BusHealth()

    async def on_error(error: Exception) -> None:
        state.last_error = str(error) or type(error).__name__
        log.warning("bus error", action="bus.error", error=state.last_error, user=user.name)

    async def on_disconnect() -> None:
        state.connected = False
        log.warning("bus disconnected", action="bus.disconnected", user=user.name)

    async def on_reconnect() -> None:
        state.connected, state.reconnects = True, state.reconnects + 1
        log.info("bus reconnected", action="bus.reconnected", user=user.name)
        for callback in state.on_reconnect:
            await callback()

    client = await nats.connect(
        url,
        name=user.name,
        nkeys_seed=str(seed_file) if seed_file else None,
        inbox_prefix=user.inbox.encode(),
        ping_interval=5,
        max_outstanding_pings=2,
        max_reconnect_attempts=-1,
        allow_reconnect=allow_reconnect,
        reconnect_time_wait=0.2,
        connect_timeout=3,
        error_cb=on_error,
        disconnected_cb=on_disconnect,
        reconnected_cb=on_reconnect,
    )
    state.connected = True
    return client

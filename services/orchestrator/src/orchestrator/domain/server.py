"""The server's stream: which port belongs to whom. Two services never share one."""

from collections.abc import Mapping
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple

from orchestrator.domain.facts import PortLeased, PortOccupied, PortReleased
from stagewright.contracts.base import Message

FIRST_PORT, LAST_PORT = 3000, 9999
Tenant = tuple[str, str]
"""Environment and service."""


_NONE: Mapping[Any, Any] = MappingProxyType({})


class ServerState(NamedTuple):
    """Leases by port, and ports that somebody else holds."""

    leases: Mapping[int, Tenant] = _NONE
    occupied: frozenset[int] = frozenset()
    next_port: int = FIRST_PORT


def initial_state() -> ServerState:
    """A server with every port free."""
    return ServerState()


def evolve(state: ServerState, event: Message, at: str) -> ServerState:
    """Fold one event of the server's stream; `at` is part of every evolve's signature."""
    if isinstance(event, PortLeased):
        leases = {**state.leases, event.port: (event.environment, event.service)}
        return state._replace(leases=leases, next_port=max(state.next_port, event.port + 1))
    if isinstance(event, PortReleased):
        return state._replace(leases=_without(state.leases, event.port))
    if isinstance(event, PortOccupied):
        return state._replace(
            leases=_without(state.leases, event.port), occupied=state.occupied | {event.port}
        )
    return state


def _without(leases: Mapping[int, Tenant], port: int) -> Mapping[int, Tenant]:
    return {key: tenant for key, tenant in leases.items() if key != port}


def free_port(state: ServerState, busy: frozenset[int] = frozenset(), first: int = FIRST_PORT) -> int | None:
    """The next port that is neither leased nor occupied nor in `busy`; None when the server is full.

    Goes upward from the last lease, or from `first`, before it looks for gaps, so that a search is short.
    """
    start = max(state.next_port, first)
    candidates = chain(range(start, LAST_PORT + 1), range(FIRST_PORT, start))
    return next(
        (
            port
            for port in candidates
            if port not in state.leases and port not in state.occupied and port not in busy
        ),
        None,
    )

"""The states that a decision reads, and the changes that it makes to them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from orchestrator.domain import environment, folding, order, server
from orchestrator.domain.environment import EnvironmentState
from orchestrator.domain.order import OrderState
from orchestrator.domain.server import ServerState
from stagewright.clock import rfc3339
from stagewright.contracts.base import Message

State = OrderState | EnvironmentState | ServerState


def order_stream(order_id: str) -> str:
    """The name of an order's stream."""
    return f"order/{order_id}"


def environment_stream(name: str) -> str:
    """The name of an environment's stream."""
    return f"environment/{name}"


def server_stream(name: str) -> str:
    """The name of a server's stream."""
    return f"server/{name}"


def initial(stream: str) -> State:
    """The state of a stream before its first event."""
    return _PARTS[stream.split("/", 1)[0]][0]()


def evolve(stream: str, state: State, event: Message, at: str) -> State:
    """The state of a stream after one more event."""
    return _PARTS[stream.split("/", 1)[0]][1](state, event, at)


_PARTS: dict[str, tuple[Callable[[], State], Callable[..., State]]] = {
    "order": (order.initial_state, folding.evolve),
    "environment": (environment.initial_state, environment.evolve),
    "server": (server.initial_state, server.evolve),
}


class World(Protocol):
    """Read access to the folded state of any stream."""

    def state(self, stream: str) -> State:
        """The stream's state; its initial state where the stream has no event."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """One event to append to one stream."""

    stream: str
    event: Message


@dataclass(slots=True)
class Draft:
    """A decision in the making: the world as it will be when the changes so far are stored."""

    world: World
    now: datetime
    changes: list[Change] = field(default_factory=list)
    states: dict[str, State] = field(default_factory=dict)
    at: str = ""
    _later: dict[float, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.at = rfc3339(self.now)

    def after(self, seconds: float) -> str:
        """The moment so many seconds from now, RFC 3339; commands of one decision share it."""
        if seconds not in self._later:
            self._later[seconds] = rfc3339(self.now + timedelta(seconds=seconds))
        return self._later[seconds]

    def add(self, stream: str, event: Message) -> None:
        """Append an event to a stream."""
        self.states[stream] = evolve(stream, self._state(stream), event, self.at)
        self.changes.append(Change(stream, event))

    def order(self, order_id: str) -> OrderState:
        """The order's state, with the changes so far."""
        state = self._state(order_stream(order_id))
        assert isinstance(state, OrderState)  # noqa: S101 - the stream's name says so
        return state

    def environment(self, name: str) -> EnvironmentState:
        """The environment's state, with the changes so far."""
        state = self._state(environment_stream(name))
        assert isinstance(state, EnvironmentState)  # noqa: S101 - the stream's name says so
        return state

    def server(self, name: str) -> ServerState:
        """The server's state, with the changes so far."""
        state = self._state(server_stream(name))
        assert isinstance(state, ServerState)  # noqa: S101 - the stream's name says so
        return state

    def _state(self, stream: str) -> State:
        found = self.states.get(stream)
        return self.world.state(stream) if found is None else found

"""Folded states of the streams in use: what decisions read, kept in step with the log."""

from collections import OrderedDict

from orchestrator.domain.order import OrderState
from orchestrator.domain.world import State, evolve, initial
from orchestrator.store.event_store import EventStore


class WorkingSet:
    """A `World` over the event store. This process is the only writer, so what it folded stays true.

    Ended orders are forgotten first; beyond `limit` streams the longest unused are.
    """

    def __init__(self, store: EventStore, *, limit: int = 20_000) -> None:
        self._store = store
        self._limit = limit
        self._kept: OrderedDict[str, tuple[State, int]] = OrderedDict()

    def state(self, stream: str) -> State:
        """The stream's state as of its last stored event."""
        return self._entry(stream)[0]

    def version(self, stream: str) -> int:
        """The version of the stream's last stored event, 0 for a new one."""
        return self._entry(stream)[1]

    def put(self, stream: str, state: State, version: int) -> None:
        """Take over what was decided: from now on it is what decisions see."""
        self._kept[stream] = (state, version)
        self._kept.move_to_end(stream, last=not (isinstance(state, OrderState) and state.ended))
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)

    def forget(self) -> None:
        """Drop everything: what was decided was not stored."""
        self._kept.clear()

    def _entry(self, stream: str) -> tuple[State, int]:
        found = self._kept.get(stream)
        if found is None:
            found = self._load(stream)
            self._kept[stream] = found
        return found

    def _load(self, stream: str) -> tuple[State, int]:
        state, version = initial(stream), 0
        for row in self._store.load(stream):
            state, version = evolve(stream, state, row.event, row.at), row.version
        return state, version

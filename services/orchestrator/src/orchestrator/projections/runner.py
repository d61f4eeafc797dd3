"""The runner: keeps the index in step with the log, many events at a time.

A row is a function of an order's folded state, so a batch writes each order once, however many of its events
the batch holds. A row may be ahead of the saved position, never behind it; indexing again changes nothing.
"""

import asyncio
from collections.abc import Sequence

from orchestrator.domain.order import OrderState, status_of
from orchestrator.domain.world import World
from orchestrator.projections.index import Index, OrderRow
from orchestrator.store.codec import Recorded
from orchestrator.store.event_store import EventStore
from stagewright.messaging.cancellation import checkpoint

_CHUNK = 500
_GATHER = 1.0
"""Seconds that events may gather when nobody asks: an order that moves fast is then written once."""


class Runner:
    """Indexes the log; who reads what they wrote calls `catch_up` first."""

    def __init__(self, store: EventStore, index: Index, world: World) -> None:
        self._store = store
        self._index = index
        self._world = world
        self._fresh: list[Recorded] = []
        self._log = store.identity()
        self._position = index.position()
        self._known = store.last_position()
        self._wake = asyncio.Event()

    def appended(self, batch: Sequence[Recorded]) -> None:
        """Take what was just stored."""
        self._fresh.extend(batch)
        self._known = batch[-1].position
        self._wake.set()

    async def run(self) -> None:
        """Index until cancelled."""
        while True:
            checkpoint()
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(_GATHER)
            await self.catch_up()

    async def catch_up(self) -> None:
        """Index everything that the log holds now, giving others a turn between chunks."""
        while self._position < self._known:
            self._index_chunk()
            await asyncio.sleep(0)

    def _index_chunk(self) -> None:
        rows = self._next()
        if not rows:
            self._position = self._known
            return
        self._log = self._log or self._store.identity()
        orders = {row.stream: row for row in reversed(rows) if row.stream.startswith("order/")}
        events = [
            (order_id, row.position) for row in rows if (order_id := getattr(row.event, "order_id", None))
        ]
        self._index.save(rows[-1].position, self._log, map(self._row, orders.values()), events)
        self._position = rows[-1].position
        self._fresh = [row for row in self._fresh if row.position > self._position]

    def _next(self) -> Sequence[Recorded]:
        if self._fresh and self._fresh[0].position == self._position + 1:
            return self._fresh[:_CHUNK]
        return self._store.read(self._position, _CHUNK)

    def _row(self, first: Recorded) -> OrderRow:
        state = self._world.state(first.stream)
        if not isinstance(state, OrderState):
            raise TypeError(f"{first.stream} is no order's stream")
        order = state.wanted
        return OrderRow(
            state.order_id,
            first.position,
            order.environment,
            order.action,
            status_of(state),
            state.received_at,
            state.finished_at,
            state.purpose,
            state.open,
        )

"""Deadlines: stored events with a due time. Memory holds only what the log can give back."""

import asyncio
import contextlib
import heapq
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime

from orchestrator.domain.facts import ProbeScheduled, RetryScheduled
from orchestrator.domain.inputs import ApprovalDue, Moment, ProbeDue, RetryDue
from orchestrator.domain.moments import answers_due, moments
from orchestrator.domain.order import OrderState
from orchestrator.domain.world import World, order_stream
from orchestrator.store.codec import Recorded
from stagewright.clock import parse_rfc3339, utc_now
from stagewright.contracts.commands import Command
from stagewright.contracts.order_events import ApprovalRequested, OrderEnded
from stagewright.messaging.cancellation import checkpoint

SWEEP = 1.0
"""Seconds between looks for commands that nobody answered: those are minutes late, and there are none."""


class Deadlines:
    """Calls `fire` with what is due, at its time or as soon after as the process is there."""

    def __init__(self, fire: Callable[[Moment], Awaitable[None]], world: World) -> None:
        self._fire = fire
        self._world = world
        self._heap: list[tuple[datetime, int, Moment]] = []
        self._count = 0
        self._wake = asyncio.Event()
        self._at_work: dict[str, None] = {}

    def appended(self, batch: Sequence[Recorded]) -> None:
        """Take note of what was just scheduled, and of orders that work or have ended."""
        for row in batch:
            event = row.event
            if isinstance(event, Command):
                self._at_work[event.order_id] = None
            elif isinstance(event, OrderEnded):
                self._at_work.pop(event.order_id, None)
            elif (found := _moment(row)) is not None:
                self._add(*found)

    def restore(self, states: Iterable[OrderState]) -> None:
        """Take note of what open orders still wait for."""
        for state in states:
            if state.outstanding:
                self._at_work[state.order_id] = None
            for due, moment in moments(state):
                self._add(due, moment)

    def _add(self, due: datetime, moment: Moment) -> None:
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, moment))
        self._wake.set()

    async def run(self) -> None:
        """Fire until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._moments())
            group.create_task(self._sweeps())

    async def _moments(self) -> None:
        while True:
            checkpoint()
            self._wake.clear()
            if self._heap and self._heap[0][0] <= utc_now():
                await self._fire(heapq.heappop(self._heap)[2])
                continue
            wait = (self._heap[0][0] - utc_now()).total_seconds() if self._heap else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()

    async def _sweeps(self) -> None:
        """Every command has a due time, and almost none is ever met: a heap of them would be for nothing."""
        while True:
            checkpoint()
            await asyncio.sleep(SWEEP)
            now = utc_now()
            for order_id in tuple(self._at_work):
                state = self._world.state(order_stream(order_id))
                if not isinstance(state, OrderState) or not state.outstanding:
                    self._at_work.pop(order_id, None)
                    continue
                for moment in answers_due(state, now):
                    await self._fire(moment)


def _moment(row: Recorded) -> tuple[datetime, Moment] | None:
    match row.event:
        case RetryScheduled() as event:
            return parse_rfc3339(event.due), RetryDue(event.order_id, event.stage, event.service)
        case ApprovalRequested() as event:
            return parse_rfc3339(event.due), ApprovalDue(event.order_id)
        case ProbeScheduled() as event:
            return parse_rfc3339(event.due), ProbeDue(event.order_id)
    return None

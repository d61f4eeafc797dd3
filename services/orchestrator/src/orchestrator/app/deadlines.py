"""Deadlines: stored events with a due time. Memory holds only what the log can give back."""

import asyncio
import contextlib
import heapq
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime

from orchestrator.domain.facts import RetryScheduled
from orchestrator.domain.order import OrderState
from orchestrator.domain.saga import RetryDue
from orchestrator.store.codec import Recorded
from stagewright.clock import parse_rfc3339, utc_now


class Deadlines:
    """Calls `fire` with what is due, at its time or as soon after as the process is there."""

    def __init__(self, fire: Callable[[RetryDue], Awaitable[None]]) -> None:
        self._fire = fire
        self._heap: list[tuple[datetime, int, RetryDue]] = []
        self._count = 0
        self._wake = asyncio.Event()

    def appended(self, batch: Sequence[Recorded]) -> None:
        """Take note of what was just scheduled."""
        for row in batch:
            if isinstance(row.event, RetryScheduled):
                self._add(row.event)

    def restore(self, states: Iterable[OrderState]) -> None:
        """Take note of what open orders still wait for."""
        for state in states:
            for scheduled in state.retries.values():
                self._add(scheduled)

    def _add(self, scheduled: RetryScheduled) -> None:
        self._count += 1
        due = RetryDue(scheduled.order_id, scheduled.stage, scheduled.service)
        heapq.heappush(self._heap, (parse_rfc3339(scheduled.due), self._count, due))
        self._wake.set()

    async def run(self) -> None:
        """Fire until cancelled."""
        while True:
            self._wake.clear()
            if self._heap and self._heap[0][0] <= utc_now():
                await self._fire(heapq.heappop(self._heap)[2])
                continue
            wait = (self._heap[0][0] - utc_now()).total_seconds() if self._heap else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()

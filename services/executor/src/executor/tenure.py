"""Until when what is done under a lease may go on: known to everything in its task, however deep.

A lease that is renewed extends its tenure. Work that this process does itself is cancelled when the lease is
lost, but a process that was stopped cancels nothing: what it started elsewhere must know the end by itself.
"""

import asyncio
from contextvars import ContextVar


class Tenure:
    """`until` is a moment of the machine's monotonic clock, which all its processes share."""

    def __init__(self, until: float) -> None:
        self.until = until
        self._extended = asyncio.Event()

    def extend(self, until: float) -> None:
        """The lease was renewed."""
        self.until = until
        extended, self._extended = self._extended, asyncio.Event()
        extended.set()

    async def after(self, known: float) -> float:
        """Wait until it ends later than `known`; when it does."""
        while self.until <= known:
            await self._extended.wait()
        return self.until


TENURE: ContextVar[Tenure | None] = ContextVar("tenure", default=None)
"""The tenure of the running task; None where nothing needs a lease."""

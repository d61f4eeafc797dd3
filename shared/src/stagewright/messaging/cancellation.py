"""Cancellation: where the bus client swallows it, and where it comes too late.

nats-py's flush catches `CancelledError` and goes on (2.16, `Client._flush_pending`); a task cancelled at that
moment would run for ever. The task still knows that it was asked to go.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def checkpoint() -> None:
    """Raise CancelledError if the running task was cancelled. Loops that publish call it on every round."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def completed(work: Coroutine[Any, Any, T]) -> T:
    """The work's result, whatever is cancelled meanwhile: it came too late, and is forgotten.

    The work must be bounded in time.
    """
    doing, waiting = asyncio.ensure_future(work), asyncio.current_task()
    while not doing.done():
        try:
            await asyncio.wait({doing})
        except asyncio.CancelledError:
            if waiting is not None:
                waiting.uncancel()
    return doing.result()

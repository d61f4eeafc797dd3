"""Blocking clients in threads: a thread cannot be stopped, so what asked for it waits until it is done."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from executor.tenure import TENURE
from stagewright.errors import Retryable

T = TypeVar("T")


async def in_thread(pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    """The result of a call that its client bounds in time.

    A cancelled task says that nothing of its work goes on, so a call that has begun is waited for; one that
    has not is dropped. None begins once the task's tenure is over: its lease may be another's by then.

    Raises:
        Retryable: `executor.stalled`.
    """
    tenure = TENURE.get()

    def begun() -> T:
        if tenure is not None and time.monotonic() >= tenure.until:
            raise _stalled()
        return work()

    call = pool.submit(begun)
    future, stopped = asyncio.wrap_future(call), None
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError as error:
            stopped = error
            call.cancel()
    if stopped is None:
        return future.result()
    if not future.cancelled():
        future.exception()  # looked at, so that the loop does not report it as never retrieved
    raise stopped


def _stalled() -> Retryable:
    return Retryable(
        "executor.stalled",
        "executor",
        "the executor was away for longer than its lease, and did not begin the call.",
        "See that the machine is not overloaded, and its clock not stopped.",
    )

"""Ending tasks for sure."""

import asyncio


async def end(*tasks: asyncio.Task[object]) -> None:
    """Cancel the tasks and return when they are done; their outcome is of no interest any more.

    One `cancel` is not enough: Python 3.11's `wait_for`, which the NATS client waits with, loses a
    cancellation that arrives together with what it waits for (cpython issue 86296).
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0.2)
    await asyncio.gather(*tasks, return_exceptions=True)

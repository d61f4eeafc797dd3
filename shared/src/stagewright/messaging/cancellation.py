"""Cancellation that arrives although the bus client swallows it.

nats-py's flush catches `CancelledError` and goes on (2.16, `Client._flush_pending`); a task cancelled at that
moment would run for ever. The task still knows that it was asked to go.
"""

import asyncio


def checkpoint() -> None:
    """Raise CancelledError if the running task was cancelled. Loops that publish call it on every round."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError

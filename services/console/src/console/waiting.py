"""Waiting for an order's end."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Literal

from console.client import Console
from console.ending import end
from console.following import Entry
from stagewright.contracts.events import OrderEnded
from stagewright.errors import StagewrightError

End = Literal["succeeded", "failed"]

_FIRST_LOOK = 1.0
_LOOK_EVERY = 3.0
_GRACE = 1.0


async def wait_for_end(console: Console, order_id: str, on_entry: Callable[[Entry], None]) -> End:
    """Hand every entry to `on_entry` until the order has ended; returns how.

    The streams are enough as long as they hold the order. Where they have forgotten it (their age limit, a
    wiped broker), the query still knows, so it is asked now and then.
    """
    follow = asyncio.create_task(_follow(console, order_id, on_entry))
    look = asyncio.create_task(_look(console, order_id))
    try:
        await asyncio.wait({follow, look}, return_when=asyncio.FIRST_COMPLETED)
        if not follow.done():
            await asyncio.wait({follow}, timeout=_GRACE)
        return follow.result() if follow.done() else look.result()
    finally:
        await end(follow, look)


async def _follow(console: Console, order_id: str, on_entry: Callable[[Entry], None]) -> End:
    ended: End = "failed"
    async for entry in console.follow(order_id):
        on_entry(entry)
        if isinstance(entry.message, OrderEnded):
            ended = entry.message.status
    return ended


async def _look(console: Console, order_id: str) -> End:
    await asyncio.sleep(_FIRST_LOOK)
    while True:
        with contextlib.suppress(StagewrightError):
            match (await console.order(order_id)).status:
                case "succeeded" | "failed" as status:
                    return status
        await asyncio.sleep(_LOOK_EVERY)

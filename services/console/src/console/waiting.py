"""Waiting for an order's end, and for its services to be ready."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from console.client import Console
from console.ending import end
from console.following import Entry
from stagewright.contracts.order_events import EndStatus, HealthObserved, OrderEnded
from stagewright.contracts.queries import ENDED, EnvironmentView
from stagewright.errors import StagewrightError

OnEntry = Callable[[Entry], None]

_FIRST_LOOK = 1.0
_LOOK_EVERY = 3.0
_GRACE = 1.0
_READY_LOOK = 0.5


async def wait_for_end(
    console: Console, order_id: str, on_entry: OnEntry, *, known_end: str | None = None
) -> EndStatus:
    """Hand every entry to `on_entry` until the order has ended; returns how.

    The streams are enough as long as they hold the order. Where they have forgotten it (their age limit, a
    wiped broker), the query still knows, so it is asked now and then. An end at `known_end` is an earlier
    one, which the order was retried after.
    """
    follow = asyncio.create_task(_follow(console.follow(order_id, known_end=known_end), on_entry))
    look = asyncio.create_task(_look(console, order_id, known_end))
    try:
        await asyncio.wait({follow, look}, return_when=asyncio.FIRST_COMPLETED)
        if not follow.done():
            await asyncio.wait({follow}, timeout=_GRACE)
        return follow.result() if follow.done() else look.result()
    finally:
        await end(follow, look)


async def _follow(entries: AsyncIterator[Entry], on_entry: OnEntry) -> EndStatus:
    ended: EndStatus = "failed"
    async for entry in entries:
        on_entry(entry)
        if isinstance(entry.message, OrderEnded):
            ended = entry.message.status
    return ended


async def _look(console: Console, order_id: str, known_end: str | None) -> EndStatus:
    await asyncio.sleep(_FIRST_LOOK)
    while True:
        with contextlib.suppress(StagewrightError):
            view = await console.order(order_id)
            if view.finished_at is None or view.finished_at != known_end:
                match view.status:
                    case "succeeded" | "failed" | "cancelled" | "stuck" as status:
                        return status
        await asyncio.sleep(_LOOK_EVERY)


async def wait_until_ready(console: Console, order_id: str, on_entry: OnEntry) -> tuple[str, ...]:
    """After an order has succeeded: hand what is seen of its services' health to `on_entry` until all of them
    are ready. Returns those that will not be, because a later order has the environment; none otherwise.
    """
    tail = asyncio.create_task(_hear(console, order_id, on_entry))
    try:
        while True:
            with contextlib.suppress(StagewrightError):
                if (left := await _not_ready(console, order_id)) is not None:
                    return left
            await asyncio.sleep(_READY_LOOK)
    finally:
        await end(tail)


async def _hear(console: Console, order_id: str, on_entry: OnEntry) -> None:
    """Only what comes after the order's end is new to those who have followed it until then."""
    ended = False
    async for entry in console.tail(order_id):
        ended = ended or isinstance(entry.message, OrderEnded)
        if ended and isinstance(entry.message, HealthObserved):
            on_entry(entry)


async def _not_ready(console: Console, order_id: str) -> tuple[str, ...] | None:
    """None where it is to be waited on: also as long as the views have not heard of the order's end."""
    view = await console.order(order_id)
    if view.status not in ENDED:
        return None
    wanted = [one.id for one in view.services if one.decision != "drop"]
    if not wanted:
        return ()
    environment = await console.environment(view.environment_id)
    ready = {one.id for one in environment.services if one.health == "ready"}
    left = tuple(name for name in wanted if name not in ready)
    return left if not left or _taken_over(environment, order_id) else None


def _taken_over(environment: EnvironmentView, order_id: str) -> bool:
    return environment.active_order is not None or environment.last_order not in {order_id, None}

"""Having a plan made: by the services, of what is really there."""

import asyncio
from collections.abc import Callable

from console.client import Console
from console.following import Entry
from console.waiting import wait_for_end
from stagewright.contracts.events import CommandFailed
from stagewright.contracts.order_events import OrderEnded
from stagewright.contracts.queries import PlanReply, PlanView
from stagewright.errors import ErrorInfo, StagewrightError

_VIEWS_FOLLOW = 5.0
_LOOK_EVERY = 0.05


class PlanNotMade(Exception):  # noqa: N818 - an outcome, told to people
    """The order is valid, and yet there is no plan; `info` says why."""

    def __init__(self, info: ErrorInfo) -> None:
        super().__init__(info.reason)
        self.info = info


async def make_plan(
    console: Console, body: bytes, *, by: str | None = None, on_failure: Callable[[ErrorInfo], None]
) -> PlanView | PlanReply:
    """The plan of an order, made from facts; or the reply that rejects the order.

    `on_failure` is told of what could not be looked at and is tried again.

    Raises:
        PlanNotMade: inspecting or planning failed.
    """
    reply = await console.plan(body, by=by)
    if reply.status == "rejected" or reply.order_id is None:
        return reply
    errors: list[ErrorInfo] = []

    def on_entry(entry: Entry) -> None:
        if isinstance(entry.message, OrderEnded) and entry.message.error:
            errors.append(entry.message.error)
        elif isinstance(entry.message, CommandFailed) and entry.message.error.kind == "retryable":
            on_failure(entry.message.error)

    if await wait_for_end(console, reply.order_id, on_entry) == "succeeded":
        return await _view(console, reply.order_id)
    raise PlanNotMade(errors[-1] if errors else await _error(console, reply.order_id))


async def _error(console: Console, order_id: str) -> ErrorInfo:
    view = await console.order(order_id)
    return view.error or ErrorInfo(
        kind="terminal",
        code=f"plan.{view.status}",
        resource=f"orders[{order_id}]",
        reason=f"the plan was not made: it has {view.status}.",
        remedy=f"See `stagewright orders show {order_id}`, then plan again.",
    )


async def _view(console: Console, plan_id: str) -> PlanView:
    """Views come a moment after the events that they show."""
    give_up = asyncio.get_running_loop().time() + _VIEWS_FOLLOW
    while True:
        try:
            return await console.plan_view(plan_id)
        except StagewrightError:
            if asyncio.get_running_loop().time() > give_up:
                raise
        await asyncio.sleep(_LOOK_EVERY)

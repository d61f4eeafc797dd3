"""The whole stack goes and comes back: by being stopped, and by the SIGKILL of its supervisor.

Not async themselves: a stack must be started by the thread that lives as long as it should.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from console.client import Console, connected
from console.demo.proving import PROVERS
from console.probes.proxy import get
from stagewright.contracts.base import Stage
from stagewright.contracts.queries import EnvironmentView, OrderView
from tests.support.eventually import eventually
from tests.support.parts import assert_gone, kill
from tests.support.whole_stack import WholeStack, fresh, reached, submit, succeeded
from tests.support.whole_stack_facts import answered_once, everything_holds, log_rows
from tests.support.whole_stack_holds import held


def asking(whole: WholeStack, work: Callable[[Console], Awaitable[Any]]) -> Any:
    """Do this over a connection of its own."""

    async def do() -> Any:
        async with connected(whole.settings, timeout=30) as console:
            return await work(console)

    return asyncio.run(do())


def test_a_stopped_stack_comes_back_with_everything(whole: WholeStack) -> None:
    order = whole.order(fresh("stop"))
    scene = whole.scene(order)

    async def seen(console: Console, order_id: str) -> tuple[OrderView, EnvironmentView]:
        return await console.order(order_id), await console.environment(order["environment_id"])

    async def first(console: Console) -> str:
        order_id = await submit(console, order)
        await succeeded(console, order_id)
        return order_id

    order_id = asking(whole, first)
    shown = asking(whole, lambda console: seen(console, order_id))
    log, versions = log_rows(whole), asyncio.run(PROVERS["secrets"](scene))

    assert whole.stack.stop()
    with pytest.raises(httpx.TransportError):
        asyncio.run(get(scene.settings.proxy, scene.order.domains[0], "/health"))
    whole.stack.start()

    asyncio.run(everything_holds(whole, scene))
    assert asyncio.run(PROVERS["secrets"](scene)) == versions
    assert log_rows(whole)[: len(log)] == log
    assert asking(whole, lambda console: seen(console, order_id)) == shown
    again = asking(whole, first)
    view, _ = asking(whole, lambda console: seen(console, again))
    assert {line.decision for line in view.plan} == {"unchanged"}


def test_an_order_survives_the_kill_of_the_supervisor_of_all(whole: WholeStack) -> None:
    order = whole.order(fresh("all"))

    async def under_way(console: Console) -> str:
        order_id = await submit(console, order)
        await reached(console, order_id, Stage.DEPLOY_SERVICES)
        await eventually(whole.pending, timeout=60)
        return order_id

    async def to_its_end(console: Console) -> None:
        await succeeded(console, order_id)
        await answered_once(console, order_id)

    with held(whole, Stage.DEPLOY_SERVICES):
        order_id = asking(whole, under_way)
        pids = [part.pid for part in whole.stack.status()]
        kill(whole.stack.supervision.pid())
    assert_gone(*pids, timeout=60)
    whole.stack.start()
    asking(whole, to_its_end)
    asyncio.run(everything_holds(whole, whole.scene(order)))

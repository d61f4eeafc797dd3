"""The broker loses everything that it stored: receipts stay, and what was under way ends."""

import json
import shutil
from uuid import uuid4

from console.client import connected
from stagewright.contracts.base import Stage
from stagewright.contracts.orders import SubmitReply
from tests.support.eventually import eventually
from tests.support.whole_stack import WholeStack, fresh, reached, submit, succeeded
from tests.support.whole_stack_facts import answered_once, everything_holds
from tests.support.whole_stack_holds import held


def wipe(whole: WholeStack) -> None:
    """Stop the bus, delete all that it stored, start it."""
    whole.stack.stop_part("nats")
    store = whole.stack.layout.part("nats") / "jetstream"
    assert any(store.rglob("*.blk")), "nothing was stored here: the test would prove nothing"
    shutil.rmtree(store)
    whole.stack.start_part("nats", 60)


async def ask(whole: WholeStack, body: bytes, order_id: str) -> SubmitReply:
    """Submit on a connection of its own, however long the bus takes to come back."""
    async with connected(whole.settings, timeout=30) as console:
        return await console.submit(body, order_id, timeout=60)


async def test_the_same_order_id_is_a_duplicate_for_ever(whole: WholeStack) -> None:
    order, order_id = whole.order(fresh("dup")), str(uuid4())
    body = json.dumps(order).encode()
    first = await ask(whole, body, order_id)
    assert (first.status, first.order_id) == ("accepted", order_id)
    assert first.receipt
    async with connected(whole.settings, timeout=10) as console:
        before = await succeeded(console, order_id)
    again = await ask(whole, body, order_id)
    assert (again.status, again.receipt) == ("duplicate", first.receipt)

    wipe(whole)

    # The orchestrator, which keeps the receipts, finds its way back to the bus by itself.
    after = await eventually(lambda: ask(whole, body, order_id), timeout=60, until=lambda it: it.status)
    assert (after.status, after.receipt) == ("duplicate", first.receipt)
    other = json.dumps({**order, "description": "something else"}).encode()
    conflict = await ask(whole, other, order_id)
    assert conflict.status == "rejected"
    assert [error.code for error in conflict.errors] == ["order.conflict"]
    async with connected(whole.settings, timeout=10) as console:
        assert await console.order(order_id) == before
        assert (await succeeded(console, await submit(console, order))).plan
    await everything_holds(whole, whole.scene(order))


async def test_an_order_under_way_ends_although_the_bus_forgot_it(whole: WholeStack) -> None:
    order = whole.order(fresh("wipe"))
    with held(whole, Stage.DEPLOY_SERVICES) as holds:
        async with connected(whole.settings, timeout=10) as console:
            order_id = await submit(console, order)
            await reached(console, order_id, Stage.DEPLOY_SERVICES)
            await eventually(whole.pending, timeout=60)
        wipe(whole)
        holds.release(Stage.DEPLOY_SERVICES)
    async with connected(whole.settings, timeout=30) as console:
        await succeeded(console, order_id)
        await answered_once(console, order_id)
    await everything_holds(whole, whole.scene(order))

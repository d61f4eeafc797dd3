"""Forty orders over ten environments at once, beside the ideal for the executor's slots.

Each command takes as long as it would with real work, so that what is measured is how well the system keeps
its executors busy, whatever this machine does besides.
"""

import asyncio
import json
import time
from collections import defaultdict
from typing import Any

from stagewright.contracts.queries import AttemptList, OrderQuery
from stagewright.ids import uuid7
from stagewright.messaging.topology import SUBMIT
from tests.bench.load import Load, order
from tests.bench.noop_executor import SECONDS
from tests.bench.system import System, running

ORDERS, ENVIRONMENTS, SLOTS, EACH = 40, 10, 8, 0.1

Span = tuple[str, str]
"""From and to, RFC 3339: as text they sort by time."""


async def forty_orders() -> dict[str, Any]:
    """Submit all at once and wait for all; `ratio` is the wall time by the ideal one."""
    settings = {SECONDS: str(EACH), "STAGEWRIGHT_EXECUTOR__SLOTS": str(SLOTS)}
    async with running(**settings) as system:
        load = Load(system.client)
        await load.begin()
        began = time.perf_counter()
        ids = await asyncio.gather(*(_submit(system, load, n % ENVIRONMENTS) for n in range(ORDERS)))
        wall = time.perf_counter() - began
        spans = {order_id: await _spans(system, order_id) for order_id, _ in ids}
    commands = sum(len(found) for found in spans.values())
    chains = defaultdict(int)
    for order_id, environment in ids:
        chains[environment] += len({stage for stage, _ in spans[order_id]})
    ideal = max(commands * EACH / SLOTS, max(chains.values()) * EACH)
    return {
        "orders": ORDERS,
        "environments": ENVIRONMENTS,
        "slots": SLOTS,
        "wall_s": round(wall, 2),
        "ideal_s": round(ideal, 2),
        "ratio": round(wall / ideal, 3),
        "overlaps": _overlaps(ids, spans),
        "failed": load.failed,
    }


async def _submit(system: System, load: Load, number: int) -> tuple[str, int]:
    order_id = str(uuid7())
    ended = load.expect(order_id)
    headers = {"Nats-Msg-Id": order_id}
    reply = await system.client.request(SUBMIT, order(f"crowd-{number}"), timeout=30, headers=headers)
    assert json.loads(reply.data)["status"] == "accepted", reply.data
    load.failed += not await asyncio.wait_for(ended, 120)
    return order_id, number


async def _spans(system: System, order_id: str) -> list[tuple[str, Span]]:
    body = OrderQuery(order_id=order_id).model_dump_json().encode()
    reply = await system.client.request("queries.orders.attempts", body, timeout=5)
    found = AttemptList.model_validate_json(reply.data).attempts
    return [(each.stage, (each.started_at or "", each.finished_at or "")) for each in found]


def _overlaps(ids: list[tuple[str, int]], spans: dict[str, list[tuple[str, Span]]]) -> int:
    """Pairs of orders of one environment that were at work at the same time: there must be none."""
    works = defaultdict(list)
    for order_id, environment in ids:
        found = [span for _, span in spans[order_id]]
        works[environment].append((min(a for a, _ in found), max(b for _, b in found)))
    return sum(
        later[0] < earlier[1]
        for orders in works.values()
        for earlier, later in zip(sorted(orders), sorted(orders)[1:], strict=False)
    )

"""Load: submits orders the way anybody does, by request to `orders.submit`, and waits for each to end."""

import asyncio
import json
import time
from dataclasses import dataclass, field

from nats.aio.client import Client
from nats.aio.msg import Msg

from stagewright.contracts.order_events import OrderEnded
from stagewright.ids import uuid7
from stagewright.messaging.envelope import header
from stagewright.messaging.topology import SUBMIT


def order(environment: str) -> bytes:
    """An order of one service a block, so that an order is six commands: `inspect` and the five stages."""
    services = [("api", "6", "node"), ("front", "8", "angular")]
    blocks = {
        block: {
            "domains": [f"{block}-{environment}.example.com"],
            "services": [
                {
                    "id": name,
                    "path": "/",
                    "repository": {"url": f"https://git.example.com/{name}"},
                    "type": kind,
                }
            ],
        }
        for block, name, kind in services
    }
    return json.dumps({"action": "update", "environment_id": environment, **blocks}).encode()


@dataclass
class Load:
    """Drives orders and keeps each one's time from submit to the end, in seconds."""

    client: Client
    latencies: list[float] = field(default_factory=list)
    failed: int = 0
    _ends: dict[str, asyncio.Future[bool]] = field(default_factory=dict)

    async def begin(self) -> None:
        """Listen for orders that end."""
        js = self.client.jetstream()
        await js.subscribe("events.order.*.*", stream="EVENTS", cb=self._ended, ordered_consumer=True)

    async def _ended(self, msg: Msg) -> None:
        if header(msg.headers, "ce-type") == OrderEnded.ce_type:
            waiting = self._ends.get(msg.subject.rsplit(".", 1)[1])
            if waiting is not None and not waiting.done():
                waiting.set_result(b'"succeeded"' in msg.data)

    def expect(self, order_id: str) -> "asyncio.Future[bool]":
        """What becomes true when the order has succeeded, false when it has ended otherwise."""
        return self._ends.setdefault(order_id, asyncio.get_running_loop().create_future())

    async def run(self, orders: int, concurrency: int) -> float:
        """Submit `orders`, `concurrency` at a time, each caller on its own environment; returns seconds."""
        self.latencies.clear()
        started = time.perf_counter()
        share = [orders // concurrency] * concurrency
        await asyncio.gather(*(self._caller(f"bench-{n}", count) for n, count in enumerate(share)))
        return time.perf_counter() - started

    async def _caller(self, environment: str, count: int) -> None:
        body = order(environment)
        for _ in range(count):
            order_id = str(uuid7())
            ended = self.expect(order_id)
            begun = time.perf_counter()
            reply = await self.client.request(SUBMIT, body, timeout=30, headers={"Nats-Msg-Id": order_id})
            if json.loads(reply.data)["status"] != "accepted":
                raise AssertionError(f"not accepted: {reply.data.decode()}")
            self.failed += not await asyncio.wait_for(ended, 60)
            del self._ends[order_id]
            self.latencies.append(time.perf_counter() - begun)

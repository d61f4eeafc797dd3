"""Speaks the wire contract over a real bus: a small stand-in for intake, orchestrator and executor.

It takes any body that is JSON or looks like an order, lets the order run through its stages in `step` seconds
each, and answers what the console asks. The order's description chooses what happens to it: `fail` (and a
retry succeeds), `revert`, `stuck`, `approve`, `incomplete`, `never` (ready), `same` (no changes),
`unplannable`, or nothing special.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import nats
import yaml
from nats.aio.client import Client
from nats.aio.msg import Msg

from stagewright.contracts.base import Contract
from stagewright.contracts.control import VERBS, ControlReply, ControlRequest, Verb, control_subject
from stagewright.contracts.orders import FieldError, Order, Receipt, SubmitReply
from stagewright.contracts.queries import (
    AttemptList,
    EventList,
    OrderList,
    OrderListQuery,
    OrderSummary,
    PlanReply,
    Probe,
    QueryError,
    RollbackOrder,
    StoredEventView,
)
from stagewright.errors import ErrorInfo
from stagewright.ids import uuid7
from stagewright.messaging import topology
from stagewright.messaging.declaring import declare
from stagewright.messaging.envelope import header
from tests.support.console_bus import BACKEND, Bus
from tests.support.console_course import Course
from tests.support.console_messages import AT, COMMIT, Running, environment_view


class Backend(Course):
    """`submits` counts requests per id; `asked` is every control request; `swallow` loses so many replies."""

    def __init__(self, client: Client, *, step: float = 0.02) -> None:
        super().__init__(client, step=step)
        self.submits: dict[str, int] = {}
        self.asked: list[tuple[Verb, ControlRequest]] = []
        self.swallow = 0

    async def serve(self) -> None:
        await self.client.subscribe(topology.SUBMIT, cb=self._submit)
        await self.client.subscribe(topology.PLAN, cb=self._plan)
        for subject, answer in (
            ("queries.orders.list", self._list),
            ("queries.orders.show", self._show),
            ("queries.orders.events", self._events),
            ("queries.orders.attempts", self._attempts),
            ("queries.orders.rollback", self._rollback),
            ("queries.plans.show", self._plan_view),
            ("queries.environments.show", self._environment),
            ("queries.system.health", self._health),
        ):
            await self.client.subscribe(subject, cb=_answering(answer))
        for verb in VERBS:
            await self.client.subscribe(control_subject(verb), cb=self._controlling(verb))
        await self.client.flush()

    async def _submit(self, msg: Msg) -> None:
        order_id, order = header(msg.headers, "Nats-Msg-Id") or str(uuid7()), _order(msg.data)
        self.submits[order_id] = self.submits.get(order_id, 0) + 1
        if order is None:
            await _respond(msg, SubmitReply(status="rejected", errors=(NOT_YAML,)))
            return
        known = order_id in self.orders
        if not known:
            by = header(msg.headers, "Stagewright-Submitter") or "anonymous"
            self.orders[order_id] = Running(order_id, order, by)
            self.spawn(self.run(order_id))
        if self.swallow:
            self.swallow -= 1
            return
        receipt = Receipt(order_id=order_id, digest="0" * 64, received_at=AT)
        status = "duplicate" if known else "accepted"
        await _respond(msg, SubmitReply(status=status, order_id=order_id, receipt=receipt))

    async def _plan(self, msg: Msg) -> None:
        order_id, order = header(msg.headers, "Nats-Msg-Id") or str(uuid7()), _order(msg.data)
        if order is None:
            await _respond(msg, PlanReply(status="rejected", errors=(NOT_YAML,)))
            return
        one = Running(order_id, order, "anonymous", purpose="plan")
        if header(msg.headers, "Stagewright-Offline") == "true":
            await _respond(msg, PlanReply(status="planned", plan=one.plan_view(offline=True)))
            return
        self.orders[order_id] = one
        self.spawn(self.make_plan(one))
        await _respond(msg, PlanReply(status="accepted", order_id=order_id))

    def _controlling(self, verb: Verb) -> Callable[[Msg], Awaitable[None]]:
        async def control(msg: Msg) -> None:
            request = ControlRequest.model_validate_json(msg.data)
            self.asked.append((verb, request))
            one = self.orders.get(request.order_id)
            error = _refusal(verb, request, one)
            status = "refused" if error else "done"
            await _respond(msg, ControlReply(status=status, order_id=request.order_id, error=error))
            if one and not error:
                await self.do(verb, request, one)

        return control

    def _list(self, body: dict) -> Contract:
        query = OrderListQuery.model_validate(body)
        return OrderList(
            orders=tuple(
                OrderSummary(
                    order_id=one.order_id,
                    environment_id="3",
                    action=one.action,
                    status=one.status,
                    received_at=AT,
                )
                for one in self.orders.values()
                if one.purpose == query.purpose and query.status in {None, one.status}
            )
        )

    def _show(self, body: dict) -> Contract:
        one = self.orders.get(body["order_id"])
        return one.view() if one else _unknown(f"orders/{body['order_id']}")

    def _plan_view(self, body: dict) -> Contract:
        one = self.orders.get(body["plan_id"])
        return one.plan_view() if one else _unknown(f"plans/{body['plan_id']}")

    def _attempts(self, body: dict) -> Contract:
        one = self.orders.get(body["order_id"])
        return AttemptList(attempts=tuple(one.attempts)) if one else _unknown(f"orders/{body['order_id']}")

    def _rollback(self, body: dict) -> Contract:
        one = self.orders.get(body["to"])
        if one is None or body["environment_id"] != "3":
            return _unknown(f"orders/{body['to']}")
        order = {**EXAMPLE, "action": "rollback", "to": one.order_id}
        if one.scenario:
            order["description"] = one.scenario
        return RollbackOrder(order=Order.model_validate(order))

    def _events(self, body: dict) -> Contract:
        event = StoredEventView(
            position=1, stream="order-1", version=1, type="OrderReceived.v1", recorded_at=AT, body={}
        )
        return EventList(events=(event,))

    def _environment(self, body: dict) -> Contract:
        if body["environment_id"] != "3":
            return _unknown(f"environments/{body['environment_id']}")
        orders = [one for one in self.orders.values() if one.purpose == "apply"]
        owner = next((one.order_id for one in orders if one.finished_at is None), None)
        last = next((one.order_id for one in reversed(orders) if one.finished_at), None)
        return environment_view(ready=all(one.ready for one in orders), owner=owner, last=last)

    def _health(self, body: dict) -> Contract:
        return Probe(status="ready", position=7)


EXAMPLE: dict = {
    "action": "update",
    "environment_id": "3",
    "api": {
        "domains": ["manager-api.lab.makeitsaas.com"],
        "services": [
            {
                "id": "6",
                "path": "/core",
                "repository": {"url": "https://github.com/makeitsaas/core", "version": COMMIT},
                "type": "node",
            }
        ],
    },
    "front": {
        "domains": ["manager-angular.lab.makeitsaas.com"],
        "services": [
            {
                "id": "8",
                "path": "/",
                "repository": {"url": "https://github.com/makeitsaas/front", "version": COMMIT},
                "type": "angular",
            }
        ],
    },
}
"""An order that holds to every rule, where a test needs one."""

NOT_YAML = FieldError(code="order.not_yaml", field="", message="is neither YAML nor JSON.")


@asynccontextmanager
async def backend(bus: Bus, *, step: float = 0.02) -> AsyncIterator[Backend]:
    """A backend that serves until the block ends; makes the streams."""
    client = await nats.connect(
        bus.url,
        nkeys_seed=str(bus.credentials / f"{BACKEND.name}.nk"),
        inbox_prefix=BACKEND.inbox.encode(),
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.1,
    )
    await declare(client.jetstream())
    serving = Backend(client, step=step)
    await serving.serve()
    try:
        yield serving
    finally:
        await serving.stop()
        await client.close()


def _order(body: bytes) -> dict | None:
    try:
        order = yaml.safe_load(body)
    except yaml.YAMLError:
        return None
    return order if isinstance(order, dict) else None


async def _respond(msg: Msg, reply: Contract) -> None:
    await msg.respond(reply.model_dump_json().encode())


def _answering(answer: Callable[[dict], Contract]) -> Callable[[Msg], Awaitable[None]]:
    async def respond(msg: Msg) -> None:
        await _respond(msg, answer(yaml.safe_load(msg.data or b"{}")))

    return respond


def _refusal(verb: Verb, request: ControlRequest, one: Running | None) -> ErrorInfo | None:
    wanted = {"approve": "awaiting_approval", "reject": "awaiting_approval", "retry": "failed"}.get(verb)
    if one is None:
        return _error("order.unknown", request.order_id, "no such order is in the log.")
    if wanted is not None and one.status != wanted:
        return _error("order.running", one.order_id, f"the order is {one.status}.")
    if verb == "approve" and request.by == one.by:
        return _error("approval.own_order", one.order_id, f"{request.by} submitted the order.")
    return None


def _error(code: str, order_id: str, reason: str) -> ErrorInfo:
    return ErrorInfo(
        kind="terminal", code=code, resource=f"orders[{order_id}]", reason=reason, remedy="Look at it first."
    )


def _unknown(resource: str) -> QueryError:
    return QueryError(
        error=ErrorInfo(
            kind="terminal",
            code="query.not_found",
            resource=resource,
            reason="there is no such thing.",
            remedy="See `orders list`.",
        )
    )


async def _serve(home: str) -> None:
    """By hand: `python -m tests.support.console_backend DIR [STEP]` serves until interrupted."""
    from pathlib import Path

    from tests.support.console_bus import bus

    with bus(Path(home)) as server:
        async with backend(server, step=float(os.environ.get("STEP", "0.5"))):
            print("\n".join(f"export {k}={v}" for k, v in server.environment().items() if "STAGEW" in k))
            await asyncio.Event().wait()


if __name__ == "__main__":
    import sys

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(sys.argv[1]))

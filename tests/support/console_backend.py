"""Speaks the wire contract over a real bus: a small stand-in for intake, orchestrator and executor.

It takes any body that is JSON or looks like an order, lets the order run through its stages in
`step` seconds each, and answers the queries that the console asks.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
import yaml
from nats.aio.client import Client
from nats.aio.msg import Msg

from stagewright.clock import rfc3339, utc_now
from stagewright.contracts.base import STAGES, Message, Stage
from stagewright.contracts.events import (
    CommandFailed,
    Decision,
    EnvironmentConfigured,
    EnvironmentInspected,
    InspectedService,
    OrderEnded,
    OrderPlanned,
    ResourcesAllocated,
    RoutesUpdated,
    ServiceDeployed,
    VariablesCreated,
)
from stagewright.contracts.logs import TaskLog
from stagewright.contracts.orders import FieldError, Receipt, SubmitReply
from stagewright.contracts.queries import (
    EnvironmentView,
    EventList,
    OrderList,
    OrderSummary,
    OrderView,
    Probe,
    QueryError,
    ServiceOutcomeView,
    StageView,
    StoredEventView,
)
from stagewright.errors import ErrorInfo
from stagewright.ids import command_id, uuid7
from stagewright.messaging import topology
from stagewright.messaging.declaring import declare
from stagewright.messaging.envelope import envelope, header
from stagewright.messaging.publishing import Outgoing, publish_all
from tests.support.console_bus import BACKEND, Bus

COMMIT = "a" * 40
AT = "2026-11-23T10:00:00.000000Z"
BROKEN = ErrorInfo(
    kind="terminal",
    code="repository.ref_not_found",
    resource="services[7].repository",
    reason="the repository has no branch nowhere.",
    remedy="Write a branch that it has.",
)


class Backend:
    """`orders` holds every accepted id and its state; `submits` counts requests per id."""

    def __init__(self, client: Client, *, step: float = 0.02) -> None:
        self.client = client
        self.step = step
        self.orders: dict[str, str] = {}
        self.submits: dict[str, int] = {}
        self.swallow = 0
        """So many submits are taken, and their replies lost."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        await self.client.subscribe(topology.SUBMIT, cb=self._submit)
        for subject, answer in (
            ("queries.orders.list", self._list),
            ("queries.orders.show", self._show),
            ("queries.orders.events", self._events),
            ("queries.environments.show", self._environment),
            ("queries.system.health", self._health),
        ):
            await self.client.subscribe(subject, cb=answer)
        await self.client.flush()

    async def _submit(self, msg: Msg) -> None:
        order_id = header(msg.headers, "Nats-Msg-Id") or str(uuid7())
        self.submits[order_id] = self.submits.get(order_id, 0) + 1
        try:
            order = yaml.safe_load(msg.data)
        except yaml.YAMLError:
            order = None
        if not isinstance(order, dict):
            error = FieldError(code="order.not_yaml", field="", message="is neither YAML nor JSON.")
            await msg.respond(SubmitReply(status="rejected", errors=(error,)).model_dump_json().encode())
            return
        known = order_id in self.orders
        if not known:
            self.orders[order_id] = "running"
            self.spawn(order_id, fail=order.get("description") == "fail")
        if self.swallow:
            self.swallow -= 1
            return
        receipt = Receipt(order_id=order_id, digest="0" * 64, received_at=AT)
        status = "duplicate" if known else "accepted"
        reply = SubmitReply(status=status, order_id=order_id, receipt=receipt)
        await msg.respond(reply.model_dump_json().encode())

    def spawn(self, order_id: str, *, fail: bool = False) -> None:
        task = asyncio.create_task(self.run(order_id, fail=fail))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def run(self, order_id: str, *, fail: bool = False) -> None:
        """Publish what an order of three services says on its way."""
        for stage in STAGES:
            await asyncio.sleep(self.step)
            if fail and stage is Stage.DEPLOY_SERVICES:
                await self.log(order_id, stage, "Check out the commit", "failed", service="7")
                await self._fail(order_id, stage)
                return
            await self._stage(order_id, stage)
        await self.event(
            order_id,
            "order",
            OrderEnded(order_id=order_id, environment="3", status="succeeded", finished_at=now()),
        )
        self.orders[order_id] = "succeeded"

    async def _stage(self, order_id: str, stage: Stage) -> None:
        match stage:
            case Stage.INSPECT:
                found = tuple(InspectedService(service=s, commit=COMMIT) for s in "678")
                await self.event(
                    order_id, stage, EnvironmentInspected(**self._outcome(order_id, stage), services=found)
                )
                lines = tuple(
                    Decision(service=s, decision="create", reasons=("nothing runs",), commit=COMMIT)
                    for s in "678"
                )
                await self.event(
                    order_id, "order", OrderPlanned(order_id=order_id, environment="3", decisions=lines)
                )
            case Stage.CONFIGURE_ENVIRONMENT:
                await self.event(
                    order_id, stage, EnvironmentConfigured(**self._outcome(order_id, stage), records=())
                )
            case Stage.ALLOCATE_RESOURCES:
                await self.event(
                    order_id, stage, ResourcesAllocated(**self._outcome(order_id, stage), allocations=())
                )
            case Stage.CREATE_VARIABLES:
                await self.event(
                    order_id, stage, VariablesCreated(**self._outcome(order_id, stage), services=())
                )
            case Stage.DEPLOY_SERVICES:
                await asyncio.gather(*(self._deploy(order_id, service) for service in "678"))
            case Stage.UPDATE_ROUTES:
                await self.event(
                    order_id, stage, RoutesUpdated(**self._outcome(order_id, stage), routes=(), changed=True)
                )

    async def _deploy(self, order_id: str, service: str) -> None:
        for task in ("Make the database", "Check out the commit", "Install packages", "Start the process"):
            await self.log(order_id, Stage.DEPLOY_SERVICES, task, "started", service=service)
            await asyncio.sleep(self.step * (1 + int(service) / 10))
            await self.log(order_id, Stage.DEPLOY_SERVICES, task, "changed", service=service)
        deployed = ServiceDeployed(
            **self._outcome(order_id, Stage.DEPLOY_SERVICES, service),
            service=service,
            commit=COMMIT,
            health="ready",
            changed=("Start the process",),
        )
        await self.event(order_id, Stage.DEPLOY_SERVICES, deployed)

    async def _fail(self, order_id: str, stage: Stage) -> None:
        failed = CommandFailed(**self._outcome(order_id, stage, "7"), service="7", error=BROKEN)
        await self.event(order_id, stage, failed)
        ended = OrderEnded(
            order_id=order_id, environment="3", status="failed", error=BROKEN, finished_at=now()
        )
        await self.event(order_id, "order", ended)
        self.orders[order_id] = "failed"

    def _outcome(self, order_id: str, stage: Stage, service: str | None = None) -> dict:
        return {
            "command_id": command_id(order_id, stage, service, 1),
            "order_id": order_id,
            "environment": "3",
            "stage": stage,
            "attempt": 1,
            "started_at": now(),
            "finished_at": now(),
        }

    async def log(self, order_id: str, stage: Stage, task: str, status: str, *, service: str) -> None:
        message = TaskLog(
            order_id=order_id,
            environment="3",
            stage=stage,
            service=service,
            task=task,
            status=status,
            at=now(),
            duration_s=None if status == "started" else self.step,
        )
        await self._publish(topology.logs_subject("3", order_id, stage), topology.LOGS, message, order_id)

    async def event(self, order_id: str, stage: str, message: Message) -> None:
        await self._publish(topology.event_subject(stage, "3", order_id), topology.EVENTS, message, order_id)

    async def _publish(self, subject: str, stream: str, message: Message, order_id: str) -> None:
        head = envelope(
            message,
            message_id=uuid7(),
            source="backend",
            time=now(),
            correlation_id=order_id,
            causation_id=order_id,
        )
        await publish_all(self.client.jetstream(), [Outgoing(subject, stream, message.to_json(), head)])

    async def _list(self, msg: Msg) -> None:
        orders = tuple(
            OrderSummary(
                order_id=order_id, environment_id="3", action="update", status=status, received_at=AT
            )
            for order_id, status in self.orders.items()
        )
        await msg.respond(OrderList(orders=orders).model_dump_json().encode())

    async def _show(self, msg: Msg) -> None:
        order_id = yaml.safe_load(msg.data)["order_id"]
        if order_id not in self.orders:
            await msg.respond(_unknown(f"orders/{order_id}"))
            return
        status = self.orders[order_id]
        view = OrderView(
            order_id=order_id,
            environment_id="3",
            action="update",
            status=status,
            received_at=AT,
            error=BROKEN if status == "failed" else None,
            stages=tuple(StageView(stage=s, status="pending", attempts=0) for s in STAGES),
            services=(ServiceOutcomeView(id="6", decision="create", commit=COMMIT, health="ready"),),
        )
        await msg.respond(view.model_dump_json().encode())

    async def _events(self, msg: Msg) -> None:
        event = StoredEventView(
            position=1, stream="order-1", version=1, type="OrderReceived.v1", recorded_at=AT, body={}
        )
        await msg.respond(EventList(events=(event,)).model_dump_json().encode())

    async def _environment(self, msg: Msg) -> None:
        environment = yaml.safe_load(msg.data)["environment_id"]
        if environment != "3":
            await msg.respond(_unknown(f"environments/{environment}"))
            return
        view = EnvironmentView(environment_id="3", domains=("manager-api.lab.makeitsaas.com",), services=())
        await msg.respond(view.model_dump_json().encode())

    async def _health(self, msg: Msg) -> None:
        await msg.respond(Probe(status="ready", position=7).model_dump_json().encode())


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


def now() -> str:
    return rfc3339(utc_now())


def _unknown(resource: str) -> bytes:
    info = ErrorInfo(
        kind="terminal",
        code="query.not_found",
        resource=resource,
        reason="there is no such thing.",
        remedy="See `orders list`.",
    )
    return QueryError(error=info).model_dump_json().encode()


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

"""The way that an order of `console_backend` takes: what is published of it, step by step."""

import asyncio
from collections.abc import Awaitable

from nats.aio.client import Client

from stagewright.contracts.base import Message, Stage
from stagewright.contracts.control import ControlRequest, Verb
from stagewright.contracts.events import CommandFailed
from stagewright.contracts.logs import TaskLog
from stagewright.contracts.order_events import (
    ApprovalRequested,
    HealthObserved,
    OrderApproved,
    OrderCancelled,
    OrderPaused,
    OrderResumed,
    OrderRetried,
    ReversalBegun,
)
from stagewright.contracts.queries import AttemptView
from stagewright.ids import uuid7
from stagewright.messaging import topology
from stagewright.messaging.envelope import envelope
from stagewright.messaging.publishing import Outgoing, publish_all
from tests.support.console_messages import AT, BROKEN, DENIED, DUE, RUN, STUCK, Running, now

TASKS = ("Make the database", "Check out the commit", "Install packages", "Start the process")


class Course:
    """`orders` holds every accepted id; a stage takes `step` seconds."""

    def __init__(self, client: Client, *, step: float) -> None:
        self.client = client
        self.step = step
        self.orders: dict[str, Running] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def make_plan(self, one: Running) -> None:
        await self._done(one, Stage.INSPECT)
        if one.scenario == "unplannable":
            await self.event(one, "order", one.ended("failed", BROKEN))
            return
        await self.event(one, "order", one.planned())
        await self.event(one, "order", one.ended("succeeded"))

    async def run(self, order_id: str) -> None:
        """Publish what an order says on its way."""
        one = self.orders.setdefault(order_id, Running(order_id, {}, "anonymous"))
        if not one.retried:
            await self._begin(one)
        for stage in one.stages[1:]:
            await self._may_go_on(one)
            await asyncio.sleep(self.step)
            if one.status == "cancelling":
                await self.event(one, "order", one.ended("cancelled"))
            elif stage is Stage.DEPLOY_SERVICES and one.scenario in {"fail", "revert", "stuck"}:
                await self._deployments_fail(one)
            elif stage is Stage.DEPLOY_SERVICES:
                await asyncio.gather(*(self._deploy(one, service) for service in "678"))
            else:
                await self._done(one, stage)
            if one.finished_at:
                return
        await self.event(one, "order", one.ended("succeeded"))
        one.ready = one.scenario not in {"incomplete", "never"}
        if one.scenario == "incomplete":
            await asyncio.sleep(5 * self.step)
            one.ready = True
            seen = HealthObserved(order_id=order_id, environment="3", service="7", health="ready")
            await self.event(one, "order", seen)

    async def _begin(self, one: Running) -> None:
        await asyncio.sleep(self.step)
        await self._done(one, Stage.INSPECT)
        await self.event(one, "order", one.planned())
        if one.scenario == "approve":
            one.status = "awaiting_approval"
            await self.event(one, "order", ApprovalRequested(order_id=one.order_id, environment="3", due=DUE))

    async def _may_go_on(self, one: Running) -> None:
        while one.status in {"awaiting_approval", "paused"}:
            one.go.clear()
            await one.go.wait()

    async def _done(self, one: Running, stage: Stage) -> None:
        view = AttemptView(
            stage=stage, attempt=one.retried + 1, started_at=AT, finished_at=now(), executor="executor-1"
        )
        one.attempts.append(view)
        await self.event(one, stage, one.done(stage))

    async def _deploy(self, one: Running, service: str) -> None:
        for task in TASKS:
            await self.log(one, task, "started", service=service)
            await asyncio.sleep(self.step * (1 + int(service) / 10))
            await self.log(one, task, "changed", service=service)
        await self.event(one, Stage.DEPLOY_SERVICES, one.deployed(service))

    async def _deployments_fail(self, one: Running) -> None:
        """Service 7 fails; a retry of scenario `fail` succeeds."""
        if one.retried:
            await asyncio.gather(*(self._deploy(one, service) for service in "7"))
            return
        await self.log(one, "Check out the commit", "failed", service="7")
        fields = one.outcome(Stage.DEPLOY_SERVICES, "7")
        one.attempts.append(
            AttemptView(
                stage=Stage.DEPLOY_SERVICES,
                service="7",
                attempt=1,
                started_at=fields["started_at"],
                finished_at=fields["finished_at"],
                executor="executor-1",
                error=BROKEN,
                run=RUN,
            )
        )
        await self.event(
            one, Stage.DEPLOY_SERVICES, CommandFailed(**fields, service="7", error=BROKEN, run=RUN)
        )
        if one.scenario == "fail":
            await self.event(one, "order", one.ended("failed", BROKEN))
            return
        await self._reverse(one)

    async def _reverse(self, one: Running) -> None:
        one.status = "reverting"
        await self.event(one, "order", ReversalBegun(order_id=one.order_id, environment="3", error=BROKEN))
        if one.scenario == "stuck":
            fields = one.outcome(Stage.UPDATE_ROUTES)
            await self.event(one, Stage.UPDATE_ROUTES, CommandFailed(**fields, error=STUCK))
            await self.event(one, "order", one.ended("stuck", STUCK))
            return
        await self.event(one, Stage.UPDATE_ROUTES, one.done(Stage.UPDATE_ROUTES))
        one.reverted = True
        await self.event(one, "order", one.ended("failed", BROKEN))

    async def do(self, verb: Verb, request: ControlRequest, one: Running) -> None:
        """What is asked is told a moment later, as the real one's relay does."""
        about = {"order_id": one.order_id, "environment": "3", "by": request.by}
        await asyncio.sleep(self.step)
        match verb:
            case "approve":
                one.status, one.approved_by = "running", request.by
                await self.event(one, "order", OrderApproved(**about))
            case "reject":
                await self.event(one, "order", one.ended("failed", DENIED))
            case "pause":
                one.status = "paused"
                await self.event(one, "order", OrderPaused(**about))
            case "resume":
                one.status = "running"
                await self.event(one, "order", OrderResumed(**about))
            case "cancel":
                one.status, one.cancelled_by = "cancelling", request.by
                await self.event(one, "order", OrderCancelled(**about, why=request.why))
            case "retry":
                one.status, one.error, one.finished_at = "running", None, None
                one.retried += 1
                await self.event(one, "order", OrderRetried(**about))
                self.spawn(self.run(one.order_id))
        one.go.set()

    async def log(self, one: Running, task: str, status: str, *, service: str) -> None:
        message = TaskLog(
            order_id=one.order_id,
            environment="3",
            stage=Stage.DEPLOY_SERVICES,
            service=service,
            attempt=one.retried + 1,
            task=task,
            status=status,
            at=now(),
            duration_s=None if status == "started" else self.step,
        )
        subject = topology.logs_subject("3", one.order_id, Stage.DEPLOY_SERVICES)
        await self._publish(subject, topology.LOGS, message, one.order_id)

    async def event(self, one: Running, stage: str, message: Message) -> None:
        subject = topology.event_subject(stage, "3", one.order_id)
        await self._publish(subject, topology.EVENTS, message, one.order_id)

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

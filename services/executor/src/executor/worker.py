"""The worker: command in, handler, outcome out, then the acknowledgement. Nothing is acknowledged before its
outcome is stored, so that a command survives whatever happens to its executor.
"""

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast
from uuid import UUID

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from executor.decoding import Malformed, decode
from executor.failures import UNSUPPORTED, cancelled, lease_lost, timed_out, too_large, unexpected
from executor.handling import Context, Handler, Handlers
from executor.leases import LeaseHeld, LeaseLost, LeasePassed, Leases
from executor.replies import Replies, Reply, TaskLogs, answering, burying
from executor.withdrawals import Withdrawals
from stagewright.clock import parse_rfc3339, utc_now
from stagewright.contracts.commands import Command
from stagewright.contracts.events import Outcome
from stagewright.errors import StagewrightError
from stagewright.messaging.cancellation import checkpoint
from stagewright.messaging.consuming import BatchConsumer, Room
from stagewright.messaging.topology import ACK_WAIT, EXECUTOR_COMMANDS

log = structlog.get_logger()

GRACE = 20.0
"""Seconds that running commands get to finish when the worker stops."""
_DRAIN = 5.0
MAX_OUTCOME = 900_000
"""Bytes; the stream takes 1 MiB with headers. More would never be stored and block what follows."""


def own_name() -> str:
    """A name that no other executor has or had."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


@dataclass(slots=True, eq=False)
class Job:
    """A message that this worker has. `ending` is what the server is told of it when its reply is stored:
    nothing, where another executor is responsible for it by now.
    """

    msg: Msg
    ending: Literal["ack", "term", "none"] = "ack"

    async def settle(self) -> None:
        """Tell the server."""
        if self.ending == "ack":
            await self.msg.ack()
        elif self.ending == "term":
            await self.msg.term()


class Worker:
    """Pulls commands, runs at most `slots` of them at once, answers each with one event.

    `name` is what outcomes call this executor. Withdrawn commands are stopped, or not begun, and answered so.
    """

    def __init__(
        self,
        client: Client,
        handlers: Handlers,
        *,
        slots: int,
        name: str | None = None,
        leases: Leases | None = None,
        grace: float = GRACE,
        ack_wait: float = ACK_WAIT,
    ) -> None:
        js = client.jetstream()
        self._handlers = handlers
        self._room = Room(slots)
        self._consumer = BatchConsumer(client, EXECUTOR_COMMANDS, limit=slots)
        self._leases = leases or Leases(js)
        self._replies: Replies[Job] = Replies(js, self._stored)
        self._logs = TaskLogs(js)
        self._withdrawals = Withdrawals(client, self._withdrawn)
        self._name = name or own_name()
        self._grace = grace
        self._ack_wait = ack_wait
        self._held: set[Job] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: dict[asyncio.Task[Any], UUID] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then finish what runs, within the grace, and give the rest back."""
        helpers = [
            asyncio.create_task(work())
            for work in (self._pull, self._withdrawals.run, self._replies.run, self._logs.run, self._renew)
        ]
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait({stopping, *helpers}, return_when=asyncio.FIRST_COMPLETED)
            for failed in done - {stopping}:
                failed.result()
            await self._finish(helpers[0])
        finally:
            for task in (stopping, *helpers, *self._tasks):
                task.cancel()
            await asyncio.gather(stopping, *helpers, *self._tasks, return_exceptions=True)

    async def _pull(self) -> None:
        await self._withdrawals.current()
        batches = cast("AsyncGenerator[list[Msg], None]", self._consumer.batches(room=self._room))
        async with contextlib.aclosing(batches):
            async for batch in batches:
                self._room.take(len(batch))
                jobs = [Job(msg) for msg in batch]
                self._held.update(jobs)
                for job in jobs:
                    await self._begin(job)

    async def _begin(self, job: Job) -> None:
        try:
            command = decode(job.msg)
        except Malformed as malformed:
            self._bury(job, str(malformed))
            return
        handler = self._handlers.get(command.stage) or UNSUPPORTED
        work = self._perform(job, command, handler)
        if handler.instant:
            await work
            return
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _perform(self, job: Job, command: Command, handler: Handler) -> None:
        context = Context(command, executor=self._name, log=self._logs.put)
        if command.command_id in self._withdrawals or _nobody_waits(command):
            self._reply(job, context, context.failed(cancelled(command)))
            return
        try:
            outcome = await self._outcome(command, context, handler)
        except LeaseHeld as held:
            await self._give_back(job, held.retry_after)
        except LeasePassed:
            log.info("command passed over", action="command.passed", order=command.order_id)
            await self._drop(job)
        except LeaseLost:
            self._leave(job, context)
        except asyncio.CancelledError:
            if command.command_id not in self._withdrawals:
                await self._give_back(job, None)
                raise
            self._reply(job, context, context.failed(cancelled(command)))
        else:
            self._reply(job, context, outcome)

    async def _outcome(self, command: Command, context: Context, handler: Handler) -> Outcome:
        try:
            if handler.instant:
                return await handler.run(command, context)
            with self._stoppable(command):
                return await self._bounded(command, context, handler)
        except StagewrightError as error:
            return context.failed(error)
        except (LeaseHeld, LeaseLost, LeasePassed):
            raise
        except Exception as error:
            return context.failed(unexpected(command, error))

    @contextlib.contextmanager
    def _stoppable(self, command: Command) -> Iterator[None]:
        """Withdrawing the command cancels this task, in here and nowhere else."""
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._running[task] = command.command_id
        try:
            yield
        finally:
            self._running.pop(task, None)

    def _withdrawn(self, command: UUID) -> None:
        for task in [task for task, running in self._running.items() if running == command]:
            log.info("command withdrawn", action="command.withdrawn", command=str(command))
            del self._running[task]
            task.cancel()

    async def _bounded(self, command: Command, context: Context, handler: Handler) -> Outcome:
        """Within the command's time and, where the handler changes something, under its lease."""

        async def timed() -> Outcome:
            try:
                async with asyncio.timeout(command.timeout) as limit:
                    return await handler.run(command, context)
            except TimeoutError:
                if limit.expired():
                    raise timed_out(command) from None
                raise

        if not handler.leased:
            return await timed()
        key = f"{command.environment}.{command.target or '_'}"
        return await self._leases.guard(key, context, timed, command.command_id)

    def _reply(self, job: Job, context: Context, outcome: Outcome) -> None:
        outgoing = answering(context.command, outcome)
        if len(outgoing.body) > MAX_OUTCOME:
            outgoing = answering(context.command, context.failed(too_large(context.command, MAX_OUTCOME)))
        self._replies.put(Reply(job, outgoing))

    def _bury(self, job: Job, reason: str) -> None:
        log.error("malformed command", action="command.malformed", subject=job.msg.subject, reason=reason)
        job.ending = "term"
        self._replies.put(Reply(job, burying(job.msg, reason)))

    async def _stored(self, replies: Sequence[Reply[Job]]) -> None:
        with contextlib.suppress(NatsError):  # a lost acknowledgement means one more delivery
            for reply in replies:
                await reply.job.settle()
        await self._forget([reply.job for reply in replies])

    async def _drop(self, job: Job) -> None:
        """It was answered: there is nothing to do and nothing to say."""
        with contextlib.suppress(NatsError):
            await job.msg.ack()
        await self._forget([job])

    def _leave(self, job: Job, context: Context) -> None:
        """Say that the lease was lost. Another executor has the message or will get it, and answers it."""
        job.ending = "none"
        self._held.discard(job)
        self._reply(job, context, context.failed(lease_lost(context.command)))

    async def _give_back(self, job: Job, delay: float | None) -> None:
        with contextlib.suppress(NatsError):
            await job.msg.nak(delay=delay)
        await self._forget([job])

    async def _forget(self, jobs: Sequence[Job]) -> None:
        self._held.difference_update(jobs)
        await self._room.give(len(jobs))

    async def _renew(self) -> None:
        """The heartbeat of every message held here, until its outcome is stored."""
        while True:
            checkpoint()
            await asyncio.sleep(self._ack_wait / 3)
            for job in tuple(self._held):
                checkpoint()
                if job in self._held:
                    with contextlib.suppress(NatsError):
                        await job.msg.in_progress()

    async def _finish(self, pulling: "asyncio.Task[None]") -> None:
        log.info("stopping", action="worker.stopping", running=len(self._tasks))
        pulling.cancel()
        await asyncio.wait({pulling})
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=self._grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._replies.drained(), timeout=_DRAIN)
        # What was not begun, and what could not be answered: for another executor, now.
        for job in tuple(self._held):
            await self._give_back(job, None)


def _nobody_waits(command: Command) -> bool:
    """The saga withdrew it long ago, maybe longer than the stream of withdrawals remembers."""
    return command.due is not None and parse_rfc3339(command.due) <= utc_now()

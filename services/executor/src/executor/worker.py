"""The worker: command in, handler, outcome out, then the acknowledgement. Nothing is acknowledged before its
outcome is stored, so that a command survives whatever happens to its executor.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import cast

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from executor.decoding import Malformed, decode
from executor.failures import UNSUPPORTED, timed_out, too_large, unexpected
from executor.handling import Context, Handler, Handlers
from executor.leases import LeaseHeld, LeaseLost, LeasePassed, Leases
from executor.replies import DeadEnvelope, Replies, Reply, TaskLogs
from stagewright.clock import rfc3339, utc_now
from stagewright.contracts.commands import Command
from stagewright.contracts.events import CommandFailed, Outcome
from stagewright.errors import StagewrightError
from stagewright.ids import derived_id, outcome_id
from stagewright.messaging.cancellation import checkpoint
from stagewright.messaging.consuming import BatchConsumer, Room
from stagewright.messaging.envelope import envelope, header
from stagewright.messaging.publishing import Outgoing
from stagewright.messaging.topology import (
    ACK_WAIT,
    DEAD,
    EVENTS,
    EXECUTOR_COMMANDS,
    event_subject,
)

log = structlog.get_logger()

SOURCE = "executor"
GRACE = 20.0
"""Seconds that running commands get to finish when the worker stops."""
_DRAIN = 5.0
MAX_OUTCOME = 900_000
"""Bytes; the stream takes 1 MiB with headers. More would never be stored and block what follows."""


@dataclass(slots=True, eq=False)
class Job:
    """A message that this worker is responsible for; `dead` messages are terminated, not acknowledged."""

    msg: Msg
    dead: bool = False


class Worker:
    """Pulls commands, runs at most `slots` of them at once, answers each with one event."""

    def __init__(
        self,
        client: Client,
        handlers: Handlers,
        *,
        slots: int,
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
        self._logs = TaskLogs(js, SOURCE)
        self._grace = grace
        self._ack_wait = ack_wait
        self._held: set[Job] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then finish what runs, within the grace, and give the rest back."""
        helpers = [
            asyncio.create_task(work())
            for work in (self._pull, self._replies.run, self._logs.run, self._renew)
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
        context = Context(command, log=self._logs.put)
        try:
            outcome = await self._outcome(command, context, handler)
        except LeaseHeld as held:
            await self._give_back(job, held.retry_after)
        except LeasePassed:
            log.info("command passed over", action="command.passed", order=command.order_id)
            await self._drop(job)
        except LeaseLost:
            # Another executor has the command now and will answer it.
            await self._forget([job])
        except asyncio.CancelledError:
            await self._give_back(job, None)
            raise
        else:
            self._replies.put(Reply(job, self._answer(command, context, outcome)))

    async def _outcome(self, command: Command, context: Context, handler: Handler) -> Outcome:
        try:
            if handler.instant:
                return await handler.run(command, context)
            return await self._bounded(command, context, handler)
        except StagewrightError as error:
            return context.answer(CommandFailed, service=command.target, error=error.info)
        except (LeaseHeld, LeaseLost, LeasePassed):
            raise
        except Exception as error:
            return context.answer(
                CommandFailed, service=command.target, error=unexpected(command, error).info
            )

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

    def _answer(self, command: Command, context: Context, outcome: Outcome) -> Outgoing:
        body = outcome.to_json()
        if len(body) > MAX_OUTCOME:
            outcome = context.answer(
                CommandFailed, service=command.target, error=too_large(command, MAX_OUTCOME).info
            )
            body = outcome.to_json()
        sealed = envelope(
            outcome,
            message_id=outcome_id(command.command_id),
            source=SOURCE,
            time=outcome.finished_at,
            correlation_id=command.order_id,
            causation_id=str(command.command_id),
        )
        subject = event_subject(command.stage, command.environment, command.order_id)
        return Outgoing(subject, EVENTS, body, sealed)

    def _bury(self, job: Job, reason: str) -> None:
        """Keep a message that is no command, as it came, where a person finds it."""
        log.error("malformed command", action="command.malformed", subject=job.msg.subject, reason=reason)
        job.dead = True
        sequence = job.msg.metadata.sequence.stream
        sealed = DeadEnvelope(
            id=str(derived_id("dead", EXECUTOR_COMMANDS.stream, sequence)),
            type=header(job.msg.headers, "ce-type") or "unknown",
            source=SOURCE,
            time=rfc3339(utc_now()),
            correlation_id=header(job.msg.headers, "correlation-id") or "",
            causation_id=header(job.msg.headers, "ce-id") or "",
            origin=job.msg.subject,
            reason=reason,
        )
        self._replies.put(Reply(job, Outgoing("dead.commands", DEAD, job.msg.data, sealed)))

    async def _stored(self, replies: Sequence[Reply[Job]]) -> None:
        with contextlib.suppress(NatsError):  # a lost acknowledgement means one more delivery
            for reply in replies:
                await (reply.job.msg.term() if reply.job.dead else reply.job.msg.ack())
        await self._forget([reply.job for reply in replies])

    async def _drop(self, job: Job) -> None:
        """It was answered: there is nothing to do and nothing to say."""
        with contextlib.suppress(NatsError):
            await job.msg.ack()
        await self._forget([job])

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

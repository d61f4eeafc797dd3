"""What an executor sends: outcomes, which must arrive, and live output, which may be lost.

Both are queues that one task each drains: what waits at the same time shares one publish, and a batch of one
waits for nothing.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from executor.operators.ports import TaskProgress
from stagewright.clock import rfc3339, utc_now
from stagewright.contracts.commands import Command
from stagewright.contracts.events import Outcome
from stagewright.contracts.logs import TaskLog
from stagewright.ids import derived_id, outcome_id, uuid7
from stagewright.messaging.cancellation import checkpoint
from stagewright.messaging.envelope import Envelope, envelope, header
from stagewright.messaging.publishing import Outgoing, publish_all
from stagewright.messaging.topology import (
    DEAD,
    EVENTS,
    EXECUTOR_COMMANDS,
    LOGS,
    event_subject,
    logs_subject,
)

log = structlog.get_logger()

SOURCE = "executor"
BATCH = 512
_BACKOFF_CAP = 5.0
_LOG_BACKLOG = 5000
_FAILURES = (NatsError, TimeoutError, OSError)
T = TypeVar("T")


@dataclass(frozen=True)
class DeadEnvelope(Envelope):
    """The envelope of a message that was given up: who reads DEAD learns whence and why."""

    origin: str = ""
    reason: str = ""

    def headers(self) -> dict[str, str]:
        """Those of the message, and where it came from and what was wrong with it."""
        return {**super().headers(), "dead-origin": self.origin, "dead-reason": self.reason}


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """A message to publish and what it belongs to."""

    job: T
    outgoing: Outgoing


def answering(command: Command, outcome: Outcome) -> Outgoing:
    """The message that says what came of a command."""
    sealed = envelope(
        outcome,
        message_id=outcome_id(command.command_id, outcome.fence),
        source=SOURCE,
        time=outcome.finished_at,
        correlation_id=command.order_id,
        causation_id=str(command.command_id),
    )
    subject = event_subject(command.stage, command.environment, command.order_id)
    return Outgoing(subject, EVENTS, outcome.to_json(), sealed)


def burying(msg: Msg, reason: str) -> Outgoing:
    """A message that is no command, as it came, for where a person finds it."""
    sealed = DeadEnvelope(
        id=str(derived_id("dead", EXECUTOR_COMMANDS.stream, msg.metadata.sequence.stream)),
        type=header(msg.headers, "ce-type") or "unknown",
        source=SOURCE,
        time=rfc3339(utc_now()),
        correlation_id=header(msg.headers, "correlation-id") or "",
        causation_id=header(msg.headers, "ce-id") or "",
        origin=msg.subject,
        reason=reason,
    )
    return Outgoing("dead.commands", DEAD, msg.data, sealed)


class Replies(Generic[T]):
    """Publishes replies until each is acknowledged, then hands them to `stored`, a batch at a time."""

    def __init__(self, js: JetStreamContext, stored: Callable[[Sequence[Reply[T]]], Awaitable[None]]) -> None:
        self._js = js
        self._stored = stored
        self._queue: deque[Reply[T]] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, reply: Reply[T]) -> None:
        """Queue a reply; never waits."""
        self._queue.append(reply)
        self._idle.clear()
        self._wake.set()

    async def drained(self) -> None:
        """Wait until everything put so far is acknowledged and handed on."""
        await self._idle.wait()

    async def run(self) -> None:
        """Publish for ever."""
        while True:
            checkpoint()
            await self._wake.wait()
            while self._queue:
                checkpoint()
                batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
                await self._publish(batch)
                await self._stored(batch)
            self._wake.clear()
            self._idle.set()

    async def _publish(self, batch: Sequence[Reply[T]]) -> None:
        """Again and again until it is stored: the ids keep what was stored from being stored twice."""
        pause = 0.1
        while True:
            checkpoint()
            try:
                await publish_all(self._js, [reply.outgoing for reply in batch])
                return
            except _FAILURES as error:
                log.warning(
                    "outcomes not acknowledged",
                    action="outcome.retry",
                    error=type(error).__name__,
                    count=len(batch),
                )
                await asyncio.sleep(pause)
                pause = min(pause * 2, _BACKOFF_CAP)


class TaskLogs:
    """Live output. It never blocks a run: where the bus is slow the oldest lines are dropped and counted."""

    def __init__(self, js: JetStreamContext) -> None:
        self._js = js
        self._queue: deque[Outgoing] = deque(maxlen=_LOG_BACKLOG)
        self._wake = asyncio.Event()
        self.dropped = 0

    def put(self, command: Command, progress: TaskProgress) -> None:
        """Queue one line of a command's run."""
        line = TaskLog(
            order_id=command.order_id,
            environment=command.environment,
            stage=command.stage,
            service=command.target,
            attempt=command.attempt,
            task=progress.task,
            status=progress.status,
            at=progress.at,
            duration_s=progress.duration_s,
            detail=progress.detail,
        )
        self.dropped += len(self._queue) == self._queue.maxlen
        self._queue.append(self._outgoing(command, line))
        self._wake.set()

    def _outgoing(self, command: Command, line: TaskLog) -> Outgoing:
        sealed = envelope(
            line,
            message_id=uuid7(),
            source=SOURCE,
            time=line.at,
            correlation_id=command.order_id,
            causation_id=str(command.command_id),
        )
        subject = logs_subject(line.environment, line.order_id, line.stage)
        return Outgoing(subject, LOGS, line.to_json(), sealed)

    async def run(self) -> None:
        """Publish for ever; what fails is dropped."""
        while True:
            checkpoint()
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                checkpoint()
                batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
                try:
                    await publish_all(self._js, batch)
                except _FAILURES as error:
                    self.dropped += len(batch)
                    log.warning("live output dropped", action="logs.dropped", error=type(error).__name__)

"""What a command handler is, and what it is given: the seam between the worker and the stages."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from executor.operators.ports import TaskProgress
from stagewright.clock import rfc3339, utc_now
from stagewright.contracts.base import Stage
from stagewright.contracts.commands import Command
from stagewright.contracts.events import CommandFailed, Outcome
from stagewright.errors import StagewrightError

OutcomeT = TypeVar("OutcomeT", bound=Outcome)
CommandLog = Callable[[Command, TaskProgress], None]


def _no_log(_command: Command, _progress: TaskProgress) -> None:
    return None


@dataclass(slots=True)
class Context:
    """One run of one command. `log` takes progress without ever blocking the run."""

    command: Command
    executor: str | None = None
    started_at: str = field(default_factory=lambda: rfc3339(utc_now()))
    fence: int | None = None
    """Revision of the lease held, where the handler asked for one."""
    log: CommandLog = _no_log

    def answer(self, outcome: type[OutcomeT], **fields: Any) -> OutcomeT:
        """The outcome of this command: what every outcome carries, and `fields`."""
        command = self.command
        return outcome(
            command_id=command.command_id,
            order_id=command.order_id,
            environment=command.environment,
            stage=command.stage,
            attempt=command.attempt,
            started_at=self.started_at,
            finished_at=rfc3339(utc_now()),
            executor=self.executor,
            fence=self.fence,
            **fields,
        )

    def failed(self, error: StagewrightError) -> CommandFailed:
        """The outcome of a command that could not be done."""
        return self.answer(CommandFailed, service=self.command.target, error=error.info, run=error.run)

    async def on_task(self, progress: TaskProgress) -> None:
        """`OnTask` for playbooks."""
        self.log(self.command, progress)
        await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Handler:
    """How the commands of one stage are done.

    `run` raises Terminal or Retryable. `leased` handlers change things: one at a time for an environment and
    service. `instant` handlers do not wait for anything: they run without task, timeout and lease.
    """

    run: Callable[[Any, Context], Awaitable[Outcome]]
    leased: bool = True
    instant: bool = False


Handlers = Mapping[Stage, Handler]

"""What can go wrong with any command, in words."""

import traceback

import structlog

from executor.handling import Context, Handler
from stagewright.contracts.commands import Command
from stagewright.contracts.events import Outcome
from stagewright.errors import Retryable, Terminal

log = structlog.get_logger()


def timed_out(command: Command) -> Retryable:
    """The command used up its time."""
    return Retryable(
        "stage.timeout",
        f"{command.stage}:{command.target or command.environment}",
        f"the command took longer than its {command.timeout:g} s.",
        "Raise saga.stage_timeout if this work needs longer.",
    )


def too_large(command: Command, limit: int) -> Terminal:
    """The outcome is larger than `limit` bytes: the stream would never take it."""
    return Terminal(
        "outcome.too_large",
        f"{command.stage}:{command.target or command.environment}",
        f"the outcome is larger than {limit} bytes.",
        "Split the environment into smaller ones.",
    )


def unexpected(command: Command, error: Exception) -> Retryable:
    """Type and place, no message and no locals: either may hold a value."""
    frames = [
        f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
    ]
    log.error(
        "handler failed",
        action="command.unexpected",
        stage=command.stage,
        order=command.order_id,
        error=type(error).__name__,
        frames=frames[-12:],
    )
    return Retryable(
        "executor.unexpected",
        f"{command.stage}:{command.target or command.environment}",
        f"the handler failed with {type(error).__name__}.",
        "The executor's log (action command.unexpected) says where it failed.",
    )


async def _refuse(command: Command, _context: Context) -> Outcome:
    raise Terminal(
        "stage.unsupported",
        str(command.stage),
        "this executor does not do this stage.",
        "Start an executor that does, or remove this one.",
    )


UNSUPPORTED = Handler(_refuse, leased=False, instant=True)

"""What can go wrong with any command, in words."""

import traceback

import structlog

from executor.handling import Context, Handler
from stagewright.contracts.commands import Command
from stagewright.contracts.events import CANCELLED, LEASE_LOST, Outcome
from stagewright.errors import Retryable, Terminal

log = structlog.get_logger()


def _resource(command: Command) -> str:
    return f"{command.stage}:{command.target or command.environment}"


def timed_out(command: Command) -> Retryable:
    """The command used up its time."""
    return Retryable(
        "stage.timeout",
        _resource(command),
        f"the command took longer than its {command.timeout:g} s.",
        "Raise saga.stage_timeout if this work needs longer.",
    )


def cancelled(command: Command) -> Terminal:
    """The command was withdrawn."""
    return Terminal(
        CANCELLED,
        _resource(command),
        "the command was withdrawn, and nothing of it runs any more.",
        "Nothing is to be done; a new order, or a retry of this one, begins it again.",
    )


def lease_lost(command: Command) -> Retryable:
    """Another executor may have the command now: what was done here answers nothing."""
    return Retryable(
        LEASE_LOST,
        _resource(command),
        "the executor was away for longer than its lease, and stopped the work.",
        "Another executor does it; see that the machine is not overloaded, and its clock not stopped.",
    )


def too_large(command: Command, limit: int) -> Terminal:
    """The outcome is larger than `limit` bytes: the stream would never take it."""
    return Terminal(
        "outcome.too_large",
        _resource(command),
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
        _resource(command),
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

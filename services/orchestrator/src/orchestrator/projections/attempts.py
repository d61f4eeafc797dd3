"""Every command of an order and what came of it, from the events of its stream. Pure."""

from collections.abc import Iterable
from uuid import UUID

from orchestrator.domain.facts import CommandOverdue
from orchestrator.store.codec import Recorded
from stagewright.contracts.commands import Command
from stagewright.contracts.events import CommandFailed, Outcome
from stagewright.contracts.queries import AttemptView
from stagewright.errors import Retryable


def attempts(history: Iterable[Recorded]) -> tuple[AttemptView, ...]:
    """In the order in which they were issued."""
    found: dict[UUID, AttemptView] = {}
    for row in history:
        event = row.event
        if isinstance(event, Command):
            found[event.command_id] = AttemptView(
                stage=event.stage,
                service=event.target,
                attempt=event.attempt,
                undo=event.undo,
                started_at=row.at,
            )
        elif isinstance(event, Outcome) and event.command_id in found:
            found[event.command_id] = _answered(found[event.command_id], event)
        elif isinstance(event, CommandOverdue) and event.command_id in found:
            update = {"finished_at": row.at, "error": _overdue(event)}
            found[event.command_id] = found[event.command_id].model_copy(update=update)
    return tuple(found.values())


def _answered(view: AttemptView, outcome: Outcome) -> AttemptView:
    return view.model_copy(
        update={
            "started_at": outcome.started_at,
            "finished_at": outcome.finished_at,
            "executor": outcome.executor,
            "error": outcome.error if isinstance(outcome, CommandFailed) else None,
            "run": getattr(outcome, "run", None),
        }
    )


def _overdue(event: CommandOverdue) -> object:
    return Retryable(
        "stage.unanswered",
        f"commands[{event.command_id}]",
        "no executor answered in time.",
        "See that executors run and reach the bus.",
    ).info

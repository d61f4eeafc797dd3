"""What follows from a failure: another try after a while, or giving up."""

import contextlib
from datetime import datetime, timedelta

from orchestrator.domain import advancing, allocating, reversal, stages
from orchestrator.domain.facts import PieceGivenUp, PortOccupied, RetryScheduled
from orchestrator.domain.inputs import RetryDue
from orchestrator.domain.order import OrderState
from orchestrator.domain.policies import Policy, retry_at
from orchestrator.domain.world import Draft, order_stream, server_stream
from stagewright.clock import parse_rfc3339, rfc3339
from stagewright.contracts.base import Stage
from stagewright.contracts.commands import Command
from stagewright.errors import ErrorInfo, Retryable, Terminal

PORT_OCCUPIED = "port.occupied"
_LATER = timedelta(seconds=0.5)


def unanswered(command: Command) -> ErrorInfo:
    """The error of a command that nobody answered in time."""
    return Retryable(
        "stage.unanswered",
        f"{command.stage}:{command.target or command.environment}",
        f"no executor answered within {command.timeout:g} s and a minute.",
        "See that executors run and reach the bus; raise saga.stage_timeout if this work needs longer.",
    ).info


def failed(draft: Draft, command: Command, error: ErrorInfo, policy: Policy) -> None:
    """Try again later where time may heal it, else give the piece up; an order that stops tries nothing."""
    if error.code == PORT_OCCUPIED:
        server, _, port = error.resource.rpartition(":")
        draft.add(
            server_stream(server), PortOccupied(server=server, port=int(port), order_id=command.order_id)
        )
    state = draft.order(command.order_id)
    if state.error is not None or (state.cancelled is not None and not command.undo):
        return
    piece, attempt = RetryDue(command.order_id, command.stage, command.target), command.attempt
    moves = error.code == PORT_OCCUPIED and command.stage is Stage.DEPLOY_SERVICES
    if moves and command.undo:
        _move(draft, state, command, policy)
    elif moves and Stage.ALLOCATE_RESOURCES in stages.PIPELINES[state.wanted.action]:
        # A service that moves changes what its peers are told: back to allocation, then everything after it.
        piece = RetryDue(command.order_id, Stage.ALLOCATE_RESOURCES, None)
        attempt = state.attempts(Stage.ALLOCATE_RESOURCES)
    floor = state.turns.undo_floor if command.undo else state.turns.floor
    tried = attempt - floor.get(piece.stage, 0)
    rule = policy.rule_for(error.code)
    if tried >= rule.max_attempts:
        reason = f"{error.reason} (given up after {tried} attempts)"
        _give_up(draft, piece, error.model_copy(update={"kind": "terminal", "reason": reason}), command.undo)
        return
    due = retry_at(rule, command.command_id, tried, draft.now, error.retry_after)
    _schedule(draft, piece, attempt + 1, due, error, undo=command.undo)


def _move(draft: Draft, state: OrderState, command: Command, policy: Policy) -> None:
    """Another place, if there is one, for a service that cannot go back to its own."""
    with contextlib.suppress(Terminal):
        allocating.move(draft, state, command.target or "", policy)


def _schedule(
    draft: Draft, piece: RetryDue, attempt: int, due: datetime, error: ErrorInfo, *, undo: bool = False
) -> None:
    draft.add(
        order_stream(piece.order_id),
        RetryScheduled(
            order_id=piece.order_id,
            stage=piece.stage,
            service=piece.service,
            attempt=attempt,
            due=rfc3339(due),
            error=error,
            undo=undo,
        ),
    )


def _give_up(draft: Draft, piece: RetryDue, error: ErrorInfo, undo: bool) -> None:
    draft.add(
        order_stream(piece.order_id),
        PieceGivenUp(
            order_id=piece.order_id, stage=piece.stage, service=piece.service, error=error, undo=undo
        ),
    )


def retry(draft: Draft, due: RetryDue, policy: Policy) -> None:
    """Do a piece again whose time has come, unless the order is paused or stops."""
    state = draft.order(due.order_id)
    scheduled = state.retries.get((due.stage, due.service))
    if state.ended or state.error or state.paused or scheduled is None:
        return
    if parse_rfc3339(scheduled.due) > draft.now:
        return
    if due.stage is not state.stage and state.outstanding and not scheduled.undo:
        # An earlier stage is done again only when nothing of a later one runs.
        _schedule(draft, due, scheduled.attempt, draft.now + _LATER, scheduled.error)
        return
    try:
        again = _again(draft, state, scheduled, policy)
    except Terminal as error:
        _give_up(draft, due, error.info, scheduled.undo)
        again = ()
    if not again and draft.order(due.order_id).error is None:
        # Nothing of it is left to do, and nothing says that it was done: better an end than waiting for ever.
        _give_up(draft, due, scheduled.error, scheduled.undo)
    for command in again:
        draft.add(order_stream(due.order_id), command)
    if not again:
        advancing.advance(draft, due.order_id, policy)


def _again(draft: Draft, state: OrderState, scheduled: RetryScheduled, policy: Policy) -> tuple[Command, ...]:
    """The commands of a piece once more."""
    make = reversal.commands if scheduled.undo else stages.commands
    found = make(draft, state, scheduled.stage, policy, attempt=scheduled.attempt, only=scheduled.service)
    return tuple(found)


def wake(draft: Draft, state: OrderState) -> None:
    """Retries whose time came while the order was paused are due now."""
    for scheduled in state.retries.values():
        if parse_rfc3339(scheduled.due) <= draft.now:
            piece = RetryDue(state.order_id, scheduled.stage, scheduled.service)
            _schedule(draft, piece, scheduled.attempt, draft.now, scheduled.error, undo=scheduled.undo)

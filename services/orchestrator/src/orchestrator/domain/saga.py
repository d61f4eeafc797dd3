"""The saga: what follows from an order received, a command answered, a moment passed, or a person's word."""

from datetime import datetime

from orchestrator.domain import advancing, failing, lifecycle, probing, recording
from orchestrator.domain.facts import CommandOverdue, OrderQueued, ReplyRefused
from orchestrator.domain.inputs import AnswerDue, ApprovalDue, Control, Input, ProbeDue, RetryDue
from orchestrator.domain.policies import Policy
from orchestrator.domain.world import Draft, World, environment_stream, order_stream
from stagewright.clock import parse_rfc3339
from stagewright.contracts.base import Stage
from stagewright.contracts.events import LEASE_LOST, CommandFailed, Outcome
from stagewright.contracts.order_events import CommandsWithdrawn
from stagewright.contracts.orders import OrderReceived


def decide(world: World, message: Input, now: datetime, policy: Policy) -> Draft:
    """What the message changes; an empty draft where it says nothing new (a duplicate, a moment too early).

    Raises:
        Terminal: a person asks for what cannot be done.
    """
    draft = Draft(world, now)
    match message:
        case OrderReceived():
            _received(draft, message, policy)
        case RetryDue():
            failing.retry(draft, message, policy)
        case AnswerDue():
            _overdue(draft, message, policy)
        case ApprovalDue():
            lifecycle.approval_due(draft, message, policy)
        case ProbeDue():
            probing.probe(draft, message.order_id)
        case Control():
            lifecycle.control(draft, message, policy)
        case _:
            _answered(draft, message, policy)
    return draft


def _received(draft: Draft, message: OrderReceived, policy: Policy) -> None:
    if draft.order(message.order_id).known:
        return
    draft.add(order_stream(message.order_id), message)
    name = message.order.environment
    if message.purpose == "plan":
        advancing.begin(draft, draft.order(message.order_id), policy)
        return
    if message.order.supersedes or message.order.action == "rollback":
        # What was asked for earlier must not come after what replaces it.
        lifecycle.supersede(draft, name, message.order_id, everything=message.order.action == "rollback")
    if draft.environment(name).owner is None:
        advancing.claim(draft, name, message.order_id, policy)
    else:
        draft.add(environment_stream(name), OrderQueued(environment=name, order_id=message.order_id))


def _answered(draft: Draft, outcome: Outcome, policy: Policy) -> None:
    state = draft.order(outcome.order_id)
    command = state.outstanding.get(outcome.command_id)
    lost = isinstance(outcome, CommandFailed) and outcome.error.code == LEASE_LOST
    if command is None or lost:
        _refuse(draft, outcome, "its executor had lost the lease" if lost else "nobody waits for it")
        return
    draft.add(order_stream(outcome.order_id), outcome)
    if outcome.stage is Stage.PROBE_SERVICES:
        probing.probed(draft, outcome, policy)
        return
    if isinstance(outcome, CommandFailed):
        failing.failed(draft, command, outcome.error, policy)
    else:
        recording.record(draft, command, outcome)
    advancing.advance(draft, outcome.order_id, policy)


def _refuse(draft: Draft, outcome: Outcome, reason: str) -> None:
    """Keep the fact, once: what was read again after a restart was accepted or refused before."""
    state = draft.order(outcome.order_id)
    if not state.known or (outcome.command_id, outcome.executor, outcome.fence) in state.answers:
        return
    draft.add(
        order_stream(outcome.order_id),
        ReplyRefused(
            order_id=outcome.order_id,
            command_id=outcome.command_id,
            stage=outcome.stage,
            attempt=outcome.attempt,
            executor=outcome.executor,
            fence=outcome.fence,
            reason=reason,
        ),
    )


def _overdue(draft: Draft, moment: AnswerDue, policy: Policy) -> None:
    """Withdraw the command, so that it is not begun or goes on, and treat it as one that failed."""
    state = draft.order(moment.order_id)
    command = state.outstanding.get(moment.command_id)
    if command is None or command.due is None or parse_rfc3339(command.due) > draft.now:
        return
    stream = order_stream(state.order_id)
    withdrawn = CommandsWithdrawn(
        order_id=state.order_id, environment=command.environment, commands=(command.command_id,)
    )
    draft.add(stream, CommandOverdue(order_id=state.order_id, command_id=command.command_id))
    draft.add(stream, withdrawn)
    if command.stage is Stage.PROBE_SERVICES:
        probing.watch(draft, state.order_id, policy, attempt=command.attempt + 1)
        return
    failing.failed(draft, command, failing.unanswered(command), policy)
    advancing.advance(draft, state.order_id, policy)

"""The saga: what follows from an order received, a command answered, or a moment passed."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.domain import plan, stages
from orchestrator.domain.facts import (
    AllocationsRecorded,
    DomainsRecorded,
    EnvironmentClaimed,
    EnvironmentReleased,
    HealthObserved,
    OrderQueued,
    PieceGivenUp,
    PortOccupied,
    RetryScheduled,
    RoutesRecorded,
    SecretsRecorded,
    ServiceRecorded,
)
from orchestrator.domain.order import OrderState, following
from orchestrator.domain.policies import Policy, retry_at
from orchestrator.domain.world import Draft, World, environment_stream, order_stream, server_stream
from stagewright.clock import parse_rfc3339, rfc3339
from stagewright.contracts.base import Message, Stage
from stagewright.contracts.commands import Command, DeployService
from stagewright.contracts.events import (
    CommandFailed,
    EnvironmentConfigured,
    EnvironmentInspected,
    OrderEnded,
    OrderPlanned,
    Outcome,
    ResourcesAllocated,
    RoutesUpdated,
    ServiceDeployed,
    VariablesCreated,
)
from stagewright.contracts.orders import OrderReceived
from stagewright.errors import ErrorInfo, Terminal

PORT_OCCUPIED = "port.occupied"
_LATER = timedelta(seconds=0.5)


@dataclass(frozen=True, slots=True)
class RetryDue:
    """A retry's moment has come."""

    order_id: str
    stage: Stage
    service: str | None


Input = OrderReceived | Outcome | RetryDue


def decide(world: World, message: Input, now: datetime, policy: Policy) -> Draft:
    """What the message changes; an empty draft where it says nothing new (a duplicate, a late reply)."""
    draft = Draft(world, now)
    if isinstance(message, OrderReceived):
        _received(draft, message, policy)
    elif isinstance(message, RetryDue):
        _retry(draft, message, policy)
    else:
        _answered(draft, message, policy)
    return draft


def _received(draft: Draft, message: OrderReceived, policy: Policy) -> None:
    if draft.order(message.order_id).known:
        return
    draft.add(order_stream(message.order_id), message)
    name = message.order.environment
    if draft.environment(name).owner is None:
        _claim(draft, name, message.order_id, policy)
    else:
        draft.add(environment_stream(name), OrderQueued(environment=name, order_id=message.order_id))


def _claim(draft: Draft, environment: str, order_id: str, policy: Policy) -> None:
    draft.add(environment_stream(environment), EnvironmentClaimed(environment=environment, order_id=order_id))
    _start(draft, draft.order(order_id), Stage.INSPECT, policy)


def _start(draft: Draft, state: OrderState, stage: Stage, policy: Policy) -> bool:
    attempt = state.stages[stage].attempts + 1 if stage in state.stages else 1
    issued = stages.commands(draft, state, stage, policy, attempt=attempt)
    for command in issued:
        draft.add(order_stream(state.order_id), command)
    return bool(issued)


def _answered(draft: Draft, outcome: Outcome, policy: Policy) -> None:
    command = draft.order(outcome.order_id).outstanding.get(outcome.command_id)
    if command is None:
        return
    draft.add(order_stream(outcome.order_id), outcome)
    if isinstance(outcome, CommandFailed):
        _failed(draft, command, outcome, policy)
    else:
        _record(draft, command, outcome)
    if draft.order(outcome.order_id).idle:
        _advance(draft, outcome.order_id, policy)


def _failed(draft: Draft, command: Command, outcome: CommandFailed, policy: Policy) -> None:
    error = outcome.error
    if error.code == PORT_OCCUPIED:
        server, _, port = error.resource.rpartition(":")
        draft.add(
            server_stream(server), PortOccupied(server=server, port=int(port), order_id=outcome.order_id)
        )
    if draft.order(outcome.order_id).error is not None:
        return
    stage, service, attempt = command.stage, command.target, command.attempt
    if error.code == PORT_OCCUPIED and stage is Stage.DEPLOY_SERVICES:
        # A service that moves changes what its peers are told: back to allocation, then everything after it.
        stage, service = Stage.ALLOCATE_RESOURCES, None
        attempt = draft.order(outcome.order_id).stages[stage].attempts
    if attempt >= policy.max_attempts:
        reason = f"{error.reason} (given up after {attempt} attempts)"
        gave_up = error.model_copy(update={"kind": "terminal", "reason": reason})
        _give_up(draft, outcome.order_id, stage, service, gave_up)
        return
    due = retry_at(policy, command.command_id, attempt, draft.now, error.retry_after)
    _schedule(draft, RetryDue(outcome.order_id, stage, service), attempt + 1, due, error)


def _schedule(draft: Draft, piece: RetryDue, attempt: int, due: datetime, error: ErrorInfo) -> None:
    draft.add(
        order_stream(piece.order_id),
        RetryScheduled(
            order_id=piece.order_id,
            stage=piece.stage,
            service=piece.service,
            attempt=attempt,
            due=rfc3339(due),
            error=error,
        ),
    )


def _give_up(draft: Draft, order_id: str, stage: Stage, service: str | None, error: ErrorInfo) -> None:
    draft.add(
        order_stream(order_id), PieceGivenUp(order_id=order_id, stage=stage, service=service, error=error)
    )


def _retry(draft: Draft, due: RetryDue, policy: Policy) -> None:
    state = draft.order(due.order_id)
    scheduled = state.retries.get((due.stage, due.service))
    if state.ended or state.error or scheduled is None or parse_rfc3339(scheduled.due) > draft.now:
        return
    if due.stage is not state.stage and state.outstanding:
        # An earlier stage is done again only when nothing of a later one runs.
        _schedule(draft, due, scheduled.attempt, draft.now + _LATER, scheduled.error)
        return
    try:
        again = stages.commands(draft, state, due.stage, policy, attempt=scheduled.attempt, only=due.service)
    except Terminal as error:
        _give_up(draft, due.order_id, due.stage, due.service, error.info)
        if draft.order(due.order_id).idle:
            _advance(draft, due.order_id, policy)
        return
    for command in again:
        draft.add(order_stream(due.order_id), command)


def _advance(draft: Draft, order_id: str, policy: Policy) -> None:
    """The stage is over: fail, or begin the next stage that has anything to do, or succeed."""
    state = draft.order(order_id)
    if state.ended or state.stage is None:
        return
    if state.error is not None:
        _end(draft, order_id, state.error, policy)
        return
    if state.stage is Stage.INSPECT:
        _plan(draft, state)
    try:
        for stage in following(state.stage):
            if _start(draft, draft.order(order_id), stage, policy):
                return
    except Terminal as error:
        _end(draft, order_id, error.info, policy)
        return
    _end(draft, order_id, None, policy)


def _plan(draft: Draft, state: OrderState) -> None:
    order = state.wanted
    if state.inspected is None:
        raise LookupError("the inspection's outcome is stored before the plan is made")
    environment = draft.environment(order.environment)
    decisions = plan.plan(order, environment, state.inspected)
    draft.add(
        order_stream(state.order_id),
        OrderPlanned(order_id=state.order_id, environment=order.environment, decisions=decisions),
    )
    for seen in state.inspected.services:
        known = environment.services.get(seen.service)
        if known is not None and seen.health is not None and seen.health != known.health:
            draft.add(
                environment_stream(order.environment),
                HealthObserved(order_id=state.order_id, service=seen.service, health=seen.health),
            )


def _end(draft: Draft, order_id: str, error: ErrorInfo | None, policy: Policy) -> None:
    """End the order, of which nothing runs any more, and let the next one have the environment."""
    name = draft.order(order_id).wanted.environment
    draft.add(
        order_stream(order_id),
        OrderEnded(
            order_id=order_id,
            environment=name,
            status="failed" if error else "succeeded",
            error=error,
            finished_at=draft.at,
        ),
    )
    draft.add(environment_stream(name), EnvironmentReleased(environment=name, order_id=order_id))
    queue = draft.environment(name).queue
    if queue:
        _claim(draft, name, queue[0], policy)


def _record(draft: Draft, command: Command, outcome: Outcome) -> None:
    """Let the environment's history know what the outcome found, where it differs from what it knew."""
    stream = environment_stream(outcome.environment)
    fact = _fact(draft, command, outcome)
    if fact is not None:
        draft.add(stream, fact)


def _fact(draft: Draft, command: Command, outcome: Outcome) -> Message | None:
    known = draft.environment(outcome.environment)
    order_id = outcome.order_id
    match outcome:
        case EnvironmentInspected():
            return None
        case EnvironmentConfigured():
            domains = draft.order(order_id).wanted.domains
            same = known.records == outcome.records and known.domains == domains
            return (
                None if same else DomainsRecorded(order_id=order_id, domains=domains, records=outcome.records)
            )
        case ResourcesAllocated():
            news = tuple(
                entry for entry in outcome.allocations if known.allocations.get(entry.service) != entry
            )
            return AllocationsRecorded(order_id=order_id, allocations=news) if news else None
        case VariablesCreated():
            refs = tuple(
                entry for entry in outcome.services if known.secrets.get(entry.service) != entry.secrets
            )
            return SecretsRecorded(order_id=order_id, services=refs) if refs else None
        case ServiceDeployed() if isinstance(command, DeployService):
            return ServiceRecorded(
                order_id=order_id,
                service=command.service,
                commit=outcome.commit,
                health=outcome.health,
                domains=command.domains,
                peers=plan.peers(draft.order(order_id).wanted),
            )
        case RoutesUpdated():
            return (
                None
                if known.routes == outcome.routes
                else RoutesRecorded(order_id=order_id, routes=outcome.routes)
            )
    return None

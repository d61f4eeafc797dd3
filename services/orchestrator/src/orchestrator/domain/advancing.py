"""How an order moves: it claims its environment, is planned, goes from stage to stage, and ends."""

from collections.abc import Iterable, Sequence

from orchestrator.domain import planning, probing, reversal, stages
from orchestrator.domain.facts import EnvironmentClaimed, EnvironmentReleased, PieceGivenUp
from orchestrator.domain.order import OrderState
from orchestrator.domain.policies import Policy
from orchestrator.domain.world import Draft, environment_stream, order_stream
from stagewright.contracts.base import STAGES, Stage
from stagewright.contracts.commands import Command
from stagewright.contracts.order_events import (
    EndStatus,
    OrderEnded,
    ReversalBegun,
)
from stagewright.errors import ErrorInfo, Terminal

_REPEATED = {Stage.REMOVE_SERVICES}
"""Stages that are over only when they have nothing more to do."""


def claim(draft: Draft, environment: str, order_id: str, policy: Policy) -> None:
    """The order has the environment from now on, and begins, or goes on where it failed."""
    draft.add(environment_stream(environment), EnvironmentClaimed(environment=environment, order_id=order_id))
    begin(draft, draft.order(order_id), policy)


def begin(draft: Draft, state: OrderState, policy: Policy) -> None:
    """Look at what is there first; only what goes on with something else does not."""
    if state.undoing is not None:
        _reverse_on(draft, state.order_id, policy)
    elif state.resume not in {None, Stage.INSPECT, Stage.DEPLOY_SERVICES}:
        advance(draft, state.order_id, policy)
    else:
        _start(draft, state, Stage.INSPECT, policy)


def _start(draft: Draft, state: OrderState, stage: Stage, policy: Policy) -> bool:
    issued = stages.commands(draft, state, stage, policy, attempt=state.attempts(stage) + 1)
    return _issue(draft, state, issued)


def _issue(draft: Draft, state: OrderState, issued: Sequence[Command]) -> bool:
    for command in issued:
        draft.add(order_stream(state.order_id), command)
    return bool(issued)


def advance(draft: Draft, order_id: str, policy: Policy) -> None:
    """Where nothing of the order runs any more: plan, begin the next stage that has work, or end."""
    state = draft.order(order_id)
    if state.ended or not state.idle:
        return
    if state.undoing is not None:
        _reverse_on(draft, order_id, policy)
    elif state.cancelled is not None or state.error is not None:
        stop(draft, order_id, policy)
    elif state.paused or not _ready(draft, state, policy):
        return
    else:
        _go_on(draft, order_id, policy)


def _ready(draft: Draft, state: OrderState, policy: Policy) -> bool:
    """Whether there is a plan that may be carried out; makes it where it is missing."""
    if state.stage is Stage.INSPECT and not state.planned:
        try:
            planning.make_plan(draft, state, policy)
        except Terminal as error:
            _give_up(draft, state.order_id, Stage.INSPECT, error.info, policy)
            return False
        state = draft.order(state.order_id)
        if state.purpose == "plan":
            end(draft, state.order_id, "succeeded", None, policy)
            return False
    return not state.awaiting


def _go_on(draft: Draft, order_id: str, policy: Policy) -> None:
    for stage in _following(draft.order(order_id)):
        left = _left_out(draft.order(order_id))
        if left is not None and STAGES.index(stage) > STAGES.index(Stage.DEPLOY_SERVICES):
            end(draft, order_id, "failed", left, policy)
            return
        try:
            if _start(draft, draft.order(order_id), stage, policy):
                return
        except Terminal as error:
            _give_up(draft, order_id, stage, error.info, policy)
            return
    left = _left_out(draft.order(order_id))
    end(draft, order_id, "failed" if left else "succeeded", left, policy)


def _give_up(draft: Draft, order_id: str, stage: Stage, error: ErrorInfo, policy: Policy) -> None:
    """What a stage needs cannot be had, or there can be no plan: the order stops here."""
    draft.add(order_stream(order_id), PieceGivenUp(order_id=order_id, stage=stage, service=None, error=error))
    stop(draft, order_id, policy)


def _following(state: OrderState) -> Iterable[Stage]:
    """The stages that may still have something to do, in order."""
    pipeline = stages.PIPELINES[state.wanted.action]
    if state.resume is not None and state.resume is not Stage.INSPECT:
        return pipeline[pipeline.index(state.resume) :]
    if state.stage is None:
        return pipeline
    at = pipeline.index(state.stage)
    return pipeline[at if state.stage in _REPEATED else at + 1 :]


def _left_out(state: OrderState) -> ErrorInfo | None:
    """Services that a retry of single ones left as they failed: the order is not what it was to be."""
    needed = [line.service for line in state.decisions if line.decision not in {"unchanged", "drop"}]
    left = [name for name in needed if name not in state.deployed] if state.only else []
    if not left:
        return None
    return Terminal(
        "order.incomplete",
        f"services[{', '.join(left)}]",
        "these were not tried again.",
        f"Retry the order: stagewright orders retry {state.order_id}",
    ).info


def stop(draft: Draft, order_id: str, policy: Policy) -> None:
    """Nothing runs any more of an order that failed or was cancelled: reverse it if it says so, and end."""
    state = draft.order(order_id)
    error = cancellation(state) or state.error
    if error is not None and reversal.possible(state):
        name = state.wanted.environment
        draft.add(order_stream(order_id), ReversalBegun(order_id=order_id, environment=name, error=error))
        reversal.put_back(draft, state)
        _reverse_on(draft, order_id, policy)
        return
    end(draft, order_id, "cancelled" if state.cancelled else "failed", error, policy)


def cancellation(state: OrderState) -> ErrorInfo | None:
    """Why a cancelled order ended."""
    if state.cancelled is None:
        return None
    why = f": {state.cancelled.why}" if state.cancelled.why else ""
    return Terminal(
        "order.cancelled",
        f"orders[{state.order_id}]",
        f"cancelled by {state.cancelled.by}{why}.",
        f"To go on from where it stopped: stagewright orders retry {state.order_id}",
    ).info


def _reverse_on(draft: Draft, order_id: str, policy: Policy) -> None:
    """Begin the next stage that has anything to take back; end when there is none, or one failed for good."""
    state = draft.order(order_id)
    if state.error is not None:
        end(draft, order_id, "stuck", _stuck(state, state.error), policy)
        return
    for stage in _reversal_following(state):
        attempt = state.attempts(stage, undo=True) + 1
        issued = reversal.commands(draft, draft.order(order_id), stage, policy, attempt=attempt)
        if _issue(draft, state, issued):
            return
    status: EndStatus = "cancelled" if state.cancelled else "failed"
    end(draft, order_id, status, state.undoing, policy, reverted=True)


def _reversal_following(state: OrderState) -> tuple[Stage, ...]:
    """The stages of the reversal that may still have something to take back, in order."""
    if state.undo_stage is None:
        return reversal.REVERSAL
    at = reversal.REVERSAL.index(state.undo_stage)
    left = reversal.REVERSAL[at if _again(state) else at + 1 :]
    # A service that could not go back to its place is somewhere else now: routes follow it.
    return (Stage.UPDATE_ROUTES, *left) if state.undo_stage is Stage.DEPLOY_SERVICES else left


def _again(state: OrderState) -> bool:
    """Whether the reversal's last stage is looked at once more: it may not be over, or it stuck."""
    entry = state.undo.get(state.undo_stage) if state.undo_stage else None
    return state.undo_stage in _REPEATED or (entry is not None and entry.error is not None)


def _stuck(state: OrderState, error: ErrorInfo) -> ErrorInfo:
    return error.model_copy(
        update={
            "reason": f"reversing the order failed: {error.reason}",
            "remedy": f"{error.remedy} Then: stagewright orders retry {state.order_id}",
        }
    )


def end(
    draft: Draft,
    order_id: str,
    status: EndStatus,
    error: ErrorInfo | None,
    policy: Policy,
    *,
    reverted: bool = False,
) -> None:
    """End the order, of which nothing runs any more, and let the next one have the environment."""
    name = draft.order(order_id).wanted.environment
    draft.add(
        order_stream(order_id),
        OrderEnded(
            order_id=order_id,
            environment=name,
            status=status,
            error=error,
            reverted=reverted,
            finished_at=draft.at,
        ),
    )
    if draft.environment(name).owner != order_id:
        return
    draft.add(environment_stream(name), EnvironmentReleased(environment=name, order_id=order_id))
    if status == "succeeded":
        probing.watch(draft, order_id, policy)
    queue = draft.environment(name).queue
    if queue:
        claim(draft, name, queue[0], policy)

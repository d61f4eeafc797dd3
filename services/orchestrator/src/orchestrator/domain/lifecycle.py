"""What people ask of an order under way, and what is denied when nobody answers in time."""

from collections.abc import Callable, Mapping

from orchestrator.domain import advancing, failing
from orchestrator.domain.facts import OrderDequeued
from orchestrator.domain.inputs import ApprovalDue, Control
from orchestrator.domain.order import OrderState
from orchestrator.domain.policies import Policy
from orchestrator.domain.world import Draft, environment_stream, order_stream
from stagewright.clock import parse_rfc3339
from stagewright.contracts.control import ControlRequest, Verb
from stagewright.contracts.order_events import (
    CommandsWithdrawn,
    OrderApproved,
    OrderCancelled,
    OrderEnded,
    OrderPaused,
    OrderResumed,
    OrderRetried,
)
from stagewright.errors import ErrorInfo, Terminal


def control(draft: Draft, message: Control, policy: Policy) -> None:
    """Do what somebody asks; nothing where it is so already.

    Raises:
        Terminal: `order.unknown`, or that it cannot be done, with what to do instead.
    """
    state = draft.order(message.request.order_id)
    if not state.known:
        raise Terminal(
            "order.unknown",
            f"orders[{message.request.order_id}]",
            "no such order is in the log.",
            "List the known ones with `stagewright orders list`.",
        )
    _VERBS[message.verb](draft, state, message.request, policy)


def _refusal(state: OrderState, code: str, reason: str, remedy: str) -> Terminal:
    return Terminal(code, f"orders[{state.order_id}]", reason, remedy)


def _cancel(draft: Draft, state: OrderState, request: ControlRequest, policy: Policy) -> None:
    if state.cancelled is not None and not state.ended:
        return
    if state.ended:
        raise _refusal(state, "order.ended", f"the order has {_how(state)}.", "There is nothing to cancel.")
    if state.undoing is not None:
        raise _refusal(
            state, "order.reversing", "the order is being reversed.", "Wait until the reversal has ended."
        )
    name, stream = state.wanted.environment, order_stream(state.order_id)
    draft.add(
        stream,
        OrderCancelled(order_id=state.order_id, environment=name, by=request.by, why=request.why),
    )
    if state.outstanding:
        commands = tuple(state.outstanding)
        draft.add(stream, CommandsWithdrawn(order_id=state.order_id, environment=name, commands=commands))
        return
    _leave_queue(draft, state)
    advancing.stop(draft, state.order_id, policy)


def _how(state: OrderState) -> str:
    words = {"succeeded": "succeeded", "failed": "failed", "cancelled": "been cancelled", "stuck": "stuck"}
    return words.get(state.status, "not ended")


def _leave_queue(draft: Draft, state: OrderState) -> None:
    name = state.wanted.environment
    if state.order_id in draft.environment(name).queue:
        draft.add(environment_stream(name), OrderDequeued(environment=name, order_id=state.order_id))


def _running(state: OrderState, verb: str) -> None:
    if state.ended or state.cancelled is not None or state.undoing is not None:
        how = _how(state) if state.ended else "been cancelled" if state.cancelled else "failed"
        raise _refusal(
            state,
            "order.ended",
            f"the order has {how}.",
            f"Only an order that goes on can be {verb}; see `stagewright orders show {state.order_id}`.",
        )


def _pause(draft: Draft, state: OrderState, request: ControlRequest, policy: Policy) -> None:
    _running(state, "paused")
    if not state.paused:
        draft.add(
            order_stream(state.order_id),
            OrderPaused(order_id=state.order_id, environment=state.wanted.environment, by=request.by),
        )


def _resume(draft: Draft, state: OrderState, request: ControlRequest, policy: Policy) -> None:
    _running(state, "resumed")
    if not state.paused:
        return
    draft.add(
        order_stream(state.order_id),
        OrderResumed(order_id=state.order_id, environment=state.wanted.environment, by=request.by),
    )
    failing.wake(draft, draft.order(state.order_id))
    if state.purpose == "plan" or draft.environment(state.wanted.environment).owner == state.order_id:
        advancing.advance(draft, state.order_id, policy)


def _retry(draft: Draft, state: OrderState, request: ControlRequest, policy: Policy) -> None:
    if not state.ended:
        raise _refusal(
            state, "order.running", "the order has not ended.", "Wait for its end, or cancel it first."
        )
    _check_retry(draft, state, request)
    name = state.wanted.environment
    draft.add(
        order_stream(state.order_id),
        OrderRetried(
            order_id=state.order_id,
            environment=name,
            by=request.by,
            services=(request.service,) if request.service else (),
        ),
    )
    advancing.claim(draft, name, state.order_id, policy)


_DENIALS = {"approval.rejected", "approval.expired", "plan.outdated", "plan.other_order", "plan.unknown"}
"""What people, or what they bound the order to, said no to: it is not begun again behind their backs."""


def _check_retry(draft: Draft, state: OrderState, request: ControlRequest) -> None:
    """An order may go on only where it stopped: an older one must not undo what came after it."""
    if state.status == "succeeded" or state.purpose == "plan":
        raise _refusal(state, "order.ended", "the order has nothing that failed.", "Submit a new order.")
    if state.error is not None and state.error.code in _DENIALS:
        raise _refusal(
            state,
            "order.denied",
            f"its plan was denied: {state.error.reason}",
            "Change the order where it must be, and submit it under a new id.",
        )
    known = draft.environment(state.wanted.environment)
    if known.last_order != state.order_id or known.owner is not None:
        raise _refusal(
            state,
            "order.outdated",
            "another order has the environment or has had it since, or this one never had it.",
            "Submit the order again under a new id.",
        )
    needed = (line.service for line in state.decisions if line.decision not in {"unchanged", "drop"})
    failed = set(needed) - state.deployed
    if request.service is not None and request.service not in failed:
        raise _refusal(
            state,
            "service.not_failed",
            f"service {request.service} is not one that the order has left to do.",
            f"Name one of {', '.join(sorted(failed)) or 'none'}, or leave --service out.",
        )


def _approve(draft: Draft, state: OrderState, request: ControlRequest, policy: Policy) -> None:
    if state.approved_by == request.by:
        return
    if state.approved_by is not None:
        raise _refusal(
            state,
            "approval.given",
            f"{state.approved_by} approved the plan already.",
            f"See how the order goes on: stagewright orders show {state.order_id}",
        )
    _awaiting(state)
    if request.by == state.submitted_by:
        raise _refusal(
            state,
            "approval.own_order",
            f"{request.by} submitted the order.",
            "Somebody else must look at the plan and approve it.",
        )
    draft.add(
        order_stream(state.order_id),
        OrderApproved(order_id=state.order_id, environment=state.wanted.environment, by=request.by),
    )
    advancing.advance(draft, state.order_id, policy)


def _reject(draft: Draft, state: OrderState, request: ControlRequest, policy: Policy) -> None:
    if state.error is not None and state.error.code == "approval.rejected":
        return
    _awaiting(state)
    why = f": {request.why}" if request.why else ""
    error = _denied(state, "approval.rejected", f"{request.by} rejected the plan{why}.")
    advancing.end(draft, state.order_id, "failed", error, policy)


def _awaiting(state: OrderState) -> None:
    if state.ended or not state.awaiting:
        raise _refusal(
            state,
            "approval.not_asked",
            "the order does not wait for an approval.",
            f"See where it is: stagewright orders show {state.order_id}",
        )


def _denied(state: OrderState, code: str, reason: str) -> ErrorInfo:
    return _refusal(
        state, code, reason, "Change the order, or talk to the approver; then submit it again."
    ).info


def approval_due(draft: Draft, moment: ApprovalDue, policy: Policy) -> None:
    """Nobody approved in time: that is a no."""
    state = draft.order(moment.order_id)
    if state.ended or not state.awaiting or state.approval is None:
        return
    if parse_rfc3339(state.approval.due) <= draft.now:
        error = _denied(state, "approval.expired", "nobody approved the plan in time.")
        advancing.end(draft, state.order_id, "failed", error, policy)


def supersede(draft: Draft, environment: str, by: str, *, everything: bool) -> None:
    """End the orders that wait for the environment: updates, or all of them."""
    for waiting in draft.environment(environment).queue:
        state = draft.order(waiting)
        if not everything and state.wanted.action != "update":
            continue
        _leave_queue(draft, state)
        draft.add(
            order_stream(waiting),
            OrderEnded(
                order_id=waiting,
                environment=environment,
                status="cancelled",
                error=_refusal(
                    state,
                    "order.superseded",
                    f"order {by} came, which supersedes it.",
                    "Submit it again under a new id if it is still wanted.",
                ).info,
                finished_at=draft.at,
            ),
        )


_VERBS: Mapping[Verb, Callable[[Draft, OrderState, ControlRequest, Policy], None]] = {
    "cancel": _cancel,
    "pause": _pause,
    "resume": _resume,
    "retry": _retry,
    "approve": _approve,
    "reject": _reject,
}

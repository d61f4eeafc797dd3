"""Making an order's plan: from what was looked at, bound to what a person saw, approved by another."""

from datetime import timedelta

from orchestrator.domain import plan, stages
from orchestrator.domain.order import OrderState
from orchestrator.domain.policies import Policy
from orchestrator.domain.world import Draft, environment_stream, order_stream
from stagewright.clock import rfc3339
from stagewright.contracts.order_events import ApprovalRequested, HealthObserved, OrderPlanned
from stagewright.errors import Terminal


def make_plan(draft: Draft, state: OrderState, policy: Policy) -> None:
    """Store the plan that follows from the inspection, and ask for approval where it needs one.

    Raises:
        Terminal: as `plan.plan`; of a bound order `plan.unknown`, `plan.other_order`, `plan.outdated`.
    """
    order = state.wanted
    known = draft.environment(order.environment)
    if state.inspected is None:
        raise LookupError("the inspection's outcome is stored before the plan is made")
    made = plan.plan(order, known, plan.observed(state.inspected), policy.servers)
    if state.resume is not None and state.plan is not None:
        made = _amended(state, state.plan, made)
    planned = OrderPlanned(
        order_id=state.order_id,
        environment=order.environment,
        decisions=made.services,
        environment_decision=made.environment,
        revision=known.revision,
    )
    if order.plan_id is not None and state.purpose == "apply":
        _check_binding(draft, order.plan_id, state, planned)
    draft.add(order_stream(state.order_id), planned)
    if state.purpose == "plan":
        return
    _observe(draft, state)
    if made.changes and (order.require_approval or policy.approves(order.environment)):
        due = rfc3339(draft.now + timedelta(seconds=policy.approval_timeout))
        draft.add(
            order_stream(state.order_id),
            ApprovalRequested(order_id=state.order_id, environment=order.environment, due=due),
        )


def _amended(state: OrderState, before: OrderPlanned, now: plan.Plan) -> plan.Plan:
    """The plan of a retried order: lines of what it has deployed, or leaves alone, stay."""
    lines = {line.service: line for line in now.services}
    kept = tuple(
        line
        if line.service in state.deployed or not stages.chosen(state, line.service)
        else lines.get(line.service, line)
        for line in before.decisions
    )
    return plan.Plan(before.environment_decision, kept)


def _check_binding(draft: Draft, plan_id: str, state: OrderState, now: OrderPlanned) -> None:
    """What was looked at must be what is done.

    Raises:
        Terminal: `plan.unknown`, `plan.other_order`, `plan.outdated`.
    """
    saved = draft.order(plan_id)
    remedy = "Plan the order again, look at the new plan, and submit with that."
    if saved.plan is None or saved.purpose != "plan":
        raise Terminal("plan.unknown", plan_id, "no such plan is in the log.", remedy)
    if not saved.wanted.same_wish(state.wanted):
        raise Terminal("plan.other_order", plan_id, "the plan is of another order.", remedy)
    if state.plan is not None:
        # Retried: the order has moved the environment itself, and may still do what was looked at alone.
        if _commits(saved.plan) != _commits(now):
            raise Terminal(
                "plan.outdated", plan_id, "a repository has changed since the plan was made.", remedy
            )
        return
    moved = saved.plan.revision != now.revision
    if moved or (saved.plan.decisions, saved.plan.environment_decision) != (
        now.decisions,
        now.environment_decision,
    ):
        what = "the environment" if moved else "a repository, or what runs,"
        raise Terminal("plan.outdated", plan_id, f"{what} has changed since the plan was made.", remedy)


def _commits(planned: OrderPlanned) -> dict[str, str | None]:
    return {line.service: line.commit for line in planned.decisions}


def _observe(draft: Draft, state: OrderState) -> None:
    """Let the environment know how its services were seen."""
    name = state.wanted.environment
    known = draft.environment(name)
    for seen in state.inspected.services if state.inspected else ():
        before = known.services.get(seen.service)
        if before is not None and seen.health is not None and seen.health != before.health:
            draft.add(
                environment_stream(name),
                HealthObserved(
                    order_id=state.order_id, environment=name, service=seen.service, health=seen.health
                ),
            )

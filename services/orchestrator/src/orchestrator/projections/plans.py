"""Plans for people: those that were made from what was looked at, and those from the log alone. Pure."""

import re
from collections.abc import Mapping

from orchestrator.domain import plan
from orchestrator.domain.environment import EnvironmentState
from orchestrator.domain.order import OrderState
from orchestrator.domain.plan import Seen
from stagewright.contracts.orders import Order, ServiceSpec
from stagewright.contracts.queries import PlanLine, PlanView
from stagewright.errors import Terminal

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def made(state: OrderState) -> PlanView:
    """The plan of an order, as it was made: everything in it was looked at.

    Raises:
        Terminal: `plan.not_made`.
    """
    if state.plan is None or state.inspected is None:
        raise Terminal(
            "plan.not_made",
            state.order_id,
            "the order has no plan yet, or failed before it had one.",
            f"See why: stagewright orders show {state.order_id}",
        )
    at, found = state.inspected.finished_at, state.plan
    lines = tuple(PlanLine(**dict(line), basis="verified", as_of=at) for line in found.decisions)
    return PlanView(
        plan_id=state.order_id,
        environment_id=state.wanted.environment,
        action=state.wanted.action,
        revision=found.revision,
        environment=found.environment_decision,
        services=lines,
        changes=plan.Plan(found.environment_decision, found.decisions).changes,
    )


def believed(order: Order, environment: EnvironmentState, servers: Mapping[str, str]) -> PlanView:
    """What the order would do, by what the log says and nothing else.

    A branch is taken to be at the commit that it was when it was deployed last; a repository or version that
    was never deployed has no commit here. Each line says since when it is believed.

    Raises:
        Terminal: as `plan.plan`.
    """
    seen = {spec.id: _remembered(environment, spec) for _, spec in order.services}
    found = plan.plan(order, environment, seen, servers)
    since = {name: entry.at for name, entry in environment.services.items()}
    lines = tuple(
        PlanLine(**dict(line), basis="believed", as_of=since.get(line.service, environment.changed_at))
        for line in found.services
    )
    return PlanView(
        environment_id=order.environment,
        action=order.action,
        revision=environment.revision,
        environment=found.environment,
        services=lines,
        changes=found.changes,
    )


def _remembered(environment: EnvironmentState, spec: ServiceSpec) -> Seen:
    deployed = environment.services.get(spec.id)
    running = deployed.commit if deployed else None
    version = spec.repository.version
    if version is not None and _COMMIT.fullmatch(version):
        return Seen(version, running)
    same = deployed is not None and deployed.service.repository == spec.repository
    return Seen(running if same else None, running)

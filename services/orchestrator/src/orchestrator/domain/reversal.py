"""Reversing an order: each stage that it began is taken back, the last one first.

What there was before is the environment's `base`, folded from the log at the moment when the order claimed
it. A reversal is possible until the order begins to take things away for good: what is dropped with its dump
made is not brought back by itself.
"""

from collections.abc import Callable, Mapping, Sequence

from orchestrator.domain import cleaning
from orchestrator.domain.environment import EnvironmentState
from orchestrator.domain.facts import AllocationsRecorded, SecretsRecorded
from orchestrator.domain.order import OrderState
from orchestrator.domain.places import recorded_locations
from orchestrator.domain.policies import Policy
from orchestrator.domain.stages import Step
from orchestrator.domain.world import Draft, environment_stream
from stagewright.contracts.base import CLEANING, Stage
from stagewright.contracts.commands import Command, ConfigureEnvironment, DeployService, UpdateRoutes
from stagewright.contracts.work import (
    OWN_VARIABLES,
    Allocation,
    Route,
    ServiceSecrets,
    own_variable_path,
)

REVERSAL: tuple[Stage, ...] = (
    Stage.UPDATE_ROUTES,
    Stage.DEPLOY_SERVICES,
    Stage.REMOVE_SERVICES,
    Stage.DELETE_VARIABLES,
    Stage.RELEASE_RESOURCES,
    Stage.CONFIGURE_ENVIRONMENT,
    Stage.DECONFIGURE_ENVIRONMENT,
)
"""In this order. A stage that has nothing to take back is passed over."""


def possible(state: OrderState) -> bool:
    """Whether the order asks for it, did anything, and took nothing away for good yet."""
    began = set(state.stages) - {Stage.INSPECT}
    return state.wanted.on_failure == "revert" and bool(began) and not began & CLEANING


def put_back(draft: Draft, state: OrderState) -> None:
    """What the order decided is undecided: services live where they lived, with the secrets that they had.

    Nothing has to be done for that; what only the order placed is left to be removed. A place that somebody
    else took meanwhile is no place to go back to.
    """
    name = state.wanted.environment
    known = draft.environment(name)
    base = known.base or EnvironmentState()
    back = [
        allocation
        for service, allocation in base.allocations.items()
        if known.allocations.get(service) not in {None, allocation} and not _taken(draft, allocation)
    ]
    if back:
        tenants = tuple(base.tenants[one.service] for one in back)
        fact = AllocationsRecorded(order_id=state.order_id, allocations=tuple(back), tenants=tenants)
        draft.add(environment_stream(name), fact)
    secrets = tuple(
        ServiceSecrets(service=service, secrets=refs)
        for service, refs in base.secrets.items()
        if known.secrets.get(service) != refs
    )
    if secrets:
        draft.add(environment_stream(name), SecretsRecorded(order_id=state.order_id, services=secrets))


def _taken(draft: Draft, allocation: Allocation) -> bool:
    if allocation.server is None:
        return False
    return allocation.port in draft.server(allocation.server).occupied


def commands(
    draft: Draft,
    state: OrderState,
    stage: Stage,
    policy: Policy,
    *,
    attempt: int = 1,
    only: str | None = None,
) -> Sequence[Command]:
    """The commands that take a stage back, none where there is nothing to take back."""
    return _STAGES[stage](Step(draft, state, policy, attempt, only))


def _base(step: Step) -> EnvironmentState:
    return step.environment.base or EnvironmentState()


def _route(step: Step) -> Sequence[Command]:
    """The routes of before, to where their services are by now."""
    base, known = _base(step), step.environment
    routes = tuple(_following(route, known) for route in base.routes)
    if not _unsure(step.state) and (routes, base.maintenance) == (known.routes, known.maintenance):
        return []
    return [
        UpdateRoutes(**step.base(Stage.UPDATE_ROUTES, undo=True), routes=routes, maintenance=base.maintenance)
    ]


def _unsure(state: OrderState) -> bool:
    """Whether routes may be others than the last answer told: the order was at it, and none is put back."""
    undone = state.undo.get(Stage.UPDATE_ROUTES)
    done = undone is not None and undone.finished_at is not None and undone.error is None
    return Stage.UPDATE_ROUTES in state.stages and not done


def _following(route: Route, known: EnvironmentState) -> Route:
    home = known.allocations.get(route.service)
    if home is None:
        return route
    return route.model_copy(update=home.model_dump(include={"server", "port", "bucket", "prefix"}))


def _deploy(step: Step) -> Sequence[Command]:
    """Services that the order deployed, or tried to: as they were. Done again it changes nothing."""
    base, known = _base(step), step.environment
    return [
        DeployService(
            **step.base(Stage.DEPLOY_SERVICES, name, undo=True),
            service=entry.service,
            commit=entry.commit,
            allocation=known.allocations[name],
            secrets=base.secrets.get(name, ()),
            discovery=recorded_locations(base._replace(allocations=known.allocations), step.policy),
            domains=entry.domains,
        )
        for name, entry in base.services.items()
        if name in step.state.touched and name in known.allocations and step.only in {None, name}
    ]


def _delete(step: Step) -> Sequence[Command]:
    """What the order made, or may have made when it was stopped; never a secret of before."""
    base = _base(step)
    before = {ref.path for refs in base.secrets.values() for ref in refs} | base.old_secrets
    own = {
        own_variable_path(step.order.environment, spec.id, name)
        for block, spec in step.order.services
        for name in OWN_VARIABLES[block]
    }
    made = own if Stage.CREATE_VARIABLES in step.state.stages else set[str]()
    return cleaning.delete_paths(step, (made | step.environment.old_secrets) - before, undo=True)


def _configure(step: Step) -> Sequence[Command]:
    domains = _base(step).domains
    if Stage.CONFIGURE_ENVIRONMENT not in step.state.stages or not domains:
        return []
    return [ConfigureEnvironment(**step.base(Stage.CONFIGURE_ENVIRONMENT, undo=True), domains=domains)]


def _deconfigure(step: Step) -> Sequence[Command]:
    """Records of domains that the environment had not before."""
    known, base = step.environment, _base(step)
    before = {*base.domains, *(record.name for record in base.old_records)}
    new = tuple(record for record in known.records + known.old_records if record.name not in before)
    return cleaning.deconfigure_records(step, new, undo=True) if new else []


_STAGES: Mapping[Stage, Callable[[Step], Sequence[Command]]] = {
    Stage.UPDATE_ROUTES: _route,
    Stage.DEPLOY_SERVICES: _deploy,
    Stage.REMOVE_SERVICES: lambda step: cleaning.remove(step, only=step.only, undo=True),
    Stage.DELETE_VARIABLES: _delete,
    Stage.RELEASE_RESOURCES: lambda step: cleaning.release(step, undo=True),
    Stage.CONFIGURE_ENVIRONMENT: _configure,
    Stage.DECONFIGURE_ENVIRONMENT: _deconfigure,
}

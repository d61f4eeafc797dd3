"""Reversing an order: each stage that it began is taken back, the last one first.

What there was before is the environment's `base`, folded from the log at the moment when the order claimed
it. A reversal is possible until the order begins to take things away for good: what is dropped with its dump
made is not brought back by itself.
"""

from collections.abc import Callable, Mapping, Sequence

from orchestrator.domain import allocating, cleaning
from orchestrator.domain.environment import EnvironmentState
from orchestrator.domain.facts import AllocationsRecorded
from orchestrator.domain.order import OrderState
from orchestrator.domain.policies import Policy
from orchestrator.domain.stages import Step, recorded_locations
from orchestrator.domain.world import Draft, environment_stream
from stagewright.contracts.base import CLEANING, Stage
from stagewright.contracts.commands import Command, ConfigureEnvironment, DeployService, UpdateRoutes
from stagewright.contracts.work import OWN_VARIABLES, own_variable_path

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


def put_back(draft: Draft, state: OrderState, policy: Policy) -> None:
    """Services whose place changed live again where they lived; the new places are left to be removed."""
    known = draft.environment(state.wanted.environment)
    base = known.base or EnvironmentState()
    moved = [
        allocation
        for name, allocation in base.allocations.items()
        if known.allocations.get(name) not in {None, allocation}
        and allocating.still_good(draft, allocation, allocation.bucket is None, policy)
    ]
    if moved:
        draft.add(
            environment_stream(state.wanted.environment),
            AllocationsRecorded(
                order_id=state.order_id,
                allocations=tuple(moved),
                tenants=tuple(base.tenants[one.service] for one in moved),
            ),
        )


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
    if Stage.UPDATE_ROUTES not in step.state.stages:
        return []
    base = _base(step)
    return [
        UpdateRoutes(
            **step.base(Stage.UPDATE_ROUTES, undo=True), routes=base.routes, maintenance=base.maintenance
        )
    ]


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
    """What the order made, or may have made when it was stopped; never a version of before."""
    before = {ref.path for refs in _base(step).secrets.values() for ref in refs}
    own = {
        own_variable_path(step.order.environment, spec.id, name)
        for block, spec in step.order.services
        for name in OWN_VARIABLES[block]
    }
    made = own - before if Stage.CREATE_VARIABLES in step.state.stages else frozenset()
    return cleaning.delete_variables(step, paths=made, undo=True)


def _configure(step: Step) -> Sequence[Command]:
    domains = _base(step).domains
    if Stage.CONFIGURE_ENVIRONMENT not in step.state.stages or not domains:
        return []
    return [ConfigureEnvironment(**step.base(Stage.CONFIGURE_ENVIRONMENT, undo=True), domains=domains)]


def _deconfigure(step: Step) -> Sequence[Command]:
    """Records of domains that the environment had not before."""
    known, base = step.environment, _base(step)
    new = tuple(record for record in known.records if record.name not in base.domains)
    if not new and not known.old_records:
        return []
    return cleaning.deconfigure_records(step, (*known.old_records, *new), undo=True)


_STAGES: Mapping[Stage, Callable[[Step], Sequence[Command]]] = {
    Stage.UPDATE_ROUTES: _route,
    Stage.DEPLOY_SERVICES: _deploy,
    Stage.REMOVE_SERVICES: lambda step: cleaning.remove(step, only=step.only, undo=True),
    Stage.DELETE_VARIABLES: _delete,
    Stage.RELEASE_RESOURCES: lambda step: cleaning.release(step, undo=True),
    Stage.CONFIGURE_ENVIRONMENT: _configure,
    Stage.DECONFIGURE_ENVIRONMENT: _deconfigure,
}

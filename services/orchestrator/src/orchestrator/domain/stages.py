"""Which commands a stage consists of, for one order in one environment."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.domain import allocating, cleaning, places, plan
from orchestrator.domain.environment import EnvironmentState, Peers
from orchestrator.domain.order import OrderState
from orchestrator.domain.plan_environment import block_domains
from orchestrator.domain.policies import PATIENCE, Policy
from orchestrator.domain.world import Draft
from stagewright.contracts.base import Stage
from stagewright.contracts.commands import (
    AllocateResources,
    Command,
    ConfigureEnvironment,
    CreateVariables,
    DeployService,
    InspectEnvironment,
    UpdateRoutes,
)
from stagewright.contracts.orders import Action, Order
from stagewright.contracts.work import (
    OWN_VARIABLES,
    Deployable,
    Deployed,
    SecretRef,
    ServiceSecrets,
    own_variable_path,
    variable_path,
)
from stagewright.errors import Terminal
from stagewright.ids import command_id

_CLEANING = (
    Stage.REMOVE_SERVICES,
    Stage.RELEASE_RESOURCES,
    Stage.DELETE_VARIABLES,
    Stage.DECONFIGURE_ENVIRONMENT,
)
_WHOLE = (
    Stage.INSPECT,
    Stage.CONFIGURE_ENVIRONMENT,
    Stage.ALLOCATE_RESOURCES,
    Stage.CREATE_VARIABLES,
    Stage.DEPLOY_SERVICES,
    Stage.UPDATE_ROUTES,
    *_CLEANING,
)
PIPELINES: Mapping[Action, tuple[Stage, ...]] = {
    "update": _WHOLE,
    "rollback": _WHOLE,
    "drop": (Stage.INSPECT, Stage.UPDATE_ROUTES, *_CLEANING),
    "redeploy": (Stage.INSPECT, Stage.DEPLOY_SERVICES),
    "maintenance": (Stage.INSPECT, Stage.UPDATE_ROUTES),
}
"""The stages of each action, in order. A stage that has nothing to do is passed over."""


class Step(NamedTuple):
    """One stage of one order about to be begun: everything that its commands follow from."""

    draft: Draft
    state: OrderState
    policy: Policy
    attempt: int
    only: str | None

    @property
    def order(self) -> Order:
        """The order."""
        return self.state.wanted

    @property
    def environment(self) -> EnvironmentState:
        """The environment as it is by now."""
        return self.draft.environment(self.order.environment)

    def base(self, stage: Stage, target: str | None = None, *, undo: bool = False) -> dict[str, Any]:
        """What every command carries."""
        timeout = self.policy.timeout(self.order, stage)
        name = f"undo:{stage}" if undo else stage
        return {
            "command_id": command_id(self.state.order_id, name, target, self.attempt),
            "order_id": self.state.order_id,
            "environment": self.order.environment,
            "attempt": self.attempt,
            "timeout": timeout,
            "due": self.draft.after(timeout + PATIENCE),
            "undo": undo,
        }


def commands(
    draft: Draft,
    state: OrderState,
    stage: Stage,
    policy: Policy,
    *,
    attempt: int = 1,
    only: str | None = None,
) -> Sequence[Command]:
    """The commands of a stage, none where it has nothing to do; `only` names the one service to do again.

    Raises:
        Terminal: what the stage needs cannot be had (`port.exhausted`, `environment.empty`).
    """
    return _STAGES[stage](Step(draft, state, policy, attempt, only))


def _inspect(step: Step) -> Sequence[Command]:
    """Services that a retried order has deployed already are not looked at again."""
    state = step.state
    services = tuple(
        service
        for service in _services(step.order)
        if not (state.resume and (service.id in state.deployed or not chosen(state, service.id)))
    )
    return [
        InspectEnvironment(
            **step.base(Stage.INSPECT), services=services, deployed=_deployed(step.environment)
        )
    ]


def chosen(state: OrderState, service: str) -> bool:
    """Whether a retry is about this service too."""
    return not state.only or service in state.only


def _configure(step: Step) -> Sequence[Command]:
    return [ConfigureEnvironment(**step.base(Stage.CONFIGURE_ENVIRONMENT), domains=step.order.domains)]


def _allocate(step: Step) -> Sequence[Command]:
    allocations = allocating.allocate(step.draft, step.state, step.policy)
    return [AllocateResources(**step.base(Stage.ALLOCATE_RESOURCES), allocations=allocations)]


def _create(step: Step) -> Sequence[Command]:
    homes = step.environment.allocations
    return [
        CreateVariables(
            **step.base(Stage.CREATE_VARIABLES),
            services=_services(step.order),
            allocations=tuple(homes[spec.id] for _, spec in step.order.services),
            pins=_pins(step.order),
        )
    ]


def _pins(order: Order) -> tuple[ServiceSecrets, ...]:
    blocks = {spec.id: block for block, spec in order.services}
    return tuple(
        ServiceSecrets(
            service=entry.service,
            secrets=tuple(
                SecretRef(
                    name=pin.name,
                    path=own_variable_path(order.environment, entry.service, pin.name)
                    if pin.name in OWN_VARIABLES[blocks[entry.service]]
                    else variable_path(order.environment, pin.name),
                    version=pin.version,
                )
                for pin in entry.secrets
            ),
        )
        for entry in order.pins
        if entry.service in blocks
    )


def _deploy(step: Step) -> Sequence[Command]:
    state = step.state
    needed = {
        line.service: line.commit
        for line in state.decisions
        if line.decision not in {"unchanged", "drop"} and line.commit
    }
    if step.order.action == "redeploy":
        return _redeploy(step, needed)
    discovery = places.locations(step.order, step.environment, step.policy)
    needed = _moved(step, plan.told(discovery)) | needed
    return [
        DeployService(
            **step.base(Stage.DEPLOY_SERVICES, service.id),
            service=service,
            commit=needed[service.id],
            allocation=step.environment.allocations[service.id],
            secrets=step.environment.secrets.get(service.id, ()),
            discovery=discovery,
            domains=block_domains(step.order, service.block),
        )
        for service in _services(step.order)
        if service.id in needed and service.id not in state.deployed
        if step.only in {None, service.id} and chosen(state, service.id)
    ]


def _moved(step: Step, told: Peers) -> dict[str, str]:
    """Services that the plan leaves as they are, but that must move by now, or whose peers have."""
    known = step.environment
    return {
        name: entry.commit
        for name, entry in known.services.items()
        if (entry.allocation, entry.peers) != (known.allocations.get(name), told)
        and name not in step.state.deployed
    }


def _redeploy(step: Step, needed: Mapping[str, str]) -> Sequence[Command]:
    known = step.environment
    return [
        DeployService(
            **step.base(Stage.DEPLOY_SERVICES, name),
            service=known.services[name].service,
            commit=needed[name],
            allocation=known.services[name].allocation,
            secrets=known.secrets.get(name, ()),
            discovery=places.recorded_locations(known, step.policy),
            domains=known.services[name].domains,
            restart=True,
        )
        for name in step.order.service_ids
        if name in needed and name not in step.state.deployed
        if step.only in {None, name} and chosen(step.state, name)
    ]


def _route(step: Step) -> Sequence[Command]:
    known, base = step.environment, step.base(Stage.UPDATE_ROUTES)
    match step.order.action:
        case "drop":
            return [UpdateRoutes(**base, routes=())] if known.routes else []
        case "maintenance":
            if not known.routes:
                raise Terminal(
                    "environment.empty",
                    f"environments[{step.order.environment}]",
                    "nothing is served there.",
                    "Submit an update for it first.",
                )
            return [UpdateRoutes(**base, routes=known.routes, maintenance=bool(step.order.maintenance))]
    return [UpdateRoutes(**base, routes=places.routes(step.order, known), maintenance=known.maintenance)]


_STAGES: Mapping[Stage, Callable[[Step], Sequence[Command]]] = {
    Stage.INSPECT: _inspect,
    Stage.CONFIGURE_ENVIRONMENT: _configure,
    Stage.ALLOCATE_RESOURCES: _allocate,
    Stage.CREATE_VARIABLES: _create,
    Stage.DEPLOY_SERVICES: _deploy,
    Stage.UPDATE_ROUTES: _route,
    Stage.REMOVE_SERVICES: lambda step: cleaning.remove(step, only=step.only),
    Stage.RELEASE_RESOURCES: cleaning.release,
    Stage.DELETE_VARIABLES: cleaning.delete_variables,
    Stage.DECONFIGURE_ENVIRONMENT: cleaning.deconfigure,
}


def _services(order: Order) -> tuple[Deployable, ...]:
    return tuple(plan.deployable(block, spec) for block, spec in order.services)


def _deployed(environment: EnvironmentState) -> tuple[Deployed, ...]:
    return tuple(
        Deployed(service=name, commit=entry.commit, allocation=entry.allocation)
        for name, entry in environment.services.items()
    )

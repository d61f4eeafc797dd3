"""Given, when, then over the saga's decisions, and an executor of plain values that answers commands."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from orchestrator.domain.environment import EnvironmentState
from orchestrator.domain.inputs import Control, Input
from orchestrator.domain.moments import answers_due, moments
from orchestrator.domain.order import OrderState
from orchestrator.domain.policies import Policy, Rule
from orchestrator.domain.saga import decide
from orchestrator.domain.world import (
    Change,
    State,
    environment_stream,
    evolve,
    initial,
    order_stream,
)
from stagewright.clock import rfc3339
from stagewright.contracts.base import Message
from stagewright.contracts.commands import (
    AllocateResources,
    Command,
    ConfigureEnvironment,
    CreateVariables,
    DeconfigureEnvironment,
    DeleteVariables,
    DeployService,
    InspectEnvironment,
    ProbeServices,
    ReleaseResources,
    RemoveService,
    UpdateRoutes,
)
from stagewright.contracts.control import ControlRequest, Verb
from stagewright.contracts.events import (
    CommandFailed,
    EnvironmentConfigured,
    EnvironmentDeconfigured,
    EnvironmentInspected,
    InspectedService,
    Outcome,
    ResourcesAllocated,
    ResourcesReleased,
    RoutesUpdated,
    ServiceDeployed,
    ServiceRemoved,
    ServicesProbed,
    VariablesCreated,
    VariablesDeleted,
)
from stagewright.contracts.orders import Order, OrderReceived, Purpose
from stagewright.contracts.work import (
    OWN_VARIABLES,
    Allocation,
    DnsRecord,
    Health,
    Route,
    SecretRef,
    ServiceHealth,
    ServiceSecrets,
    own_variable_path,
)
from stagewright.errors import ErrorInfo

START = datetime(2026, 1, 1, tzinfo=UTC)


def an_order(
    environment: str = "3", without: str = "", more: dict[str, Any] | None = None, **changes: Any
) -> Order:
    """An order of two APIs and a front; `changes` replace fields of services: `s6={"path": …}`.

    `without` leaves one of them out; `more` are other fields of the order.
    """
    services = {
        "s6": {"id": "6", "path": "/core", "type": "node", "roles": ["auth"]},
        "s7": {"id": "7", "path": "/", "type": "node"},
        "s8": {"id": "8", "path": "/", "type": "angular"},
    }
    for name, change in changes.items():
        services[name] |= change
    for service in services.values():
        service.setdefault("repository", {"url": f"https://git.example.com/{service['id']}"})
    apis = [services[name] for name in ("s6", "s7") if name != without]
    return Order.model_validate(
        {
            "action": "update",
            "environment_id": environment,
            "api": {"domains": [f"api-{environment}.example.com"], "services": apis},
            "front": {"domains": [f"www-{environment}.example.com"], "services": [services["s8"]]},
            **(more or {}),
        }
    )


def a_drop(environment: str = "3", **more: Any) -> Order:
    """An order that drops an environment."""
    return Order.model_validate({"action": "drop", "environment_id": environment, **more})


def received(
    order_id: str = "o1", order: Order | None = None, *, by: str = "ann", purpose: Purpose = "apply"
) -> OrderReceived:
    """The message that brings an order in."""
    return OrderReceived(
        order_id=order_id,
        order=order or an_order(),
        digest=hashlib.sha256(order_id.encode()).hexdigest(),
        received_at=rfc3339(START),
        submitted_by=by,
        purpose=purpose,
    )


def commit_of(service: str, generation: int = 1) -> str:
    """A commit hash that is the same every time."""
    return hashlib.sha1(f"{service}-{generation}".encode()).hexdigest()


@dataclass
class Reality:
    """The world that the plain executor acts on: what is there, by what it did, in one environment's terms.

    `generation` says at which commit a service's repository is; `health` what a deployed service says.
    """

    generation: dict[str, int] = field(default_factory=dict)
    health: dict[str, Health] = field(default_factory=dict)
    running: dict[tuple[str, str], tuple[Allocation, str]] = field(default_factory=dict)
    places: set[tuple[str, str, str | None]] = field(default_factory=set)
    buckets: set[str] = field(default_factory=set)
    secrets: dict[str, int] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    records: set[str] = field(default_factory=set)
    routes: dict[str, tuple[Route, ...]] = field(default_factory=dict)
    deployments: list[str] = field(default_factory=list)

    def commit(self, service: str) -> str:
        """What the service's repository resolves to now."""
        return commit_of(service, self.generation.get(service, 1))

    def left(self, environment: str) -> dict[str, Any]:
        """Everything that is there of an environment, soft-deleted secrets aside."""
        found = {
            "running": [key for key in self.running if key[0] == environment],
            "places": [place for place in self.places if place[0] == environment],
            "secrets": [
                path
                for path in self.secrets
                if path.startswith(f"environments/{environment}/") and path not in self.deleted
            ],
            "records": [name for name in self.records if f"-{environment}." in name],
            "routes": list(self.routes.get(environment, ())),
            "buckets": [name for name in self.buckets if name.endswith(f"-{environment}")],
        }
        return {name: sorted(value, key=str) for name, value in found.items() if value}


def place_of(environment: str, allocation: Allocation) -> tuple[str, str, str | None]:
    """Where something of a service is: another port of a server is the same process."""
    return environment, allocation.service, allocation.server or allocation.bucket


def base_of(command: Command, **more: Any) -> dict[str, Any]:
    """What every answer to a command carries."""
    return {
        "command_id": command.command_id,
        "order_id": command.order_id,
        "environment": command.environment,
        "stage": command.stage,
        "attempt": command.attempt,
        "started_at": rfc3339(START),
        "finished_at": rfc3339(START),
        "executor": "plain",
        **more,
    }


def outcome(command: Command, reality: Reality) -> Outcome:
    """The answer of an executor with whom everything goes well; doing it twice is doing it once."""
    base, name = base_of(command), command.environment
    match command:
        case InspectEnvironment():
            found = {
                service: commit for (place, service), (_, commit) in reality.running.items() if place == name
            }
            seen = tuple(
                InspectedService(service=s.id, commit=reality.commit(s.id), running=found.get(s.id))
                for s in command.services
            )
            return EnvironmentInspected(**base, services=seen)
        case ConfigureEnvironment():
            reality.records |= set(command.domains)
            records = tuple(DnsRecord(name=one, type="A", value="127.0.0.1") for one in command.domains)
            return EnvironmentConfigured(**base, records=records)
        case AllocateResources():
            reality.buckets |= {one.bucket for one in command.allocations if one.bucket}
            return ResourcesAllocated(**base, allocations=command.allocations)
        case CreateVariables():
            return VariablesCreated(**base, services=tuple(_secrets(command, reality)))
        case DeployService():
            reality.running[name, command.service.id] = (command.allocation, command.commit)
            reality.places.add(place_of(name, command.allocation))
            reality.deployments.append(command.service.id)
            health = reality.health.get(command.service.id, "ready")
            return ServiceDeployed(**base, service=command.service.id, commit=command.commit, health=health)
        case UpdateRoutes():
            reality.routes[name] = command.routes
            return RoutesUpdated(**base, routes=command.routes, maintenance=command.maintenance)
    return _taken_away(command, reality, base)


def _taken_away(command: Command, reality: Reality, base: dict[str, Any]) -> Outcome:
    name = command.environment
    match command:
        case RemoveService():
            running = reality.running.get((name, command.service.id))
            if running and place_of(name, running[0]) == place_of(name, command.allocation):
                del reality.running[name, command.service.id]
            reality.places.discard(place_of(name, command.allocation))
            return ServiceRemoved(**base, service=command.service.id)
        case ReleaseResources():
            reality.buckets -= set(command.buckets)
            return ResourcesReleased(**base)
        case DeleteVariables():
            reality.deleted |= set(command.paths) & reality.secrets.keys()
            return VariablesDeleted(**base, changed=command.paths)
        case DeconfigureEnvironment():
            reality.records -= {record.name for record in command.records}
            return EnvironmentDeconfigured(**base)
        case ProbeServices():
            health = tuple(
                ServiceHealth(service=one.service, health=reality.health.get(one.service, "ready"))
                for one in command.services
            )
            return ServicesProbed(**base, services=health)
    raise AssertionError(f"no answer for {type(command).__name__}")


def _secrets(command: CreateVariables, reality: Reality) -> list[ServiceSecrets]:
    pins = {entry.service: {pin.path: pin.version for pin in entry.secrets} for entry in command.pins}
    made = []
    for service in command.services:
        refs = []
        for name in OWN_VARIABLES[service.block]:
            path = own_variable_path(command.environment, service.id, name)
            if path in reality.deleted and path not in pins.get(service.id, {}):
                reality.secrets[path] += 1
            reality.deleted.discard(path)
            version = pins.get(service.id, {}).get(path) or reality.secrets.setdefault(path, 1)
            refs.append(SecretRef(name=name, path=path, version=version))
        made.append(ServiceSecrets(service=service.id, secrets=tuple(refs)))
    return made


def failure(
    command: Command, *, kind: str = "retryable", code: str = "test.failed", resource: str = "x", **more: Any
) -> Outcome:
    """The answer of an executor with whom it goes badly."""
    return CommandFailed(
        **base_of(command, **more),
        service=command.target,
        error=ErrorInfo(kind=kind, code=code, resource=resource, reason="it broke.", remedy="Mend it."),
    )


class Saga:
    """A world of plain values. `when` decides and stores; what was decided is in `last`."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy or Policy(rule=Rule(max_attempts=3), probe=Rule(max_attempts=4))
        self.now = START
        self.states: dict[str, State] = {}
        self.log: list[Change] = []
        self.last: list[Message] = []
        self.reality = Reality()

    def state(self, stream: str) -> State:
        """The `World` that decisions read."""
        return self.states.get(stream) or initial(stream)

    def when(self, message: Input) -> Self:
        """Decide on a message and store what follows."""
        draft = decide(self, message, self.now, self.policy)
        for change in draft.changes:
            self.states[change.stream] = evolve(
                change.stream, self.state(change.stream), change.event, rfc3339(self.now)
            )
        self.log += draft.changes
        self.last = [change.event for change in draft.changes]
        return self

    def then(self, *kinds: type[Message]) -> Self:
        """Exactly events of these kinds followed, in this order."""
        assert [type(event) for event in self.last] == list(kinds)
        return self

    def then_nothing(self) -> Self:
        """Nothing followed."""
        return self.then()

    def order(self, order_id: str = "o1") -> OrderState:
        """An order's state."""
        state = self.state(order_stream(order_id))
        assert isinstance(state, OrderState)
        return state

    def environment(self, name: str = "3") -> EnvironmentState:
        """An environment's state."""
        state = self.state(environment_stream(name))
        assert isinstance(state, EnvironmentState)
        return state

    def ask(self, verb: Verb, order_id: str = "o1", *, by: str = "bob", **more: Any) -> Self:
        """Somebody asks for something about an order."""
        return self.when(Control(verb, ControlRequest(order_id=order_id, by=by, **more)))

    def outstanding(self, order_id: str = "o1") -> Sequence[Command]:
        """The commands that wait for their answer."""
        return list(self.order(order_id).outstanding.values())

    def answer(self, *, order_id: str = "o1", how: Callable[[Command, Reality], Outcome] = outcome) -> Self:
        """Answer every outstanding command of an order once."""
        for command in self.outstanding(order_id):
            self.when(how(command, self.reality))
        return self

    def finish(self, order_id: str = "o1") -> Self:
        """Answer well until the order has ended."""
        for _ in range(20):
            if self.order(order_id).ended:
                return self
            self.answer(order_id=order_id)
        raise AssertionError(f"order {order_id} did not end")

    def until(self, kind: type[Command], order_id: str = "o1") -> Command:
        """Answer well until a command of this kind is outstanding."""
        for _ in range(20):
            found = [command for command in self.outstanding(order_id) if isinstance(command, kind)]
            if found:
                return found[0]
            self.answer(order_id=order_id)
        raise AssertionError(f"no {kind.__name__} came")

    def pass_time(self, seconds: float) -> Self:
        """Let time pass, and hand in every moment that has come."""
        self.now += timedelta(seconds=seconds)
        orders = [state for state in self.states.values() if isinstance(state, OrderState)]
        due = [moment for state in orders for when, moment in moments(state) if when <= self.now]
        due += [moment for state in orders for moment in answers_due(state, self.now)]
        found: list[Message] = []
        for moment in due:
            self.when(moment)
            found += self.last
        self.last = found
        return self

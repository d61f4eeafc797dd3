"""Given, when, then over the saga's decisions, and an executor of plain values that answers commands."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from orchestrator.domain.facts import RetryScheduled
from orchestrator.domain.order import OrderState
from orchestrator.domain.policies import Policy
from orchestrator.domain.saga import Input, RetryDue, decide
from orchestrator.domain.world import (
    Change,
    State,
    environment_stream,
    evolve,
    initial,
    order_stream,
)
from stagewright.clock import parse_rfc3339, rfc3339
from stagewright.contracts.base import Message
from stagewright.contracts.commands import (
    AllocateResources,
    Command,
    ConfigureEnvironment,
    CreateVariables,
    DeployService,
    InspectEnvironment,
    UpdateRoutes,
)
from stagewright.contracts.events import (
    CommandFailed,
    EnvironmentConfigured,
    EnvironmentInspected,
    InspectedService,
    Outcome,
    ResourcesAllocated,
    RoutesUpdated,
    ServiceDeployed,
    VariablesCreated,
)
from stagewright.contracts.orders import Order, OrderReceived
from stagewright.contracts.work import DnsRecord, SecretRef, ServiceSecrets
from stagewright.errors import ErrorInfo

START = datetime(2026, 1, 1, tzinfo=UTC)


def an_order(environment: str = "3", **changes: Any) -> Order:
    """An order of two APIs and a front; `changes` replace fields of services: `s6={"path": …}`."""
    services = {
        "s6": {"id": "6", "path": "/core", "type": "node", "roles": ["auth"]},
        "s7": {"id": "7", "path": "/", "type": "node"},
        "s8": {"id": "8", "path": "/", "type": "angular"},
    }
    for name, change in changes.items():
        services[name] |= change
    for service in services.values():
        service.setdefault("repository", {"url": f"https://git.example.com/{service['id']}"})
    return Order.model_validate(
        {
            "action": "update",
            "environment_id": environment,
            "api": {
                "domains": [f"api-{environment}.example.com"],
                "services": [services["s6"], services["s7"]],
            },
            "front": {"domains": [f"www-{environment}.example.com"], "services": [services["s8"]]},
        }
    )


def received(order_id: str = "o1", order: Order | None = None) -> OrderReceived:
    """The message that brings an order in."""
    return OrderReceived(
        order_id=order_id,
        order=order or an_order(),
        digest=hashlib.sha256(order_id.encode()).hexdigest(),
        received_at=rfc3339(START),
    )


def commit_of(service: str, generation: int = 1) -> str:
    """A commit hash that is the same every time."""
    return hashlib.sha1(f"{service}-{generation}".encode()).hexdigest()


@dataclass
class Reality:
    """What the plain executor finds: commits by service, and what runs."""

    generation: dict[str, int] = field(default_factory=dict)
    running: dict[str, str] = field(default_factory=dict)

    def commit(self, service: str) -> str:
        """What the service's repository resolves to now."""
        return commit_of(service, self.generation.get(service, 1))


def outcome(command: Command, reality: Reality) -> Outcome:
    """The answer of an executor with whom everything goes well."""
    base: dict[str, Any] = {
        "command_id": command.command_id,
        "order_id": command.order_id,
        "environment": command.environment,
        "stage": command.stage,
        "attempt": command.attempt,
        "started_at": rfc3339(START),
        "finished_at": rfc3339(START),
    }
    match command:
        case InspectEnvironment():
            seen = tuple(
                InspectedService(service=s.id, commit=reality.commit(s.id), running=reality.running.get(s.id))
                for s in command.services
            )
            return EnvironmentInspected(**base, services=seen)
        case ConfigureEnvironment():
            records = tuple(DnsRecord(name=name, type="A", value="127.0.0.1") for name in command.domains)
            return EnvironmentConfigured(**base, records=records)
        case AllocateResources():
            return ResourcesAllocated(**base, allocations=command.allocations)
        case CreateVariables():
            return VariablesCreated(**base, services=tuple(_secrets(command, s.id) for s in command.services))
        case DeployService():
            reality.running[command.service.id] = command.commit
            return ServiceDeployed(**base, service=command.service.id, commit=command.commit, health="ready")
        case UpdateRoutes():
            return RoutesUpdated(**base, routes=command.routes)
    raise AssertionError(f"no answer for {type(command).__name__}")


def _secrets(command: CreateVariables, service: str) -> ServiceSecrets:
    path = f"environments/{command.environment}/services/{service}/DB_PASSWORD"
    return ServiceSecrets(service=service, secrets=(SecretRef(name="DB_PASSWORD", path=path, version=1),))


def failure(
    command: Command, *, kind: str = "retryable", code: str = "test.failed", resource: str = "x"
) -> Outcome:
    """The answer of an executor with whom it goes badly."""
    return CommandFailed(
        command_id=command.command_id,
        order_id=command.order_id,
        environment=command.environment,
        stage=command.stage,
        attempt=command.attempt,
        started_at=rfc3339(START),
        finished_at=rfc3339(START),
        service=command.target,
        error=ErrorInfo(kind=kind, code=code, resource=resource, reason="it broke.", remedy="Mend it."),
    )


class Saga:
    """A world of plain values. `when` decides and stores; what was decided is in `last`."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy or Policy(max_attempts=3)
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

    def environment(self, name: str = "3") -> Any:
        """An environment's state."""
        return self.state(environment_stream(name))

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
        """Let time pass, and hand in every retry that has become due."""
        self.now += timedelta(seconds=seconds)
        scheduled = [change.event for change in self.log if isinstance(change.event, RetryScheduled)]
        self.last = []
        for entry in scheduled:
            if parse_rfc3339(entry.due) <= self.now:
                before = self.last
                self.when(RetryDue(entry.order_id, entry.stage, entry.service))
                self.last = before + self.last
        return self

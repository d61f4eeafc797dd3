"""The order that brings an environment back to where an earlier order left it, read off the log. Pure."""

from collections.abc import Iterable

from orchestrator.domain import environment as environments
from orchestrator.domain.environment import DeployedService, EnvironmentState
from orchestrator.domain.facts import EnvironmentReleased
from orchestrator.store.codec import Recorded
from stagewright.contracts.orders import (
    Block,
    BlockName,
    Order,
    Repository,
    SecretPin,
    ServicePins,
    ServiceSpec,
)
from stagewright.errors import Terminal


def left_by(history: Iterable[Recorded], order_id: str) -> EnvironmentState | None:
    """The environment as the order left it, when it had it last; None where it never had it."""
    state, found = environments.initial_state(), None
    for row in history:
        state = environments.evolve(state, row.event, row.at)
        if isinstance(row.event, EnvironmentReleased) and row.event.order_id == order_id:
            found = state
    return found


def compiled(past: EnvironmentState, order_id: str) -> Order:
    """An order of action `rollback`: exact commits, paths, domains, and versions of secrets.

    Raises:
        Terminal: `rollback.nothing_there`, where the order left no services.
    """
    blocks = {name: _block(past, name) for name in ("api", "front")}
    if not all(blocks.values()):
        raise Terminal(
            "rollback.nothing_there",
            order_id,
            "the order left no complete environment behind.",
            "Roll back to an order that deployed services, or submit an update or drop.",
        )
    return Order(
        action="rollback",
        environment_id=past.environment,
        to=order_id,
        api=blocks["api"],
        front=blocks["front"],
        pins=tuple(_pins(past, name) for name in sorted(past.services) if past.secrets.get(name)),
    )


def _block(past: EnvironmentState, name: BlockName) -> Block | None:
    found = [entry for _, entry in sorted(past.services.items()) if entry.service.block == name]
    if not found:
        return None
    return Block(domains=found[0].domains, services=tuple(_spec(entry) for entry in found))


def _spec(entry: DeployedService) -> ServiceSpec:
    service = entry.service
    return ServiceSpec(
        id=service.id,
        path=service.path,
        repository=Repository(url=service.repository.url, version=entry.commit),
        roles=service.roles,
        variables=service.variables,
        type=service.type,
    )


def _pins(past: EnvironmentState, service: str) -> ServicePins:
    pins = tuple(SecretPin(name=ref.name, version=ref.version) for ref in past.secrets[service])
    return ServicePins(service=service, secrets=pins)

"""What an outcome tells the environment's history, where it differs from what that knew."""

from collections.abc import Iterator

from orchestrator.domain import allocating, plan
from orchestrator.domain.environment import EnvironmentState
from orchestrator.domain.facts import (
    AllocationsReleased,
    DomainsRecorded,
    RecordsRemoved,
    RoutesRecorded,
    SecretsDeleted,
    SecretsRecorded,
    ServiceDropped,
    ServiceRecorded,
)
from orchestrator.domain.world import Draft, environment_stream
from stagewright.contracts.base import Message
from stagewright.contracts.commands import (
    Command,
    ConfigureEnvironment,
    DeconfigureEnvironment,
    DeleteVariables,
    DeployService,
    ReleaseResources,
    RemoveService,
)
from stagewright.contracts.events import (
    EnvironmentConfigured,
    EnvironmentDeconfigured,
    Outcome,
    ResourcesReleased,
    RoutesUpdated,
    ServiceDeployed,
    ServiceRemoved,
    VariablesCreated,
    VariablesDeleted,
)


def record(draft: Draft, command: Command, outcome: Outcome) -> None:
    """Add what follows to the environment's stream, and free the ports that nobody has any more."""
    stream = environment_stream(outcome.environment)
    for fact in _facts(draft, command, outcome):
        draft.add(stream, fact)
        if isinstance(fact, AllocationsReleased):
            for allocation in fact.allocations:
                allocating.release(draft, outcome.order_id, outcome.environment, allocation)


def _facts(draft: Draft, command: Command, outcome: Outcome) -> Iterator[Message]:
    known = draft.environment(outcome.environment)
    match command, outcome:
        case ConfigureEnvironment(), EnvironmentConfigured():
            if known.records != outcome.records or known.domains != command.domains:
                yield DomainsRecorded(
                    order_id=outcome.order_id, domains=command.domains, records=outcome.records
                )
        case DeployService(), ServiceDeployed():
            yield _service(command, outcome)
        case RemoveService(), ServiceRemoved():
            yield ServiceDropped(
                order_id=outcome.order_id,
                service=command.service.id,
                allocation=command.allocation,
                dump=outcome.dump,
            )
        case ReleaseResources(), ResourcesReleased():
            yield AllocationsReleased(order_id=outcome.order_id, allocations=command.allocations)
        case DeleteVariables(), VariablesDeleted():
            yield SecretsDeleted(order_id=outcome.order_id, paths=command.paths)
        case DeconfigureEnvironment(), EnvironmentDeconfigured():
            yield RecordsRemoved(order_id=outcome.order_id, records=command.records)
        case _:
            yield from _of_whole_environment(known, outcome)


def _of_whole_environment(known: EnvironmentState, outcome: Outcome) -> Iterator[Message]:
    match outcome:
        case VariablesCreated():
            news = tuple(
                entry for entry in outcome.services if known.secrets.get(entry.service) != entry.secrets
            )
            if news:
                yield SecretsRecorded(order_id=outcome.order_id, services=news)
        case RoutesUpdated():
            if (known.routes, known.maintenance) != (outcome.routes, outcome.maintenance):
                yield RoutesRecorded(
                    order_id=outcome.order_id, routes=outcome.routes, maintenance=outcome.maintenance
                )


def _service(command: DeployService, outcome: ServiceDeployed) -> ServiceRecorded:
    return ServiceRecorded(
        order_id=outcome.order_id,
        service=command.service,
        commit=outcome.commit,
        health=outcome.health,
        domains=command.domains,
        allocation=command.allocation,
        peers=plan.told(command.discovery),
    )

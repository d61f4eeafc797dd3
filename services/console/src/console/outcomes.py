"""What an executor found or changed, in few words."""

from stagewright.contracts.events import (
    EnvironmentConfigured,
    EnvironmentDeconfigured,
    EnvironmentInspected,
    Outcome,
    ResourcesAllocated,
    ResourcesReleased,
    RoutesUpdated,
    ServiceDeployed,
    ServiceRemoved,
    VariablesCreated,
    VariablesDeleted,
)


def found(outcome: Outcome) -> str:
    """One line; what can be counted is counted."""
    match outcome:
        case EnvironmentInspected():
            seen = ", ".join(f"{each.service} at {each.commit[:10]}" for each in outcome.services)
            return seen or "there was nothing to look up"
        case ServiceDeployed():
            return f"{outcome.health} at {outcome.commit[:10]}, {_changes(len(outcome.changed))}"
        case RoutesUpdated():
            kept = ", maintenance page" if outcome.maintenance else ""
            return f"{len(outcome.routes)} routes{kept}, {'written' if outcome.changed else 'unchanged'}"
        case EnvironmentConfigured():
            return f"{len(outcome.records)} records, {_changes(len(outcome.changed))}"
        case ResourcesAllocated():
            return f"{len(outcome.allocations)} allocations, {_changes(len(outcome.changed))}"
        case VariablesCreated():
            count = sum(len(service.secrets) for service in outcome.services)
            return f"{count} secrets, {_changes(len(outcome.changed))}"
        case ServiceRemoved():
            dump = f"; its database was dumped to {outcome.dump}" if outcome.dump else ""
            return f"{'gone' if outcome.changed else 'was gone already'}{dump}"
        case _:
            return _taken_away(outcome)


def _taken_away(outcome: Outcome) -> str:
    match outcome:
        case ResourcesReleased():
            return f"released, {', '.join(outcome.changed) or 'nothing was left'}"
        case VariablesDeleted():
            return f"{len(outcome.changed)} secrets deleted, their versions can be restored"
        case EnvironmentDeconfigured():
            return f"records removed: {', '.join(outcome.changed) or 'none was left'}"
        case _:
            return "done"


def _changes(count: int) -> str:
    return f"{count} changed" if count else "unchanged"

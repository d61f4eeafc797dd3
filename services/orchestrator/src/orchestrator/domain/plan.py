"""The plan: one pure function of the order, the environment's state and the observed facts."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from orchestrator.domain.environment import DeployedService, EnvironmentState, Peers
from orchestrator.domain.plan_environment import Fields, block_domains, environment_decision
from stagewright.contracts.events import EnvironmentInspected
from stagewright.contracts.order_events import Decision, EnvironmentDecision
from stagewright.contracts.orders import BlockName, Order, ServiceSpec
from stagewright.contracts.work import Allocation, Deployable, Location
from stagewright.errors import Terminal


class Seen(NamedTuple):
    """What is known of a service beside what the log says: the commit that it resolves to, and what runs.

    A plan from the log alone has no commit where the order names one that nobody resolved, and takes what
    runs to be what was deployed.
    """

    commit: str | None
    running: str | None


class Plan(NamedTuple):
    """What an order would do, line by line."""

    environment: EnvironmentDecision
    services: tuple[Decision, ...]

    @property
    def changes(self) -> bool:
        """Whether it would do anything."""
        lines = (self.environment.decision, *(line.decision for line in self.services))
        return any(decision != "unchanged" for decision in lines)


def observed(inspected: EnvironmentInspected) -> Mapping[str, Seen]:
    """What an inspection saw, by service."""
    return {entry.service: Seen(entry.commit, entry.running) for entry in inspected.services}


def plan(
    order: Order, environment: EnvironmentState, seen: Mapping[str, Seen], servers: Mapping[str, str]
) -> Plan:
    """Decide for the environment, and for every service of it and of the order.

    Ordered services come first, in the order's own sequence, then those that are dropped, by id. `servers`
    are those that services may live on, and their addresses.

    Raises:
        Terminal: `service.unknown`: a redeploy names a service that does not run.
    """
    match order.action:
        case "drop":
            lines = tuple(
                _dropped(name, environment, "the environment is dropped") for name in _all(environment)
            )
        case "redeploy":
            lines = tuple(_redeployed(order, environment))
        case "maintenance":
            lines = tuple(_kept(environment.services[name]) for name in sorted(environment.services))
        case "update" | "rollback":
            lines = tuple(_updated(order, environment, seen, servers))
    return Plan(environment_decision(order, environment), lines)


def deployable(block: BlockName, spec: ServiceSpec) -> Deployable:
    """The order's words for a service, as executors get them."""
    return Deployable(
        id=spec.id,
        block=block,
        path=spec.path,
        type=spec.type,
        repository=spec.repository,
        roles=spec.roles,
        variables=spec.variables,
    )


def url(allocation: Allocation | None, servers: Mapping[str, str]) -> str:
    """Where services reach an API directly; empty where it has no place yet."""
    if allocation is None or allocation.port is None:
        return ""
    address = servers.get(allocation.server or "", allocation.server or "")
    return f"http://{address}:{allocation.port}"


def told(places: Iterable[Location]) -> Peers:
    """What a service knows of its peers, from what it is told."""
    return tuple(sorted((place.service, tuple(sorted(place.roles)), place.url) for place in places))


def peers(order: Order, environment: EnvironmentState, servers: Mapping[str, str]) -> Peers:
    """Which APIs with which roles every service of the order is told of, and where they are now."""
    apis = order.api.services if order.api else ()
    return told(
        Location(service=spec.id, roles=spec.roles, url=url(environment.allocations.get(spec.id), servers))
        for spec in apis
    )


def _all(environment: EnvironmentState) -> list[str]:
    left = {one.service.id for one in environment.leftovers}
    return sorted({*environment.services, *environment.allocations, *left})


def _updated(
    order: Order, environment: EnvironmentState, seen: Mapping[str, Seen], servers: Mapping[str, str]
) -> Iterator[Decision]:
    ordered = {spec.id for _, spec in order.services}
    for block, spec in order.services:
        deployed = environment.services.get(spec.id)
        wanted = deployable(block, spec)
        yield (
            _created(wanted, seen[spec.id])
            if deployed is None
            else _compared(order, wanted, environment, deployed, seen[spec.id], servers)
        )
    for name in _all(environment):
        if name not in ordered:
            yield _dropped(name, environment, "no longer in the order")


def _created(wanted: Deployable, seen: Seen) -> Decision:
    return Decision(
        service=wanted.id,
        decision="create",
        reasons=("not deployed in this environment",),
        commit=seen.commit,
        before={"commit": None},
        after={"commit": seen.commit},
    )


def _compared(
    order: Order,
    wanted: Deployable,
    environment: EnvironmentState,
    deployed: DeployedService,
    seen: Seen,
    servers: Mapping[str, str],
) -> Decision:
    had, pinned = _pinned(order, environment, wanted.id)
    before = _facts(deployed.service, deployed.commit, deployed.domains, deployed.peers) | had
    after = (
        _facts(wanted, seen.commit, block_domains(order, wanted.block), peers(order, environment, servers))
        | pinned
    )
    changed = [name for name in after if before[name] != after[name]]
    reasons = [f"{name} changes" for name in changed]
    if seen.running != deployed.commit:
        reasons.append(f"{_short(seen.running)} runs, not {_short(deployed.commit)} as recorded")
    home = environment.allocations.get(wanted.id)
    server = home.server if home else None
    homeless = server is not None and server not in servers
    if homeless:
        reasons.append(f"server {server} is not in the settings any more")
    replaced = homeless or "type" in changed
    return Decision(
        service=wanted.id,
        decision="replace" if replaced else "update" if reasons else "unchanged",
        reasons=tuple(reasons) or ("same as deployed",),
        commit=seen.commit,
        before={name: before[name] for name in changed},
        after={name: after[name] for name in changed},
    )


def _pinned(order: Order, environment: EnvironmentState, service: str) -> tuple[Fields, Fields]:
    """The versions of secrets, before and after, that a rollback goes back to."""
    pins = next((entry.secrets for entry in order.pins if entry.service == service), ())
    versions = {ref.name: ref.version for ref in environment.secrets.get(service, ())}
    before = {pin.name: versions.get(pin.name) for pin in pins}
    after = {pin.name: pin.version for pin in pins}
    return ({"secrets": _words(before)}, {"secrets": _words(after)}) if pins else ({}, {})


def _words(versions: Mapping[str, int | None]) -> str:
    return " ".join(f"{name}@{version or 'none'}" for name, version in sorted(versions.items()))


def _dropped(name: str, environment: EnvironmentState, reason: str) -> Decision:
    deployed = environment.services.get(name)
    commit = deployed.commit if deployed else None
    return Decision(
        service=name,
        decision="drop",
        reasons=(reason,),
        commit=None,
        before={"commit": commit},
        after={"commit": None},
    )


def _redeployed(order: Order, environment: EnvironmentState) -> Iterator[Decision]:
    unknown = [name for name in order.service_ids if name not in environment.services]
    if unknown:
        raise Terminal(
            "service.unknown",
            f"environments[{order.environment}].services",
            f"{', '.join(unknown)} does not run there.",
            f"Name some of {', '.join(sorted(environment.services)) or 'those that an update deployed'}.",
        )
    for name, deployed in sorted(environment.services.items()):
        if name in order.service_ids:
            yield _again(deployed)
        else:
            yield _kept(deployed)


def _again(deployed: DeployedService) -> Decision:
    return Decision(
        service=deployed.service.id,
        decision="update",
        reasons=("a redeploy was asked for",),
        commit=deployed.commit,
    )


def _kept(deployed: DeployedService) -> Decision:
    return Decision(
        service=deployed.service.id,
        decision="unchanged",
        reasons=("same as deployed",),
        commit=deployed.commit,
    )


def _facts(service: Deployable, commit: str | None, domains: tuple[str, ...], known: Peers) -> Fields:
    return {
        "commit": commit,
        "repository": service.repository.url,
        "path": service.path,
        "type": service.type,
        "roles": " ".join(sorted(service.roles)),
        "variables": " ".join(sorted(service.variables)),
        "domains": " ".join(sorted(domains)),
        "peers": " ".join(f"{name}:{','.join(roles)}@{place}" for name, roles, place in known),
    }


def _short(commit: str | None) -> str:
    return commit[:12] if commit else "nothing"

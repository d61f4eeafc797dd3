"""The plan: one pure function of the order, the environment's state and the observed facts."""

from orchestrator.domain.environment import DeployedService, EnvironmentState, Peers
from stagewright.contracts.events import Decision, EnvironmentInspected, InspectedService
from stagewright.contracts.orders import BlockName, Order, ServiceSpec
from stagewright.contracts.work import Deployable


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


def peers(order: Order) -> Peers:
    """Which APIs with which roles every service of the order is told of."""
    return tuple(sorted((spec.id, tuple(sorted(spec.roles))) for spec in order.api.services))


def block_domains(order: Order, block: BlockName) -> tuple[str, ...]:
    """The domains that a block answers on."""
    return order.api.domains if block == "api" else order.front.domains


def plan(
    order: Order, environment: EnvironmentState, inspected: EnvironmentInspected
) -> tuple[Decision, ...]:
    """Decide for every service of the order, in the order's own sequence."""
    found = {entry.service: entry for entry in inspected.services}
    return tuple(
        _decide(order, deployable(block, spec), environment.services.get(spec.id), found[spec.id])
        for block, spec in order.services
    )


def _decide(
    order: Order, wanted: Deployable, deployed: DeployedService | None, seen: InspectedService
) -> Decision:
    if deployed is None:
        return Decision(
            service=wanted.id,
            decision="create",
            reasons=("not deployed in this environment",),
            commit=seen.commit,
            before={"commit": None},
            after={"commit": seen.commit},
        )
    before = _facts(deployed.service, deployed.commit, deployed.domains, deployed.peers)
    after = _facts(wanted, seen.commit, block_domains(order, wanted.block), peers(order))
    changed = [name for name in after if before[name] != after[name]]
    reasons = [f"{name} changes" for name in changed]
    if seen.running != deployed.commit:
        reasons.append(f"{_short(seen.running)} runs, not {_short(deployed.commit)} as recorded")
    return Decision(
        service=wanted.id,
        decision="update" if reasons else "unchanged",
        reasons=tuple(reasons) or ("same as deployed",),
        commit=seen.commit,
        before={name: before[name] for name in changed},
        after={name: after[name] for name in changed},
    )


def _facts(service: Deployable, commit: str, domains: tuple[str, ...], told: Peers) -> dict[str, str | None]:
    return {
        "commit": commit,
        "repository": service.repository.url,
        "path": service.path,
        "type": service.type,
        "roles": " ".join(sorted(service.roles)),
        "variables": " ".join(sorted(service.variables)),
        "domains": " ".join(sorted(domains)),
        "peers": " ".join(f"{name}:{','.join(roles)}" for name, roles in told),
    }


def _short(commit: str | None) -> str:
    return commit[:12] if commit else "nothing"

"""The plan's line for the environment itself: its domains, its routes, and what is still to be taken away."""

from orchestrator.domain.environment import EnvironmentState
from stagewright.contracts.order_events import EnvironmentDecision
from stagewright.contracts.orders import BlockName, Order

Fields = dict[str, str | None]


def block_domains(order: Order, name: BlockName) -> tuple[str, ...]:
    """The domains that a block answers on."""
    return next((block.domains for side, block in order.blocks() if side == name), ())


def environment_decision(order: Order, environment: EnvironmentState) -> EnvironmentDecision:
    """What becomes of the environment itself, with the fields that change."""
    if order.action == "drop":
        if environment.empty:
            return EnvironmentDecision(decision="unchanged", reasons=("nothing is there",))
        return EnvironmentDecision(
            decision="drop",
            reasons=("the environment is dropped",),
            before={"domains": " ".join(sorted(environment.domains))},
            after={"domains": None},
        )
    before, after = _settled(order, environment)
    changed = [name for name in after if before[name] != after[name]]
    known = bool(environment.domains or environment.services)
    reasons = [f"{name} changes" for name in changed] if known else ["nothing is deployed there yet"]
    return EnvironmentDecision(
        decision="unchanged" if not changed else "update" if known else "create",
        reasons=tuple(reasons) if changed else ("same as configured",),
        before={name: before[name] for name in changed},
        after={name: after[name] for name in changed},
    )


def _settled(order: Order, environment: EnvironmentState) -> tuple[Fields, Fields]:
    """What the environment itself is, and will be."""
    if order.action == "maintenance":
        return {"maintenance": _switch(environment.maintenance)}, {"maintenance": _switch(order.maintenance)}
    if not order.domains:
        return {}, {}
    before = {
        "domains": " ".join(sorted(environment.domains)) or None,
        "routes": _lines({(route.domain, route.path, route.service) for route in environment.routes}),
        "left behind": _left_behind(environment),
    }
    after = {
        "domains": " ".join(sorted(order.domains)),
        "routes": _lines(_wanted_routes(order)),
        "left behind": None,
    }
    return before, after


def _wanted_routes(order: Order) -> set[tuple[str, str, str]]:
    return {
        (domain, spec.path, spec.id)
        for block, spec in order.services
        for domain in block_domains(order, block)
    }


def _lines(routes: set[tuple[str, str, str]]) -> str | None:
    return " ".join(f"{domain}{path}:{service}" for domain, path, service in sorted(routes)) or None


def _left_behind(environment: EnvironmentState) -> str | None:
    """What earlier orders left to be taken away: places of services, allocations, secrets, records."""
    found = {
        *(f"service {one.service.id}" for one in environment.leftovers),
        *(f"place {one.service}" for one in environment.freed),
        *environment.old_secrets,
        *(record.name for record in environment.old_records),
    }
    return ", ".join(sorted(found)) or None


def _switch(on: bool | None) -> str:
    return "on" if on else "off"

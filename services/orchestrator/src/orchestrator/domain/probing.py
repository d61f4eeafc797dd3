"""Patient services: what was up but incomplete when its order ended is asked again until it is ready."""

from datetime import timedelta

from orchestrator.domain.facts import ProbeScheduled
from orchestrator.domain.policies import PATIENCE, Policy, retry_at
from orchestrator.domain.world import Draft, environment_stream, order_stream
from stagewright.clock import parse_rfc3339, rfc3339
from stagewright.contracts.base import Stage
from stagewright.contracts.commands import ProbeServices
from stagewright.contracts.events import Outcome, ServicesProbed
from stagewright.contracts.order_events import HealthObserved
from stagewright.contracts.work import Deployed
from stagewright.ids import command_id, derived_id

_TIMEOUT = 60.0


def watch(draft: Draft, order_id: str, policy: Policy, *, attempt: int = 1) -> None:
    """Ask later, while there is anything to ask and the rule has not run out; never beside another order."""
    name = draft.order(order_id).wanted.environment
    known = draft.environment(name)
    if known.owner is not None or known.last_order != order_id:
        return
    if not _incomplete(draft, name) or attempt > policy.probe.max_attempts:
        return
    due = retry_at(policy.probe, derived_id("probe", order_id, attempt), attempt, draft.now, None)
    draft.add(order_stream(order_id), ProbeScheduled(order_id=order_id, attempt=attempt, due=rfc3339(due)))


def _incomplete(draft: Draft, environment: str) -> tuple[Deployed, ...]:
    known = draft.environment(environment)
    return tuple(
        Deployed(service=name, commit=entry.commit, allocation=known.allocations[name])
        for name, entry in known.services.items()
        if entry.health == "incomplete" and name in known.allocations
    )


def probe(draft: Draft, order_id: str) -> None:
    """Ask incomplete services again, also where none is left: the answer ends the watch."""
    state = draft.order(order_id)
    if state.probe is None or parse_rfc3339(state.probe.due) > draft.now:
        return
    name, attempt = state.wanted.environment, state.probe.attempt
    command = ProbeServices(
        command_id=command_id(order_id, Stage.PROBE_SERVICES, None, attempt),
        order_id=order_id,
        environment=name,
        attempt=attempt,
        timeout=_TIMEOUT,
        due=rfc3339(draft.now + timedelta(seconds=_TIMEOUT + PATIENCE)),
        services=_incomplete(draft, name),
    )
    draft.add(order_stream(order_id), command)


def probed(draft: Draft, outcome: Outcome, policy: Policy) -> None:
    """Keep what was seen, and ask again where something is incomplete still."""
    name = outcome.environment
    for seen in outcome.services if isinstance(outcome, ServicesProbed) else ():
        before = draft.environment(name).services.get(seen.service)
        if before is not None and before.health != seen.health:
            event = HealthObserved(
                order_id=outcome.order_id, environment=name, service=seen.service, health=seen.health
            )
            draft.add(environment_stream(name), event)
            draft.add(order_stream(outcome.order_id), event)
    watch(draft, outcome.order_id, policy, attempt=outcome.attempt + 1)

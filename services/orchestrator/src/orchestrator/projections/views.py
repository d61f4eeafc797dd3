"""From folded states to what queries answer. Pure."""

from orchestrator.domain import plan
from orchestrator.domain.environment import DeployedService, EnvironmentState
from orchestrator.domain.order import OrderState, StageState
from stagewright.contracts.base import STAGES, Stage
from stagewright.contracts.orders import OrderedService
from stagewright.contracts.queries import (
    EnvironmentServiceView,
    EnvironmentView,
    OrderStatus,
    OrderView,
    ServiceOutcomeView,
    StageStatus,
    StageView,
)
from stagewright.contracts.work import Allocation


def service_url(domains: tuple[str, ...], path: str, https_port: int) -> str | None:
    """Where people find a service: the first domain of its block, and its path."""
    if not domains:
        return None
    port = "" if https_port == 443 else f":{https_port}"
    return f"https://{domains[0]}{port}{path}"


def status_of(state: OrderState) -> OrderStatus:
    """The order's status; only a known order has a view."""
    if state.status == "unknown":
        raise LookupError("an order that was never received has no status")
    return state.status


def order_view(state: OrderState, https_port: int) -> OrderView:
    """What `orders show` says. `queue_position` depends on the environment and is filled in by the query."""
    order = state.wanted
    return OrderView(
        order_id=state.order_id,
        environment_id=order.environment,
        action=order.action,
        status=status_of(state),
        description=order.description,
        received_at=state.received_at,
        finished_at=state.finished_at,
        error=state.error,
        stages=tuple(_stage_view(state, stage) for stage in STAGES),
        services=tuple(_service_outcome(state, service, https_port) for service in order.services),
        plan=state.decisions,
    )


def _stage_view(state: OrderState, stage: Stage) -> StageView:
    entry = state.stages.get(stage, StageState())
    return StageView(
        stage=stage,
        status=_stage_status(state, stage, entry),
        attempts=entry.attempts,
        started_at=entry.started_at,
        finished_at=entry.finished_at,
        error=entry.error,
    )


def _stage_status(state: OrderState, stage: Stage, entry: StageState) -> StageStatus:
    reached = state.stage is not None and STAGES.index(stage) <= STAGES.index(state.stage)
    if not reached:
        return "pending"
    if stage is not state.stage or state.status == "succeeded":
        return "succeeded"
    if any(command.stage is stage for command in state.outstanding.values()):
        return "running"
    if state.error is not None:
        return "failed"
    return "retrying" if state.retries else "running"


def _service_outcome(state: OrderState, service: OrderedService, https_port: int) -> ServiceOutcomeView:
    block, spec = service
    line = next((line for line in state.decisions if line.service == spec.id), None)
    return ServiceOutcomeView(
        id=spec.id,
        decision=line.decision if line else None,
        commit=line.commit if line else None,
        url=service_url(plan.block_domains(state.wanted, block), spec.path, https_port),
        health=state.health.get(spec.id),
    )


def environment_view(state: EnvironmentState, https_port: int) -> EnvironmentView:
    """What `environments show` says."""
    return EnvironmentView(
        environment_id=state.environment,
        domains=state.domains,
        records=state.records,
        services=tuple(
            _service_view(state, entry, https_port) for _, entry in sorted(state.services.items())
        ),
        routes=state.routes,
        active_order=state.owner,
        last_order=state.last_order,
    )


def _service_view(state: EnvironmentState, entry: DeployedService, https_port: int) -> EnvironmentServiceView:
    name = entry.service.id
    home = state.allocations.get(name, Allocation(service=name))
    return EnvironmentServiceView(
        id=name,
        type=entry.service.type,
        path=entry.service.path,
        block=entry.service.block,
        url=service_url(entry.domains, entry.service.path, https_port),
        server=home.server,
        port=home.port,
        bucket=home.bucket,
        prefix=home.prefix,
        database=home.database,
        commit=entry.commit,
        health=entry.health,
        secrets=state.secrets.get(name, ()),
        order_id=entry.order_id,
    )

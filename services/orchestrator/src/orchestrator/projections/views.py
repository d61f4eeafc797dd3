"""From folded states to what queries answer. Pure."""

from collections.abc import Iterator

from orchestrator.domain.environment import DeployedService, EnvironmentState
from orchestrator.domain.order import OrderState, StageState, status_of
from orchestrator.domain.plan_environment import block_domains
from orchestrator.domain.stages import PIPELINES
from stagewright.contracts.base import CLEANING, STAGES, Stage
from stagewright.contracts.orders import OrderedService
from stagewright.contracts.queries import (
    ApprovalView,
    EnvironmentServiceView,
    EnvironmentView,
    OrderView,
    ServiceOutcomeView,
    StageStatus,
    StageView,
)


def service_url(domains: tuple[str, ...], path: str, https_port: int) -> str | None:
    """Where people find a service: the first domain of its block, and its path."""
    if not domains:
        return None
    port = "" if https_port == 443 else f":{https_port}"
    return f"https://{domains[0]}{port}{path}"


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
        submitted_by=state.submitted_by,
        purpose=state.purpose,
        on_failure=order.on_failure,
        approval=_approval(state),
        cancelled_by=state.cancelled.by if state.cancelled else None,
        reverted=state.reverted,
        error=state.error or state.undoing,
        stages=(*_stages(state), *_reversed(state)),
        services=tuple(_outcomes(state, https_port)),
        plan=state.decisions,
        environment_plan=state.environment_decision,
        revision=state.plan.revision if state.plan else None,
    )


def _approval(state: OrderState) -> ApprovalView | None:
    if state.approval is None:
        return None
    return ApprovalView(due=state.approval.due, approved_by=state.approved_by)


def _stages(state: OrderState) -> Iterator[StageView]:
    """The stages of the order's action; those that clean up only where they had something to do."""
    for stage in PIPELINES[state.wanted.action]:
        if stage in state.stages or stage not in CLEANING:
            entry = state.stages.get(stage, StageState())
            yield _stage_view(stage, entry, _stage_status(state, stage, entry))


def _reversed(state: OrderState) -> Iterator[StageView]:
    for stage, entry in state.undo.items():
        out = any(command.undo and command.stage is stage for command in state.outstanding.values())
        status: StageStatus = "running" if out else "succeeded"
        if entry.error is not None and not out:
            status = "failed" if state.ended else "retrying"
        yield _stage_view(stage, entry, status).model_copy(update={"undo": True})


def _stage_view(stage: Stage, entry: StageState, status: StageStatus) -> StageView:
    return StageView(
        stage=stage,
        status=status,
        attempts=entry.attempts,
        started_at=entry.started_at,
        finished_at=entry.finished_at,
        error=entry.error,
    )


def _stage_status(state: OrderState, stage: Stage, entry: StageState) -> StageStatus:
    over = state.ended or state.undoing is not None
    reached = state.stage is not None and STAGES.index(stage) <= STAGES.index(state.stage)
    if entry.attempts == 0:
        return "skipped" if reached else "pending"
    if not reached:
        return "pending"
    if stage is not state.stage or state.status == "succeeded":
        return "succeeded"
    if any(command.stage is stage and not command.undo for command in state.outstanding.values()):
        return "running"
    if entry.error is not None and (over or state.error is not None):
        return "failed"
    if state.retries and not over:
        return "retrying"
    return "succeeded" if entry.finished_at else "running"


def _outcomes(state: OrderState, https_port: int) -> Iterator[ServiceOutcomeView]:
    """Services of the order, and those that its plan is about besides."""
    ordered = {spec.id for _, spec in state.wanted.services}
    for service in state.wanted.services:
        yield _service_outcome(state, service, https_port)
    for line in state.decisions:
        if line.service not in ordered:
            health = None if line.decision == "drop" else state.health.get(line.service)
            yield ServiceOutcomeView(
                id=line.service, decision=line.decision, commit=line.commit, health=health
            )


def _service_outcome(state: OrderState, service: OrderedService, https_port: int) -> ServiceOutcomeView:
    block, spec = service
    line = next((line for line in state.decisions if line.service == spec.id), None)
    return ServiceOutcomeView(
        id=spec.id,
        decision=line.decision if line else None,
        commit=line.commit if line else None,
        # What was reversed is not served where it was to be.
        url=None
        if state.reverted
        else service_url(block_domains(state.wanted, block), spec.path, https_port),
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
        queue=state.queue,
        last_order=state.last_order,
        maintenance=state.maintenance,
        revision=state.revision,
    )


def _service_view(state: EnvironmentState, entry: DeployedService, https_port: int) -> EnvironmentServiceView:
    name = entry.service.id
    home = entry.allocation
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

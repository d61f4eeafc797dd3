"""What the stand-in of `console_backend` says and shows: messages and views of an order of three services."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from stagewright.clock import rfc3339, utc_now
from stagewright.contracts.base import CLEANING, STAGES, Message, Stage
from stagewright.contracts.events import (
    EnvironmentConfigured,
    EnvironmentDeconfigured,
    EnvironmentInspected,
    InspectedService,
    ResourcesAllocated,
    ResourcesReleased,
    RoutesUpdated,
    ServiceDeployed,
    ServiceRemoved,
    VariablesCreated,
    VariablesDeleted,
)
from stagewright.contracts.order_events import (
    Decision,
    EndStatus,
    EnvironmentDecision,
    OrderEnded,
    OrderPlanned,
)
from stagewright.contracts.queries import (
    ApprovalView,
    AttemptView,
    EnvironmentServiceView,
    EnvironmentView,
    OrderView,
    PlanLine,
    PlanView,
    ServiceOutcomeView,
    StageView,
)
from stagewright.errors import ErrorInfo
from stagewright.ids import command_id

COMMIT, EARLIER = "a" * 40, "b" * 40
AT = "2026-11-23T10:00:00.000000Z"
DUE = "2026-11-24T10:00:00.000000Z"
RUN = "ansible-playbook -i /srv/runs/o1/inventory /srv/runs/o1/deploy.yml"
BROKEN = ErrorInfo(
    kind="terminal",
    code="repository.ref_not_found",
    resource="services[7].repository",
    reason="the repository has no branch nowhere.",
    remedy="Write a branch that it has.",
)
DENIED = ErrorInfo(
    kind="terminal",
    code="approval.rejected",
    resource="orders[it]",
    reason="the plan was rejected.",
    remedy="Talk to the approver.",
)
STUCK = ErrorInfo(
    kind="terminal",
    code="proxy.unreachable",
    resource="proxy",
    reason="the proxy does not answer.",
    remedy="Start the proxy and put the routes of environment 3 back.",
)
PIPELINES: dict[str, tuple[Stage, ...]] = {
    "drop": tuple(stage for stage in STAGES if stage in CLEANING | {Stage.INSPECT, Stage.UPDATE_ROUTES}),
    "redeploy": (Stage.INSPECT, Stage.DEPLOY_SERVICES),
    "maintenance": (Stage.INSPECT, Stage.UPDATE_ROUTES),
}
USUAL = tuple(stage for stage in STAGES if stage not in CLEANING)


@dataclass
class Running:
    """One order, and the plan that it is carried out by. `scenario` is its description."""

    order_id: str
    order: dict[str, Any]
    by: str
    purpose: str = "apply"
    status: str = "running"
    error: ErrorInfo | None = None
    finished_at: str | None = None
    approved_by: str | None = None
    cancelled_by: str | None = None
    reverted: bool = False
    retried: int = 0
    ready: bool = True
    attempts: list[AttemptView] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def scenario(self) -> str:
        return str(self.order.get("description") or "")

    @property
    def action(self) -> str:
        return str(self.order.get("action") or "update")

    @property
    def stages(self) -> tuple[Stage, ...]:
        return PIPELINES.get(self.action, USUAL)

    def outcome(self, stage: Stage, service: str | None = None) -> dict[str, Any]:
        attempt = self.retried + 1
        return {
            "command_id": command_id(self.order_id, stage, service, attempt),
            "order_id": self.order_id,
            "environment": "3",
            "stage": stage,
            "attempt": attempt,
            "started_at": now(),
            "finished_at": now(),
            "executor": "executor-1",
        }

    def planned(self) -> OrderPlanned:
        whole, lines = decisions(self.action, self.scenario)
        return OrderPlanned(
            order_id=self.order_id,
            environment="3",
            decisions=lines,
            environment_decision=whole,
            revision=4,
        )

    def ended(self, status: EndStatus, error: ErrorInfo | None = None) -> OrderEnded:
        """The end, which is noted here too."""
        self.status, self.error, self.finished_at = status, error, now()
        return OrderEnded(
            order_id=self.order_id,
            environment="3",
            status=status,
            error=error,
            reverted=self.reverted,
            finished_at=self.finished_at,
        )

    def done(self, stage: Stage) -> Message:
        """The answer to the one command of a stage."""
        fields = self.outcome(stage)
        match stage:
            case Stage.INSPECT:
                found = tuple(InspectedService(service=s, commit=COMMIT) for s in "678")
                return EnvironmentInspected(**fields, services=found)
            case Stage.CONFIGURE_ENVIRONMENT:
                return EnvironmentConfigured(**fields, records=())
            case Stage.ALLOCATE_RESOURCES:
                return ResourcesAllocated(**fields, allocations=())
            case Stage.CREATE_VARIABLES:
                return VariablesCreated(**fields, services=())
            case Stage.UPDATE_ROUTES:
                kept = self.order.get("maintenance") is True
                return RoutesUpdated(**fields, routes=(), maintenance=kept, changed=True)
            case Stage.REMOVE_SERVICES:
                return ServiceRemoved(**fields, service="7", dump="/srv/dumps/env_3_7.dump", changed=("x",))
            case Stage.RELEASE_RESOURCES:
                return ResourcesReleased(**fields, changed=("bucket:stagewright-3",))
            case Stage.DELETE_VARIABLES:
                return VariablesDeleted(**fields, changed=("environments/3/services/7/DB_PASSWORD",))
            case _:
                return EnvironmentDeconfigured(**fields, changed=("manager-api.lab.makeitsaas.com",))

    def deployed(self, service: str) -> ServiceDeployed:
        waits = self.scenario in {"incomplete", "never"} and service == "7"
        return ServiceDeployed(
            **self.outcome(Stage.DEPLOY_SERVICES, service),
            service=service,
            commit=COMMIT,
            health="incomplete" if waits else "ready",
            changed=("Start the process",),
        )

    def view(self) -> OrderView:
        whole, lines = decisions(self.action, self.scenario)
        approval = None
        if self.scenario == "approve":
            approval = ApprovalView(due=DUE, approved_by=self.approved_by)
        stages = [StageView(stage=stage, status="pending", attempts=0) for stage in self.stages]
        if self.scenario in {"revert", "stuck"} and self.finished_at:
            undone = "failed" if self.scenario == "stuck" else "succeeded"
            stages.append(StageView(stage=Stage.UPDATE_ROUTES, status=undone, attempts=1, undo=True))
        return OrderView(
            order_id=self.order_id,
            environment_id="3",
            action=self.action,
            status=self.status,
            received_at=AT,
            finished_at=self.finished_at,
            queue_position=2 if self.status == "received" else None,
            submitted_by=self.by,
            purpose=self.purpose,
            on_failure="keep",
            approval=approval,
            cancelled_by=self.cancelled_by,
            reverted=self.reverted,
            error=self.error,
            stages=tuple(stages),
            services=tuple(
                ServiceOutcomeView(
                    id=line.service, decision=line.decision, commit=line.commit, health="ready"
                )
                for line in lines
            ),
            plan=lines,
            environment_plan=whole,
            revision=4,
        )

    def plan_view(self, *, offline: bool = False) -> PlanView:
        whole, lines = decisions(self.action, self.scenario)
        basis = "believed" if offline else "verified"
        return PlanView(
            plan_id=None if offline else self.order_id,
            environment_id="3",
            action=self.action,
            revision=4,
            environment=whole,
            services=tuple(PlanLine(**dict(line), basis=basis, as_of=AT) for line in lines),
            changes=self.scenario != "same",
        )


def decisions(action: str, scenario: str) -> tuple[EnvironmentDecision, tuple[Decision, ...]]:
    """A plan with every kind of line; one without changes; one that drops everything."""
    if scenario == "same":
        same = (_decision(service, "unchanged", "same as deployed") for service in "678")
        return EnvironmentDecision(decision="unchanged", reasons=("same as configured",)), tuple(same)
    if action == "drop":
        gone = (_decision(service, "drop", "the environment is dropped", {}) for service in "678")
        whole = EnvironmentDecision(decision="drop", reasons=("the environment is dropped",))
        return whole, tuple(gone)
    whole = EnvironmentDecision(
        decision="update",
        reasons=("domains changes",),
        before={"domains": "a.example.com"},
        after={"domains": "a.example.com b.example.com"},
    )
    return whole, (
        _decision("6", "create", "not deployed in this environment", {"commit": (None, COMMIT)}),
        _decision("7", "update", "commit changes", {"commit": (EARLIER, COMMIT), "path": ("/", "/v2")}),
        _decision("8", "unchanged", "same as deployed"),
        _decision("9", "replace", "type changes", {"type": ("node", "python")}),
        _decision("10", "drop", "no longer in the order", {"commit": (EARLIER, None)}),
    )


def _decision(
    service: str, decision: Any, reason: str, changes: dict[str, tuple[str | None, str | None]] | None = None
) -> Decision:
    changes = changes or {}
    return Decision(
        service=service,
        decision=decision,
        reasons=(reason,),
        commit=None if decision == "drop" else COMMIT,
        before={name: before for name, (before, _) in changes.items()},
        after={name: after for name, (_, after) in changes.items()},
    )


def environment_view(*, ready: bool, owner: str | None, last: str | None) -> EnvironmentView:
    """Environment 3, whose service 7 may be incomplete."""
    services = tuple(
        EnvironmentServiceView(
            id=name,
            type="node",
            path="/",
            block="api",
            commit=COMMIT,
            health="ready" if ready or name != "7" else "incomplete",
        )
        for name in ("6", "7", "8", "9")
    )
    return EnvironmentView(
        environment_id="3",
        domains=("manager-api.lab.makeitsaas.com",),
        services=services,
        active_order=owner,
        queue=("later",),
        last_order=last,
        maintenance=True,
        revision=4,
    )


def now() -> str:
    return rfc3339(utc_now())

"""One full sample of every query and view, for the golden files under `tests/contract/golden`."""

from pydantic import BaseModel

from stagewright.contracts import queries as q
from stagewright.contracts.base import Stage
from stagewright.contracts.orders import Order
from tests.support.contract_samples import (
    COMMIT,
    DECISION,
    EARLY,
    ENVIRONMENT_DECISION,
    ERROR,
    FIELD_ERROR,
    LATE,
    RECEIPT,
    RECORD,
    RERUN,
    ROLLBACK,
    ROUTES,
    SECRET,
)

DROP = Order(action="drop", environment_id="3", dump=False)
PLAN = q.PlanView(
    plan_id="plan-1",
    environment_id="3",
    action="update",
    revision=4,
    environment=ENVIRONMENT_DECISION,
    services=(q.PlanLine(**DECISION.model_dump(), basis="verified", as_of=EARLY),),
    changes=True,
)
_SUMMARY = q.OrderSummary(
    order_id="order-1",
    environment_id="3",
    action="update",
    status="failed",
    received_at=EARLY,
    finished_at=LATE,
)
_STAGE = q.StageView(
    stage=Stage.INSPECT,
    status="failed",
    attempts=2,
    started_at=EARLY,
    finished_at=LATE,
    error=ERROR,
    undo=True,
)
_ATTEMPT = q.AttemptView(
    stage=Stage.DEPLOY_SERVICES,
    service="6",
    attempt=2,
    undo=True,
    started_at=EARLY,
    finished_at=LATE,
    executor="executor-1",
    error=ERROR,
    run=RERUN,
)
_SERVICE = q.EnvironmentServiceView(
    id="6",
    type="node",
    path="/core",
    block="api",
    url="https://api.example.com/core",
    server="local",
    port=3000,
    bucket="stagewright-3",
    prefix="8",
    database="env_3_6",
    commit=COMMIT,
    health="ready",
    secrets=(SECRET,),
    order_id="order-1",
)


def _orders() -> tuple[BaseModel, ...]:
    outcome = q.ServiceOutcomeView(
        id="6", decision="update", commit=COMMIT, url="https://api.example.com/core", health="ready"
    )
    event = q.StoredEventView(
        position=7, stream="order-1", version=1, type="OrderAccepted", recorded_at=EARLY, body={"key": 1}
    )
    return (
        q.OrderView(
            **_SUMMARY.model_dump(),
            description="the first one",
            queue_position=1,
            waits_for="o-0",
            submitted_by="ann",
            purpose="apply",
            on_failure="revert",
            approval=q.ApprovalView(due=LATE, approved_by="ben"),
            cancelled_by="cleo",
            reverted=True,
            error=ERROR,
            stages=(_STAGE,),
            services=(outcome,),
            plan=(DECISION,),
            environment_plan=ENVIRONMENT_DECISION,
            revision=4,
        ),
        q.AttemptList(attempts=(_ATTEMPT,)),
        q.OrderList(orders=(_SUMMARY,), next="order-0"),
        q.EventList(events=(event,)),
        q.ReceiptList(receipts=(RECEIPT,)),
        q.RollbackOrder(order=ROLLBACK),
    )


def _others() -> tuple[BaseModel, ...]:
    return (
        q.EnvironmentView(
            environment_id="3",
            domains=("api.example.com",),
            records=(RECORD,),
            services=(_SERVICE,),
            routes=ROUTES,
            active_order="order-2",
            queue=("order-3",),
            last_order="order-1",
            maintenance=True,
            revision=4,
        ),
        PLAN,
        q.PlanReply(status="planned", order_id="plan-1", receipt=RECEIPT, errors=(FIELD_ERROR,), plan=PLAN),
        q.Probe(status="degraded", position=7, detail="behind"),
        q.QueryError(error=ERROR),
    )


def _queries() -> tuple[BaseModel, ...]:
    return (
        q.OrderQuery(order_id="order-1"),
        q.OrderListQuery(environment_id="3", status="running", purpose="plan", before="order-9", limit=10),
        q.EnvironmentQuery(environment_id="3"),
        q.PlanQuery(plan_id="plan-1", order=DROP),
        q.RollbackQuery(environment_id="3", to="order-0"),
        q.ReceiptsQuery(order_ids=("order-1", "order-2")),
    )


VIEWS: tuple[BaseModel, ...] = (*_queries(), *_orders(), *_others())

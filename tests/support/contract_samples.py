"""One full sample of every message, for the golden files under `tests/contract/golden`."""

from pathlib import Path
from uuid import UUID

from pydantic import BaseModel

from stagewright.contracts import commands as c
from stagewright.contracts import events as e
from stagewright.contracts import queries as q
from stagewright.contracts.base import Stage
from stagewright.contracts.logs import TaskLog
from stagewright.contracts.orders import FieldError, Order, OrderReceived, Receipt, Repository, SubmitReply
from stagewright.contracts.work import (
    Allocation,
    Deployable,
    Deployed,
    DnsRecord,
    Location,
    Route,
    SecretRef,
    ServiceSecrets,
)
from stagewright.errors import ErrorInfo

EARLY, LATE = "2026-11-23T10:00:00.000000Z", "2026-11-23T10:00:01.500000Z"
COMMIT, OLDER = "a" * 40, "b" * 40
ID = UUID("0190a1b2-0000-7000-8000-000000000001")

_repository = {"url": "https://github.com/example/core", "version": "v1.10"}
ORDER = Order.model_validate(
    {
        "action": "update",
        "environment_id": "3",
        "order_id": "order-1",
        "description": "the first one",
        "api": {
            "domains": ["api.example.com"],
            "services": [
                {
                    "id": "6",
                    "path": "/core",
                    "repository": _repository,
                    "roles": ["auth"],
                    "variables": ["SMTP_PASSWORD"],
                    "type": "node",
                }
            ],
        },
        "front": {
            "domains": ["www.example.com"],
            "services": [
                {
                    "id": "8",
                    "path": "/",
                    "repository": {"url": "git@example.com:front.git"},
                    "type": "angular",
                }
            ],
        },
    }
)
ERROR = ErrorInfo(
    kind="retryable",
    code="repository.unreachable",
    resource="services[6].repository",
    reason="the host does not answer.",
    remedy="Check the network of the executor.",
    retry_after=5,
)
API = Allocation(service="6", server="local", port=3000, database="env_3_6")
FRONT = Allocation(service="8", bucket="stagewright-3", prefix="8")
DEPLOYABLE = Deployable(
    id="6",
    block="api",
    path="/core",
    type="node",
    repository=Repository.model_validate(_repository),
    roles=("auth",),
    variables=("SMTP_PASSWORD",),
)
SECRET = SecretRef(name="DB_PASSWORD", path="environments/3/6/DB_PASSWORD", version=1)
ROUTES = (
    Route(domain="api.example.com", path="/core", service="6", server="local", port=3000),
    Route(domain="www.example.com", path="/", service="8", bucket="stagewright-3", prefix="8"),
)
RECORD = DnsRecord(name="api.example.com", type="A", value="127.0.0.1")
RECEIPT = Receipt(order_id="order-1", digest=ORDER.digest(), received_at=EARLY)
DECISION = e.Decision(
    service="6",
    decision="update",
    reasons=("the commit changed",),
    commit=COMMIT,
    before={"commit": OLDER, "port": None},
    after={"commit": COMMIT, "port": "3000"},
)

_command = {"command_id": ID, "order_id": "order-1", "environment": "3", "attempt": 2, "timeout": 60.0}


def _outcome(stage: Stage) -> dict[str, object]:
    return {
        "command_id": ID,
        "order_id": "order-1",
        "environment": "3",
        "stage": stage,
        "attempt": 2,
        "started_at": EARLY,
        "finished_at": LATE,
    }


def _commands() -> tuple[BaseModel, ...]:
    deployed = Deployed(service="6", commit=OLDER, allocation=API)
    location = Location(service="6", roles=("auth",), url="http://127.0.0.1:3000")
    return (
        c.InspectEnvironment(**_command, services=(DEPLOYABLE,), deployed=(deployed,)),
        c.ConfigureEnvironment(**_command, domains=("api.example.com",)),
        c.AllocateResources(**_command, allocations=(API, FRONT)),
        c.CreateVariables(**_command, services=(DEPLOYABLE,), allocations=(API,)),
        c.DeployService(
            **_command,
            service=DEPLOYABLE,
            commit=COMMIT,
            allocation=API,
            secrets=(SECRET,),
            discovery=(location,),
            domains=("api.example.com",),
        ),
        c.UpdateRoutes(**_command, routes=ROUTES),
    )


def _outcomes() -> tuple[BaseModel, ...]:
    inspected = e.InspectedService(service="6", commit=COMMIT, running=OLDER, health="ready")
    secrets = ServiceSecrets(service="6", secrets=(SECRET,))
    return (
        e.EnvironmentInspected(
            **_outcome(Stage.INSPECT), services=(inspected,), occupied_ports=(("local", 3001),)
        ),
        e.EnvironmentConfigured(
            **_outcome(Stage.CONFIGURE_ENVIRONMENT), records=(RECORD,), changed=(RECORD.name,)
        ),
        e.ResourcesAllocated(
            **_outcome(Stage.ALLOCATE_RESOURCES), allocations=(API, FRONT), changed=("bucket:stagewright-3",)
        ),
        e.VariablesCreated(**_outcome(Stage.CREATE_VARIABLES), services=(secrets,), changed=(SECRET.path,)),
        e.ServiceDeployed(
            **_outcome(Stage.DEPLOY_SERVICES),
            service="6",
            commit=COMMIT,
            health="incomplete",
            changed=("install",),
        ),
        e.RoutesUpdated(**_outcome(Stage.UPDATE_ROUTES), routes=ROUTES, changed=True),
        e.CommandFailed(**_outcome(Stage.DEPLOY_SERVICES), service="6", error=ERROR),
    )


def _orders() -> tuple[BaseModel, ...]:
    error = FieldError(code="field.missing", field="api.services[0].path", message="is missing. Add it.")
    return (
        OrderReceived(order_id="order-1", order=ORDER, digest=RECEIPT.digest, received_at=EARLY),
        SubmitReply(status="rejected", order_id="order-1", receipt=RECEIPT, errors=(error,)),
        e.OrderPlanned(order_id="order-1", environment="3", decisions=(DECISION,)),
        e.OrderEnded(order_id="order-1", environment="3", status="failed", error=ERROR, finished_at=LATE),
        TaskLog(
            order_id="order-1",
            environment="3",
            stage=Stage.DEPLOY_SERVICES,
            service="6",
            attempt=2,
            task="install dependencies",
            status="changed",
            at=EARLY,
            duration_s=1.5,
            detail="12 packages",
        ),
    )


def _views() -> tuple[BaseModel, ...]:
    stage = q.StageView(
        stage=Stage.INSPECT, status="failed", attempts=2, started_at=EARLY, finished_at=LATE, error=ERROR
    )
    outcome = q.ServiceOutcomeView(
        id="6", decision="update", commit=COMMIT, url="https://api.example.com/core", health="ready"
    )
    summary = q.OrderSummary(
        order_id="order-1",
        environment_id="3",
        action="update",
        status="failed",
        received_at=EARLY,
        finished_at=LATE,
    )
    service = q.EnvironmentServiceView(
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
    event = q.StoredEventView(
        position=7, stream="order-1", version=1, type="OrderAccepted", recorded_at=EARLY, body={"key": 1}
    )
    return (
        q.OrderView(
            **summary.model_dump(),
            description="the first one",
            queue_position=1,
            error=ERROR,
            stages=(stage,),
            services=(outcome,),
            plan=(DECISION,),
        ),
        q.OrderList(orders=(summary,), next="order-0"),
        q.EventList(events=(event,)),
        q.EnvironmentView(
            environment_id="3",
            domains=("api.example.com",),
            records=(RECORD,),
            services=(service,),
            routes=ROUTES,
            active_order="order-2",
            last_order="order-1",
        ),
        q.ReceiptList(receipts=(RECEIPT,)),
        q.Probe(status="degraded", position=7, detail="behind"),
        q.QueryError(error=ERROR),
    )


def _queries() -> tuple[BaseModel, ...]:
    return (
        q.OrderQuery(order_id="order-1"),
        q.OrderListQuery(environment_id="3", status="running", before="order-9", limit=10),
        q.EnvironmentQuery(environment_id="3"),
        q.ReceiptsQuery(order_ids=("order-1", "order-2")),
    )


SAMPLES: tuple[BaseModel, ...] = (
    ORDER,
    *_orders(),
    *_commands(),
    *_outcomes(),
    *_queries(),
    *_views(),
)
GOLDEN = Path(__file__).parents[1] / "contract" / "golden"

"""One full sample of every message, for the golden files under `tests/contract/golden`.

The queries and their views are in `contract_views`, what only the log knows in `contract_facts`.
"""

from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from stagewright.contracts import commands as c
from stagewright.contracts import events as e
from stagewright.contracts import order_events as o
from stagewright.contracts.base import Stage
from stagewright.contracts.control import ControlReply, ControlRequest
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
    ServiceHealth,
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
ROLLBACK = Order.model_validate(
    {
        **ORDER.model_dump(mode="json"),
        "action": "rollback",
        "to": "order-0",
        "pins": [{"service": "6", "secrets": [{"name": "DB_PASSWORD", "version": 2}]}],
        "require_approval": True,
        "on_failure": "revert",
        "timeouts": {"deploy_services": 600, "update_routes": 2.5},
        "plan_id": "plan-1",
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
SECRETS = ServiceSecrets(service="6", secrets=(SECRET,))
RECORD = DnsRecord(name="api.example.com", type="A", value="127.0.0.1")
FIELD_ERROR = FieldError(code="field.missing", field="api.services[0].path", message="is missing. Add it.")
RECEIPT = Receipt(order_id="order-1", digest=ORDER.digest(), received_at=EARLY)
DECISION = o.Decision(
    service="6",
    decision="update",
    reasons=("the commit changed",),
    commit=COMMIT,
    before={"commit": OLDER, "port": None},
    after={"commit": COMMIT, "port": "3000"},
)

ENVIRONMENT_DECISION = o.EnvironmentDecision(
    decision="update",
    reasons=("a domain is new",),
    before={"domains": "api.example.com"},
    after={"domains": "api.example.com www.example.com"},
)
RERUN = "cd /tmp/runs/1 && ansible-playbook deploy.yml"

_command: dict[str, Any] = {
    "command_id": ID,
    "order_id": "order-1",
    "environment": "3",
    "attempt": 2,
    "timeout": 60.0,
    "due": LATE,
    "undo": True,
}
_order = {"order_id": "order-1", "environment": "3"}


def _outcome(stage: Stage) -> dict[str, Any]:
    return {
        "command_id": ID,
        "order_id": "order-1",
        "environment": "3",
        "stage": stage,
        "attempt": 2,
        "started_at": EARLY,
        "finished_at": LATE,
        "executor": "executor-1",
        "fence": 7,
    }


def _commands() -> tuple[BaseModel, ...]:
    deployed = Deployed(service="6", commit=OLDER, allocation=API)
    location = Location(service="6", roles=("auth",), url="http://127.0.0.1:3000")
    return (
        c.InspectEnvironment(**_command, services=(DEPLOYABLE,), deployed=(deployed,)),
        c.ConfigureEnvironment(**_command, domains=("api.example.com",)),
        c.AllocateResources(**_command, allocations=(API, FRONT)),
        c.CreateVariables(**_command, services=(DEPLOYABLE,), allocations=(API,), pins=(SECRETS,)),
        c.DeployService(
            **_command,
            service=DEPLOYABLE,
            commit=COMMIT,
            allocation=API,
            secrets=(SECRET,),
            discovery=(location,),
            domains=("api.example.com",),
            restart=True,
        ),
        c.UpdateRoutes(**_command, routes=ROUTES, maintenance=True),
        c.RemoveService(**_command, service=DEPLOYABLE, allocation=API, dump=False),
        c.ReleaseResources(**_command, allocations=(API, FRONT), buckets=("stagewright-3",)),
        c.DeleteVariables(**_command, paths=(SECRET.path,)),
        c.DeconfigureEnvironment(**_command, records=(RECORD,)),
        c.ProbeServices(**_command, services=(deployed,)),
    )


def _outcomes() -> tuple[BaseModel, ...]:
    inspected = e.InspectedService(service="6", commit=COMMIT, running=OLDER, health="ready")
    removed = _outcome(Stage.REMOVE_SERVICES)
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
        e.VariablesCreated(**_outcome(Stage.CREATE_VARIABLES), services=(SECRETS,), changed=(SECRET.path,)),
        e.ServiceDeployed(
            **_outcome(Stage.DEPLOY_SERVICES),
            service="6",
            commit=COMMIT,
            health="incomplete",
            changed=("install",),
            run=RERUN,
        ),
        e.RoutesUpdated(**_outcome(Stage.UPDATE_ROUTES), routes=ROUTES, maintenance=True, changed=True),
        e.ServiceRemoved(**removed, service="6", dump="s3://dumps/3/6.sql", changed=("stop",), run=RERUN),
        e.ResourcesReleased(**_outcome(Stage.RELEASE_RESOURCES), changed=("bucket:stagewright-3",)),
        e.VariablesDeleted(**_outcome(Stage.DELETE_VARIABLES), changed=(SECRET.path,)),
        e.EnvironmentDeconfigured(**_outcome(Stage.DECONFIGURE_ENVIRONMENT), changed=(RECORD.name,)),
        e.ServicesProbed(
            **_outcome(Stage.PROBE_SERVICES), services=(ServiceHealth(service="6", health="ready"),)
        ),
        e.CommandFailed(**_outcome(Stage.DEPLOY_SERVICES), service="6", error=ERROR, run=RERUN),
    )


def _orders() -> tuple[BaseModel, ...]:
    return (
        OrderReceived(
            order_id="order-1",
            order=ORDER,
            digest=RECEIPT.digest,
            received_at=EARLY,
            submitted_by="ann",
            purpose="plan",
        ),
        SubmitReply(status="rejected", order_id="order-1", receipt=RECEIPT, errors=(FIELD_ERROR,)),
        ControlRequest(order_id="order-1", by="ben", why="too late", service="6"),
        ControlReply(status="refused", order_id="order-1", error=ERROR),
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


def _order_events() -> tuple[BaseModel, ...]:
    return (
        o.OrderPlanned(
            **_order, decisions=(DECISION,), environment_decision=ENVIRONMENT_DECISION, revision=4
        ),
        o.ApprovalRequested(**_order, due=LATE),
        o.OrderApproved(**_order, by="ben"),
        o.OrderCancelled(**_order, by="ben", why="too late"),
        o.OrderPaused(**_order, by="ben"),
        o.OrderResumed(**_order, by="ben"),
        o.OrderRetried(**_order, by="ben", services=("6",)),
        o.ReversalBegun(**_order, error=ERROR),
        o.HealthObserved(**_order, service="6", health="ready"),
        o.CommandsWithdrawn(**_order, commands=(ID,)),
        o.OrderEnded(**_order, status="failed", error=ERROR, reverted=True, finished_at=LATE),
    )


MESSAGES: tuple[BaseModel, ...] = (ROLLBACK, *_orders(), *_order_events(), *_commands(), *_outcomes())
GOLDEN = Path(__file__).parents[1] / "contract" / "golden"

"""One full sample of every fact that only the log knows, for the golden files under `golden/facts`."""

from orchestrator.domain import facts as f
from stagewright.contracts.base import Message, Stage
from tests.support.contract_samples import (
    API,
    COMMIT,
    DEPLOYABLE,
    ERROR,
    FRONT,
    ID,
    LATE,
    RECORD,
    ROUTES,
    SECRET,
    SECRETS,
)

_order = {"order_id": "order-1"}
_claim = {"environment": "3", "order_id": "order-1"}
_port = {"server": "local", "port": 3000, "order_id": "order-1"}


def _of_orders() -> tuple[Message, ...]:
    return (
        f.RetryScheduled(
            **_order,
            stage=Stage.DEPLOY_SERVICES,
            service="6",
            attempt=2,
            due=LATE,
            error=ERROR,
            undo=True,
        ),
        f.PieceGivenUp(**_order, stage=Stage.DEPLOY_SERVICES, service="6", error=ERROR, undo=True),
        f.CommandOverdue(**_order, command_id=ID),
        f.ReplyRefused(
            **_order,
            command_id=ID,
            stage=Stage.DEPLOY_SERVICES,
            attempt=2,
            executor="executor-1",
            fence=7,
            reason="the command was withdrawn",
        ),
        f.ProbeScheduled(**_order, attempt=2, due=LATE),
    )


def _of_environments() -> tuple[Message, ...]:
    return (
        f.EnvironmentClaimed(**_claim),
        f.OrderQueued(**_claim),
        f.OrderDequeued(**_claim),
        f.EnvironmentReleased(**_claim),
        f.DomainsRecorded(**_order, domains=("api.example.com",), records=(RECORD,)),
        f.RecordsRemoved(**_order, records=(RECORD,)),
        f.AllocationsRecorded(**_order, allocations=(API, FRONT), tenants=(DEPLOYABLE,)),
        f.AllocationsReleased(**_order, allocations=(API, FRONT)),
        f.SecretsRecorded(**_order, services=(SECRETS,)),
        f.SecretsDeleted(**_order, paths=(SECRET.path,)),
        f.ServiceRecorded(
            **_order,
            service=DEPLOYABLE,
            commit=COMMIT,
            health="ready",
            domains=("api.example.com",),
            allocation=API,
            peers=(("7", ("auth",), "http://10.0.0.11:3001"),),
        ),
        f.ServiceDropped(**_order, service="6", allocation=API, dump="s3://dumps/3/6.sql"),
        f.RoutesRecorded(**_order, routes=ROUTES, maintenance=True),
    )


def _of_servers() -> tuple[Message, ...]:
    return (
        f.PortLeased(**_port, environment="3", service="6"),
        f.PortReleased(**_port),
        f.PortOccupied(**_port),
    )


FACTS: tuple[Message, ...] = (*_of_orders(), *_of_environments(), *_of_servers())

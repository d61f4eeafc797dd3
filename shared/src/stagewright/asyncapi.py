"""`python -m stagewright.asyncapi` prints the AsyncAPI 3.0 document of everything that travels, as JSON.

Made from the topology and the contract classes. FastStream's own generator knows neither requests with
replies nor subjects with parameters nor headers, which are most of this contract.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from stagewright import __version__
from stagewright.contracts import events as e
from stagewright.contracts import order_events as o
from stagewright.contracts import queries as q
from stagewright.contracts.base import Message, Stage
from stagewright.contracts.commands import ALL_COMMANDS
from stagewright.contracts.control import VERBS, ControlReply, ControlRequest, control_subject
from stagewright.contracts.logs import TaskLog
from stagewright.contracts.orders import OFFLINE_HEADER, SUBMITTER_HEADER, Order, OrderReceived, SubmitReply
from stagewright.messaging import topology

OUTCOMES: Mapping[Stage, type[e.Outcome]] = {
    Stage.INSPECT: e.EnvironmentInspected,
    Stage.CONFIGURE_ENVIRONMENT: e.EnvironmentConfigured,
    Stage.ALLOCATE_RESOURCES: e.ResourcesAllocated,
    Stage.CREATE_VARIABLES: e.VariablesCreated,
    Stage.DEPLOY_SERVICES: e.ServiceDeployed,
    Stage.UPDATE_ROUTES: e.RoutesUpdated,
    Stage.REMOVE_SERVICES: e.ServiceRemoved,
    Stage.RELEASE_RESOURCES: e.ResourcesReleased,
    Stage.DELETE_VARIABLES: e.VariablesDeleted,
    Stage.DECONFIGURE_ENVIRONMENT: e.EnvironmentDeconfigured,
    Stage.PROBE_SERVICES: e.ServicesProbed,
}
"""The event that answers a stage's command; `CommandFailed` is the other answer of each."""

QUERIES: Mapping[str, tuple[type[BaseModel] | None, tuple[type[BaseModel], ...]]] = {
    "queries.orders.list": (q.OrderListQuery, (q.OrderList,)),
    "queries.orders.show": (q.OrderQuery, (q.OrderView, q.QueryError)),
    "queries.orders.events": (q.OrderQuery, (q.EventList, q.QueryError)),
    "queries.orders.attempts": (q.OrderQuery, (q.AttemptList, q.QueryError)),
    "queries.orders.rollback": (q.RollbackQuery, (q.RollbackOrder, q.QueryError)),
    "queries.orders.receipts": (q.ReceiptsQuery, (q.ReceiptList,)),
    "queries.plans.show": (q.PlanQuery, (q.PlanView, q.QueryError)),
    "queries.plans.believed": (q.PlanQuery, (q.PlanView, q.QueryError)),
    "queries.environments.show": (q.EnvironmentQuery, (q.EnvironmentView, q.QueryError)),
    "queries.system.health": (None, (q.Probe,)),
}
"""Body and replies of every query; None for an empty body."""

_PARAMETERS = {
    "environment": "an environment's id",
    "order": "an order's id",
    "stage": f"one of {', '.join(Stage)}",
}
_HEADERS = {
    "Nats-Msg-Id": "the message's id; publishing it again stores nothing",
    "ce-specversion": "1.0",
    "ce-id": "the message's id",
    "ce-type": "the message's type",
    "ce-source": "the service that says it",
    "ce-time": "RFC 3339, UTC",
    "correlation-id": "the order's id",
    "causation-id": "the id of the message that this one follows from",
    "traceparent": "W3C trace context: one trace per order",
}
_REQUEST_HEADERS = {
    "Nats-Msg-Id": "the order's id, where the order names none; for a plan, the plan's",
    SUBMITTER_HEADER: "who sends it",
    OFFLINE_HEADER: "`true` asks `orders.plan` for a plan from the log alone",
}


@dataclass(frozen=True)
class Channel:
    """One subject: what travels on it, who sends, who receives, and for requests what is replied."""

    name: str
    address: str
    messages: tuple[type[BaseModel], ...]
    sender: str
    receiver: str
    stream: str | None = None
    replies: tuple[type[BaseModel], ...] = ()


def channels() -> Iterable[Channel]:
    """Every subject of the wire contract."""
    yield Channel("submit", topology.SUBMIT, (Order,), "console", "order-intake", replies=(SubmitReply,))
    yield Channel("plan", topology.PLAN, (Order,), "console", "order-intake", replies=(q.PlanReply,))
    received = topology.received_subject("{environment}")
    yield Channel("received", received, (OrderReceived,), "order-intake", "orchestrator", topology.ORDERS)
    for stage in Stage:
        yield from _stage_channels(stage)
    withdrawn = topology.withdrawal_subject("{environment}", "{order}")
    withdrawals = (o.CommandsWithdrawn,)
    yield Channel("withdrawals", withdrawn, withdrawals, "orchestrator", "executor", topology.WITHDRAWALS)
    yield Channel(
        "order_events",
        topology.event_subject(topology.ORDER_EVENTS_STAGE, "{environment}", "{order}"),
        o.ORDER_EVENTS,
        "orchestrator",
        "console",
        topology.EVENTS,
    )
    logs = topology.logs_subject("{environment}", "{order}", "{stage}")
    yield Channel("logs", logs, (TaskLog,), "executor", "console", topology.LOGS)
    yield from _request_channels()


def _request_channels() -> Iterable[Channel]:
    """What the orchestrator is asked, and told to do."""
    for verb in VERBS:
        subject, asked = control_subject(verb), (ControlRequest,)
        name = subject.replace(".", "_")
        yield Channel(name, subject, asked, "console", "orchestrator", replies=(ControlReply,))
    for subject, (body, replies) in QUERIES.items():
        name = subject.replace(".", "_")
        asker = "order-intake" if subject in topology.INTAKE.publish else "console"
        yield Channel(name, subject, (body,) if body else (), asker, "orchestrator", replies=replies)


def _stage_channels(stage: Stage) -> Iterable[Channel]:
    commands = tuple(command for command in ALL_COMMANDS if command.stage is stage)
    address = topology.command_subject(stage, "{environment}", "{order}")
    yield Channel(f"commands_{stage}", address, commands, "orchestrator", "executor", topology.COMMANDS)
    address = topology.event_subject(stage, "{environment}", "{order}")
    outcomes = (OUTCOMES[stage], e.CommandFailed)
    yield Channel(f"events_{stage}", address, outcomes, "executor", "orchestrator", topology.EVENTS)


def document() -> dict[str, Any]:
    """The whole document. Deterministic: the same code gives the same document."""
    found = list(channels())
    models = {model.__name__: model for channel in found for model in (*channel.messages, *channel.replies)}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Stagewright",
            "version": __version__,
            "description": "Takes a deployment order from a NATS subject to a running environment.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"bus": {"host": "127.0.0.1:4222", "protocol": "nats"}},
        "channels": dict(_channels(found)),
        "operations": dict(_operations(found)),
        "components": {
            "messages": {name: _message(model) for name, model in sorted(models.items())},
            "schemas": _schemas(models.values()),
        },
    }


def _channels(found: Iterable[Channel]) -> Iterable[tuple[str, dict[str, Any]]]:
    for channel in found:
        parameters = {name: {"description": _PARAMETERS[name]} for name in _names(channel.address)}
        yield (
            channel.name,
            {
                "address": channel.address,
                **({"parameters": parameters} if parameters else {}),
                **({"description": f"stream {channel.stream}"} if channel.stream else {}),
                "messages": _references(channel.messages),
            },
        )
        if channel.replies:
            described = "the inbox that the request names"
            messages = _references(channel.replies)
            yield f"{channel.name}_reply", {"address": None, "description": described, "messages": messages}


def _operations(found: Iterable[Channel]) -> Iterable[tuple[str, dict[str, Any]]]:
    for channel in found:
        for action, who in (("send", channel.sender), ("receive", channel.receiver)):
            reply = {"reply": {"channel": _ref("channels", f"{channel.name}_reply")}}
            yield (
                f"{who}.{action}.{channel.name}",
                {
                    "action": action,
                    "channel": _ref("channels", channel.name),
                    "tags": [{"name": who}],
                    **(reply if channel.replies else {}),
                },
            )


def _message(model: type[BaseModel]) -> dict[str, Any]:
    described = (model.__doc__ or "").strip().split("\n\n")[0]
    message = {
        "title": model.__name__,
        "summary": " ".join(described.split()),
        "payload": _ref("components", "schemas", model.__name__),
    }
    if issubclass(model, Message):
        message |= {"name": model.ce_type, "headers": _ref("components", "schemas", "Headers")}
    if model is Order:
        message |= {"headers": _ref("components", "schemas", "RequestHeaders")}
    return message


def _schemas(models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    modes = [(model, "validation") for model in models]
    _, schema = models_json_schema(
        modes,  # type: ignore[arg-type]  # the literal's type is lost in the list
        ref_template="#/components/schemas/{model}",
    )
    headers = {
        "Headers": _headers(
            "CloudEvents 1.0 in binary mode, correlation and trace", _HEADERS, sorted(_HEADERS)
        ),
        "RequestHeaders": _headers("of a submit or plan, none of them needed", _REQUEST_HEADERS, []),
    }
    return dict(sorted({**schema["$defs"], **headers}.items()))


def _headers(description: str, texts: Mapping[str, str], required: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "properties": {name: {"type": "string", "description": text} for name, text in texts.items()},
        "required": list(required),
    }


def _references(models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    return {model.__name__: _ref("components", "messages", model.__name__) for model in models}


def _ref(*path: str) -> dict[str, str]:
    return {"$ref": "#/" + "/".join(path)}


def _names(address: str) -> list[str]:
    return re.findall(r"{(\w+)}", address)


def render() -> str:
    """The document as it is checked in."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())

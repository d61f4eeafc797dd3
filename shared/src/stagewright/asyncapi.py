"""`python -m stagewright.asyncapi` prints the AsyncAPI 3.0 document of everything that travels, as JSON.

Made from the topology and the contract classes. FastStream's own generator knows neither requests with
replies nor subjects with parameters nor headers, which are most of this contract.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from stagewright import __version__
from stagewright.contracts.base import STAGES, Message, Stage
from stagewright.contracts.commands import ALL_COMMANDS
from stagewright.contracts.events import (
    ORDER_EVENTS,
    CommandFailed,
    EnvironmentConfigured,
    EnvironmentInspected,
    Outcome,
    ResourcesAllocated,
    RoutesUpdated,
    ServiceDeployed,
    VariablesCreated,
)
from stagewright.contracts.logs import TaskLog
from stagewright.contracts.orders import Order, OrderReceived, SubmitReply
from stagewright.contracts.queries import (
    EnvironmentQuery,
    EnvironmentView,
    EventList,
    OrderList,
    OrderListQuery,
    OrderQuery,
    OrderView,
    Probe,
    QueryError,
    ReceiptList,
    ReceiptsQuery,
)
from stagewright.messaging import topology

OUTCOMES: Mapping[Stage, type[Outcome]] = {
    Stage.INSPECT: EnvironmentInspected,
    Stage.CONFIGURE_ENVIRONMENT: EnvironmentConfigured,
    Stage.ALLOCATE_RESOURCES: ResourcesAllocated,
    Stage.CREATE_VARIABLES: VariablesCreated,
    Stage.DEPLOY_SERVICES: ServiceDeployed,
    Stage.UPDATE_ROUTES: RoutesUpdated,
}
"""The event that answers a stage's command; `CommandFailed` is the other answer of each."""

QUERIES: Mapping[str, tuple[type[BaseModel] | None, tuple[type[BaseModel], ...]]] = {
    "queries.orders.list": (OrderListQuery, (OrderList,)),
    "queries.orders.show": (OrderQuery, (OrderView, QueryError)),
    "queries.orders.events": (OrderQuery, (EventList, QueryError)),
    "queries.orders.receipts": (ReceiptsQuery, (ReceiptList,)),
    "queries.environments.show": (EnvironmentQuery, (EnvironmentView, QueryError)),
    "queries.system.health": (None, (Probe,)),
}
"""Body and replies of every query; None for an empty body."""

_PARAMETERS = {
    "environment": "an environment's id",
    "order": "an order's id",
    "stage": f"one of {', '.join(STAGES)}",
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
    received = topology.received_subject("{environment}")
    yield Channel("received", received, (OrderReceived,), "order-intake", "orchestrator", topology.ORDERS)
    for stage in STAGES:
        yield from _stage_channels(stage)
    yield Channel(
        "order_events",
        topology.event_subject(topology.ORDER_EVENTS_STAGE, "{environment}", "{order}"),
        ORDER_EVENTS,
        "orchestrator",
        "console",
        topology.EVENTS,
    )
    logs = topology.logs_subject("{environment}", "{order}", "{stage}")
    yield Channel("logs", logs, (TaskLog,), "executor", "console", topology.LOGS)
    for subject, (body, replies) in QUERIES.items():
        name = subject.replace(".", "_")
        asker = "order-intake" if body is ReceiptsQuery else "console"
        yield Channel(name, subject, (body,) if body else (), asker, "orchestrator", replies=replies)


def _stage_channels(stage: Stage) -> Iterable[Channel]:
    commands = tuple(command for command in ALL_COMMANDS if command.stage is stage)
    address = topology.command_subject(stage, "{environment}", "{order}")
    yield Channel(f"commands_{stage}", address, commands, "orchestrator", "executor", topology.COMMANDS)
    address = topology.event_subject(stage, "{environment}", "{order}")
    outcomes = (OUTCOMES[stage], CommandFailed)
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
    return message


def _schemas(models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    modes = [(model, "validation") for model in models]
    _, schema = models_json_schema(
        modes,  # type: ignore[arg-type]  # the literal's type is lost in the list
        ref_template="#/components/schemas/{model}",
    )
    headers = {
        "type": "object",
        "description": "CloudEvents 1.0 in binary mode, correlation and trace",
        "properties": {name: {"type": "string", "description": text} for name, text in _HEADERS.items()},
        "required": sorted(_HEADERS),
    }
    return dict(sorted({**schema["$defs"], "Headers": headers}.items()))


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

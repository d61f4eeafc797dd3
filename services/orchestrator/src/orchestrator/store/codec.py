"""Stored form of an event: a registered, stable type name and JSON. Never a class path.

The document is `{"at": …, "cause": …, "body": {…}}`: when it was recorded, the id of the message that it
follows from, and the event itself. A type name ends in its version; an upcaster turns an old version's body
into the next one's when it is read, and what is stored stays as it was written.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from orchestrator.domain.facts import ALL_FACTS
from stagewright.contracts.base import Message
from stagewright.contracts.commands import ALL_COMMANDS
from stagewright.contracts.events import ALL_OUTCOMES
from stagewright.contracts.order_events import ORDER_EVENTS
from stagewright.contracts.orders import OrderReceived

_STORED: tuple[type[Message], ...] = (
    OrderReceived,
    *ALL_COMMANDS,
    *ALL_OUTCOMES,
    *ORDER_EVENTS,
    *ALL_FACTS,
)
TYPES: Mapping[str, type[Message]] = {cls.ce_type: cls for cls in _STORED}

Body = dict[str, Any]
Upcaster = tuple[str, Callable[[Body], Body]]
UPCASTERS: Mapping[str, Upcaster] = {}
"""Old type name → (the name that it becomes, a pure function of the body)."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event with its place in the log: `position` in all, `version` in its stream (from 1)."""

    position: int
    stream: str
    version: int
    at: str
    cause: str
    event: Message


def encode(event: Message, at: str, cause: str) -> bytes:
    """The stored document of an event."""
    return b'{"at":%s,"cause":%s,"body":%s}' % (orjson.dumps(at), orjson.dumps(cause), event.to_json())


def decode(type_name: str, document: bytes) -> tuple[Message, str, str]:
    """The event, when it was recorded, and its cause.

    Raises:
        LookupError: no class is registered under the name, and no upcaster leads to one.
        pydantic.ValidationError: the body does not fit its class.
    """
    parts = orjson.loads(document)
    body = parts["body"]
    while type_name in UPCASTERS:
        type_name, upcast = UPCASTERS[type_name]
        body = upcast(body)
    cls = TYPES.get(type_name)
    if cls is None:
        raise LookupError(f"the log holds an event of type {type_name!r}, which this version does not know")
    return cls.model_validate(body), parts["at"], parts["cause"]

"""What arrives: bytes from the bus, turned into what the saga understands."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from nats.aio.msg import Msg
from pydantic import ValidationError

from orchestrator.domain.inputs import Input
from stagewright.contracts.base import Message
from stagewright.contracts.events import ALL_OUTCOMES, CommandFailed, Outcome
from stagewright.contracts.orders import OrderReceived
from stagewright.errors import ErrorInfo
from stagewright.messaging.envelope import header
from stagewright.messaging.tailing import Tailed

_READ: tuple[type[Message], ...] = (OrderReceived, *ALL_OUTCOMES)
_TYPES: Mapping[str, type[Message]] = {cls.ce_type: cls for cls in _READ}


@dataclass(frozen=True, slots=True)
class Arrived:
    """One message for the saga; `incarnation` and `sequence` are its place in its stream.

    A moment that has come has no source and no place. `done` is set when what somebody asked for is stored.
    """

    message: Input
    cause: str
    source: Msg | None = None
    incarnation: str = ""
    sequence: int = 0
    done: "asyncio.Future[None] | None" = None


def refused(outcome: Outcome, reason: str) -> CommandFailed:
    """What stands in for an outcome that the saga cannot decide on, so that its order ends and says why."""
    return CommandFailed(
        **outcome.model_dump(include=set(Outcome.model_fields)),
        error=ErrorInfo(
            kind="terminal",
            code="saga.undecidable",
            resource=str(outcome.stage),
            reason=f"The executor's {outcome.ce_type} does not fit what was asked ({reason}).",
            remedy="See that executors and orchestrator are of one version, then submit the order again.",
        ),
    )


def read(msg: Msg, tailed: Tailed) -> Arrived | str:
    """The message, or why it is none (for the dead letters; never with its content)."""
    name = header(msg.headers, "ce-type")
    cls = _TYPES.get(name or "")
    if cls is None:
        return f"unknown type {name!r}"
    try:
        message = cls.model_validate_json(msg.data)
    except ValidationError as error:
        return f"{name} does not fit its schema: {error.error_count()} errors"
    if not isinstance(message, (OrderReceived, Outcome)):
        return f"{name} is not for the saga"
    return Arrived(message, header(msg.headers, "ce-id") or "", msg, tailed.incarnation, tailed.last)

"""Control: what people ask of an order that is under way. Request and reply, on `control.orders.<verb>`."""

from typing import Literal

from stagewright.contracts.base import Contract
from stagewright.contracts.orders import Identifier, OrderId, Person, Text
from stagewright.errors import ErrorInfo

Verb = Literal["cancel", "pause", "resume", "retry", "approve", "reject"]
VERBS: tuple[Verb, ...] = ("cancel", "pause", "resume", "retry", "approve", "reject")


class ControlRequest(Contract):
    """Body of `control.orders.<verb>`; `service` is for `retry` alone. Asked twice it is done once."""

    order_id: OrderId
    by: Person
    why: Text | None = None
    service: Identifier | None = None


class ControlReply(Contract):
    """`done` when it is stored, also where it was so already; `refused` with the reason otherwise."""

    status: Literal["done", "refused"]
    order_id: str
    error: ErrorInfo | None = None


def control_subject(verb: Verb) -> str:
    """Where a request of this kind goes."""
    return f"control.orders.{verb}"

"""What becomes of submitted orders. Pure functions: receipts, ids and the time come from outside."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic_core import PydanticCustomError

from order_intake.errors import InvalidOrder
from order_intake.validation import read_order
from stagewright.contracts.order_rules import order_id as checked_order_id
from stagewright.contracts.orders import FieldError, Order, OrderReceived, Receipt, SubmitReply

ID_HEADER = "Nats-Msg-Id"


@dataclass(frozen=True, slots=True)
class Request:
    """One request to `orders.submit`. `message_id` is its `Nats-Msg-Id`; `reply` is where the answer goes."""

    body: bytes
    message_id: str | None = None
    reply: str | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """A verified order under its id."""

    order_id: str
    order: Order
    digest: str


def read(request: Request, fresh_id: str) -> Submitted | SubmitReply:
    """The verified order of a request, or the reply that says everything that is wrong with it.

    Its id is the body's `order_id`, else the request's `Nats-Msg-Id`, else `fresh_id`.
    """
    header_errors = _header_errors(request.message_id)
    header_id = None if header_errors else request.message_id
    try:
        order = read_order(request.body)
    except InvalidOrder as invalid:
        return rejected(invalid.order_id or header_id, *invalid.errors)
    if order.order_id is None and header_errors:
        return rejected(None, *header_errors)
    return Submitted(order.order_id or header_id or fresh_id, order, order.digest())


def _header_errors(message_id: str | None) -> tuple[FieldError, ...]:
    if message_id is None:
        return ()
    try:
        checked_order_id(message_id)
    except PydanticCustomError as error:
        return (FieldError(code=error.type, field=ID_HEADER, message=error.message()),)
    return ()


def decide(submitted: Submitted, receipt: Receipt | None, now: str) -> SubmitReply | OrderReceived:
    """The reply to an order whose id is known, or the message that makes an unknown one accepted.

    `receipt` is the first receipt of this order id, None where there is none yet; `now` is RFC 3339.
    """
    if receipt is not None:
        return settle(submitted, receipt)
    return OrderReceived(
        order_id=submitted.order_id, order=submitted.order, digest=submitted.digest, received_at=now
    )


def settle(submitted: Submitted, receipt: Receipt) -> SubmitReply:
    """The reply to an order id that has a receipt: `duplicate` for the same content, else a conflict."""
    if receipt.digest == submitted.digest:
        return SubmitReply(status="duplicate", order_id=submitted.order_id, receipt=receipt)
    return rejected(
        submitted.order_id,
        FieldError(
            code="order.conflict",
            field="order_id",
            message="is the id of an earlier order with other content. Send this one under a new id.",
        ),
    )


def accepted(received: OrderReceived) -> SubmitReply:
    """The reply to an order whose `OrderReceived` is stored."""
    return SubmitReply(status="accepted", order_id=received.order_id, receipt=receipt_of(received))


def unavailable(submitted: Submitted, reason: str) -> SubmitReply:
    """The reply where nobody can say what became of the order, or whether its id is known.

    It may be stored or not. Sent again under the same id it is accepted or a duplicate, and never done twice.
    """
    return rejected(
        submitted.order_id,
        FieldError(
            code="intake.unavailable",
            field="",
            message=f"cannot be taken now: {reason}. Send the same order again with the same order id.",
        ),
    )


def receipt_of(received: OrderReceived) -> Receipt:
    """The receipt that an `OrderReceived` stands for."""
    return Receipt(order_id=received.order_id, digest=received.digest, received_at=received.received_at)


def rejected(order_id: str | None, *errors: FieldError) -> SubmitReply:
    """A refusal."""
    return SubmitReply(status="rejected", order_id=order_id, errors=errors)


def by_id(receipts: tuple[Receipt, ...]) -> Mapping[str, Receipt]:
    """Receipts by order id."""
    return {receipt.order_id: receipt for receipt in receipts}

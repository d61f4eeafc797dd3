"""What becomes of submitted orders. Pure functions: receipts, ids and the time come from outside."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from order_intake.errors import InvalidOrder
from order_intake.explaining import explained
from order_intake.validation import read_order
from stagewright.contracts.orders import (
    ANONYMOUS,
    OFFLINE_HEADER,
    SUBMITTER_HEADER,
    FieldError,
    Order,
    OrderId,
    OrderReceived,
    Person,
    Purpose,
    Receipt,
    SubmitReply,
)
from stagewright.contracts.queries import PlanReply, PlanView
from stagewright.errors import ErrorInfo

ID_HEADER = "Nats-Msg-Id"

Reply = SubmitReply | PlanReply

_ORDER_ID: TypeAdapter[str] = TypeAdapter(OrderId)
_PERSON: TypeAdapter[str] = TypeAdapter(Person)
_OFFLINE = {None: False, "false": False, "true": True}


@dataclass(frozen=True, slots=True)
class Request:
    """One request to `orders.submit` or `orders.plan`; `reply` is where the answer goes.

    `message_id`, `submitter` and `offline` are its headers, as they came.
    """

    body: bytes
    message_id: str | None = None
    reply: str | None = None
    purpose: Purpose = "apply"
    submitter: str | None = None
    offline: str | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """A verified order under its id, and what it was sent for."""

    order_id: str
    order: Order
    digest: str
    purpose: Purpose = "apply"
    submitted_by: str = ANONYMOUS


@dataclass(frozen=True, slots=True)
class Asked:
    """A verified order whose plan is asked for, from the log alone."""

    order: Order


def read(request: Request, fresh_id: str) -> Submitted | Asked | SubmitReply:
    """The verified order of a request, or the reply that says everything that is wrong with it.

    An order's id is the body's `order_id`, else the request's `Nats-Msg-Id`, else `fresh_id`. A plan is not
    the order that it is made for, and has an id of its own: never the body's.
    """
    order, named, errors = _body(request)
    wrong_id = _wrong(_ORDER_ID, request.message_id, ID_HEADER)
    header_id = None if wrong_id else request.message_id
    errors += () if named else wrong_id
    errors += _wrong(_PERSON, request.submitter, SUBMITTER_HEADER)
    errors += _wrong_offline(request)
    if order is None or errors:
        return rejected(named or header_id, *errors)
    if request.purpose == "plan" and _OFFLINE[request.offline]:
        return Asked(order)
    return Submitted(
        named or header_id or fresh_id,
        order,
        order.digest(request.purpose),
        request.purpose,
        ANONYMOUS if request.submitter is None else request.submitter,
    )


def _body(request: Request) -> tuple[Order | None, str | None, tuple[FieldError, ...]]:
    """The order, the id that it names for itself, and what is wrong."""
    try:
        order = read_order(request.body)
    except InvalidOrder as invalid:
        return None, invalid.order_id if request.purpose == "apply" else None, invalid.errors
    if request.purpose == "plan":
        order = order.model_copy(update={"order_id": None})
    return order, order.order_id, ()


def _wrong(rule: TypeAdapter[str], value: str | None, header: str) -> tuple[FieldError, ...]:
    if value is None:
        return ()
    try:
        rule.validate_python(value)
    except ValidationError as error:
        return tuple(explained(detail, name=header) for detail in error.errors(include_url=False))
    return ()


def _wrong_offline(request: Request) -> tuple[FieldError, ...]:
    if request.offline in _OFFLINE:
        return ()
    message = "is none of the possible values. Write true, or leave the header out."
    return (FieldError(code="field.choice", field=OFFLINE_HEADER, message=message),)


def decide(submitted: Submitted, receipt: Receipt | None, now: str) -> SubmitReply | OrderReceived:
    """The reply to an order whose id is known, or the message that makes an unknown one accepted.

    `receipt` is the first receipt of this order id, None where there is none yet; `now` is RFC 3339.
    """
    if receipt is not None:
        return settle(submitted, receipt)
    return OrderReceived(
        order_id=submitted.order_id,
        order=submitted.order,
        digest=submitted.digest,
        received_at=now,
        submitted_by=submitted.submitted_by,
        purpose=submitted.purpose,
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


def planned(plan: PlanView) -> PlanReply:
    """The reply to a plan that was asked for offline."""
    return PlanReply(status="planned", plan=plan)


def unplanned(error: ErrorInfo) -> SubmitReply:
    """The reply where the log gives no plan."""
    reason = f"{error.reason} {error.remedy}"
    return rejected(None, FieldError(code=error.code, field=error.resource, message=reason))


def worded(purpose: Purpose, reply: Reply) -> Reply:
    """The reply as those who asked with this purpose know it."""
    if purpose == "apply" or isinstance(reply, PlanReply):
        return reply
    return PlanReply(status=reply.status, order_id=reply.order_id, receipt=reply.receipt, errors=reply.errors)


def unavailable(order_id: str | None, reason: str) -> SubmitReply:
    """The reply where nobody can say what became of the order, or whether its id is known.

    It may be stored or not. Sent again under the same id it is accepted or a duplicate, and never done twice.
    """
    return rejected(
        order_id,
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

"""Decisions: given a request, a receipt and the time, what is answered or published."""

from order_intake.deciding import (
    Request,
    Submitted,
    accepted,
    decide,
    read,
    receipt_of,
    settle,
    unavailable,
)
from order_intake.validation import read_order
from stagewright.contracts.orders import OrderReceived, Receipt, SubmitReply
from tests.support.intake import REFERENCE

NOW = "2026-11-23T10:00:00.000000Z"
THEN = "2026-01-01T00:00:00.000000Z"


def _submitted(order_id: str = "a") -> Submitted:
    found = read(Request(REFERENCE, order_id), "fresh")
    assert isinstance(found, Submitted)
    return found


def test_the_id_is_the_body_s_then_the_header_s_then_a_fresh_one() -> None:
    named = b"order_id: body\n" + REFERENCE

    ids = [
        read(Request(body, header), "fresh").order_id
        for body, header in ((named, "header"), (REFERENCE, "header"), (REFERENCE, None))
    ]

    assert ids == ["body", "header", "fresh"]


def test_a_header_that_is_no_order_id_is_refused_where_it_counts() -> None:
    refused = read(Request(REFERENCE, "no id!"), "fresh")
    assert isinstance(refused, SubmitReply)
    assert [(error.code, error.field) for error in refused.errors] == [("field.order_id", "Nats-Msg-Id")]

    assert isinstance(read(Request(b"order_id: body\n" + REFERENCE, "no id!"), "fresh"), Submitted)


def test_a_refusal_names_the_id_that_the_client_sent() -> None:
    refused = read(Request(b"", "header"), "fresh")

    assert (refused.order_id, read(Request(b"", None), "fresh").order_id) == ("header", None)


def test_an_unknown_id_is_published_with_the_time_of_its_receipt() -> None:
    item = _submitted()

    decision = decide(item, None, NOW)

    assert decision == OrderReceived(
        order_id="a", order=read_order(REFERENCE), digest=item.digest, received_at=NOW
    )
    assert accepted(decision) == SubmitReply(
        status="accepted",
        order_id="a",
        receipt=Receipt(order_id="a", digest=item.digest, received_at=NOW),
    )


def test_a_known_id_is_a_duplicate_with_its_first_receipt() -> None:
    item = _submitted()
    first = Receipt(order_id="a", digest=item.digest, received_at=THEN)

    assert decide(item, first, NOW) == SubmitReply(status="duplicate", order_id="a", receipt=first)


def test_deciding_again_after_the_receipt_publishes_nothing() -> None:
    item = _submitted()
    received = decide(item, None, THEN)
    assert isinstance(received, OrderReceived)

    again = decide(item, receipt_of(received), NOW)

    assert isinstance(again, SubmitReply)
    assert again.status == "duplicate"


def test_a_known_id_with_other_content_is_a_conflict_without_the_other_s_receipt() -> None:
    reply = settle(_submitted(), Receipt(order_id="a", digest="0" * 64, received_at=THEN))

    assert (reply.status, reply.receipt, reply.errors[0].code) == ("rejected", None, "order.conflict")


def test_who_cannot_be_served_now_is_told_to_come_back_under_the_same_id() -> None:
    reply = unavailable(_submitted(), "the bus is away")

    assert (reply.status, reply.order_id, reply.errors[0].code) == ("rejected", "a", "intake.unavailable")
    assert "same order id" in reply.errors[0].message

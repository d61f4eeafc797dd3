"""Decisions: given a request, a receipt and the time, what is answered or published."""

import pytest

from order_intake.deciding import (
    Asked,
    Request,
    Submitted,
    accepted,
    decide,
    planned,
    read,
    receipt_of,
    settle,
    unavailable,
    unplanned,
    worded,
)
from order_intake.validation import read_order
from stagewright.contracts.orders import OrderReceived, Receipt, SubmitReply
from stagewright.contracts.queries import PlanReply
from tests.support.contract_samples import ERROR
from tests.support.contract_views import PLAN
from tests.support.intake import REFERENCE

SUBMIT = Request(REFERENCE, "a")
NAMED = b"order_id: body\n" + REFERENCE
NOW = "2026-11-23T10:00:00.000000Z"
THEN = "2026-01-01T00:00:00.000000Z"


def _submitted(request: Request = SUBMIT) -> Submitted:
    found = read(request, "fresh")
    assert isinstance(found, Submitted)
    return found


def _refused(request: Request) -> SubmitReply:
    found = read(request, "fresh")
    assert isinstance(found, SubmitReply)
    assert found.status == "rejected"
    return found


def test_the_id_is_the_body_s_then_the_header_s_then_a_fresh_one() -> None:
    ids = [
        _submitted(Request(body, header)).order_id
        for body, header in ((NAMED, "header"), (REFERENCE, "header"), (REFERENCE, None))
    ]

    assert ids == ["body", "header", "fresh"]


def test_a_header_that_is_no_order_id_is_refused_where_it_counts() -> None:
    refused = _refused(Request(REFERENCE, "no id!"))
    assert [(error.code, error.field) for error in refused.errors] == [("field.order_id", "Nats-Msg-Id")]

    assert _submitted(Request(NAMED, "no id!")).order_id == "body"


def test_a_refusal_names_the_id_that_the_client_sent() -> None:
    assert _refused(Request(b"", "header")).order_id == "header"
    assert _refused(Request(b"", None)).order_id is None
    assert _refused(Request(NAMED + b"x: y", "header")).order_id == "body"


def test_who_submits_is_in_what_is_published() -> None:
    for header, name in ((None, "anonymous"), ("Ann Lee", "Ann Lee"), ("Zo\xeb", "Zo\xeb")):
        decision = decide(_submitted(Request(REFERENCE, submitter=header)), None, NOW)
        assert isinstance(decision, OrderReceived)
        assert decision.submitted_by == name


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "field.empty"),
        ("a" * 101, "field.too_long"),
        ("{{ a }}", "field.template"),
        ("a\x1b[31m", "field.control_character"),
        ("Zo\udcc3", "order.encoding"),
        ("ann ", "field.person"),
    ],
)
def test_a_submitter_that_is_no_name_is_refused(name: str, code: str) -> None:
    (error,) = _refused(Request(REFERENCE, submitter=name)).errors

    assert (error.code, error.field) == (code, "Stagewright-Submitter")


def test_what_is_wrong_with_headers_and_body_is_said_at_once() -> None:
    refused = _refused(Request(b"x: y", "no id!", purpose="plan", submitter="", offline="maybe"))

    fields = [error.field for error in refused.errors]
    assert fields[-3:] == ["Nats-Msg-Id", "Stagewright-Submitter", "Stagewright-Offline"]
    assert {"action", "environment_id", "x"} <= set(fields)
    assert refused.order_id is None


def test_a_plan_has_an_id_of_its_own() -> None:
    """Or the order that it is made for, submitted afterwards, would be taken for a duplicate of it."""
    named = _submitted(Request(NAMED, "header", purpose="plan"))
    fresh = _submitted(Request(NAMED, purpose="plan"))

    assert (named.order_id, fresh.order_id) == ("header", "fresh")
    assert named.order.order_id is None
    assert _refused(Request(NAMED, "no id!", purpose="plan")).errors[0].field == "Nats-Msg-Id"
    assert _refused(Request(NAMED + b"x: y", "header", purpose="plan")).order_id == "header"


def test_a_plan_is_published_as_one_and_its_receipt_is_none_of_an_order() -> None:
    plan, order = _submitted(Request(REFERENCE, "a", purpose="plan")), _submitted()

    received = decide(plan, None, NOW)

    assert isinstance(received, OrderReceived)
    assert (received.purpose, received.order) == ("plan", order.order)
    assert settle(plan, receipt_of(received)).status == "duplicate"
    assert settle(order, receipt_of(received)).errors[0].code == "order.conflict"


def test_a_plan_from_the_log_alone_is_asked_for_and_stored_nowhere() -> None:
    asked = read(Request(NAMED, "a", purpose="plan", offline="true"), "fresh")

    assert asked == Asked(read_order(REFERENCE))
    assert isinstance(read(Request(NAMED, "a", purpose="plan", offline="false"), "fresh"), Submitted)


def test_replies_to_plans_are_in_their_own_words() -> None:
    duplicate = settle(_submitted(), Receipt(order_id="a", digest=_submitted().digest, received_at=THEN))

    assert worded("apply", duplicate) is duplicate
    assert worded("plan", duplicate) == PlanReply(status="duplicate", order_id="a", receipt=duplicate.receipt)
    assert worded("plan", planned(PLAN)) == PlanReply(status="planned", plan=PLAN)


def test_a_log_that_gives_no_plan_says_why() -> None:
    refused = worded("plan", unplanned(ERROR))

    assert isinstance(refused, PlanReply)
    assert refused.status == "rejected"
    assert [(error.code, error.field) for error in refused.errors] == [(ERROR.code, ERROR.resource)]
    assert refused.errors[0].message == f"{ERROR.reason} {ERROR.remedy}"


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
    reply = unavailable("a", "the bus is away")

    assert (reply.status, reply.order_id, reply.errors[0].code) == ("rejected", "a", "intake.unavailable")
    assert "same order id" in reply.errors[0].message

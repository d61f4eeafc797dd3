"""order-intake asked for plans, as a process on a real bus; only the orchestrator is a stand-in."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from order_intake.validation import read_order
from stagewright.contracts.queries import QueryError
from tests.support.contract_samples import ERROR
from tests.support.contract_views import PLAN
from tests.support.intake import REFERENCE, Stage, stage
from tests.support.intake_bad_input import BAD_INPUTS
from tests.support.parts import fresh_layout, run_nats


@pytest.fixture
async def intake(tmp_path: Path) -> AsyncIterator[Stage]:
    with fresh_layout() as layout, run_nats(layout, users=True) as bus:
        async with stage(bus, tmp_path) as found:
            yield found


async def test_a_plan_is_taken_like_an_order_and_stored_as_a_plan(intake: Stage) -> None:
    first = await intake.plan(b"order_id: mine\n" + REFERENCE, message_id="plan-1")
    again = await intake.plan(REFERENCE, message_id="plan-1")

    received = await intake.last()
    assert (first.status, first.order_id, first.plan) == ("accepted", "plan-1", None)
    assert (received.purpose, received.order_id, received.order) == ("plan", "plan-1", read_order(REFERENCE))
    assert (again.status, again.receipt) == ("duplicate", first.receipt)
    assert await intake.published() == 1
    assert intake.plans.orders == []


async def test_the_order_of_a_plan_is_not_taken_for_it(intake: Stage) -> None:
    named = b"order_id: mine\n" + REFERENCE

    plan, order = await intake.plan(named), await intake.submit(named)

    assert (plan.status, order.status, order.order_id) == ("accepted", "accepted", "mine")
    assert plan.order_id not in {None, "mine"}
    assert (await intake.submit(REFERENCE, message_id=plan.order_id)).errors[0].code == "order.conflict"


async def test_a_plan_from_the_log_alone_comes_with_the_reply(intake: Stage) -> None:
    intake.plans.answer = PLAN

    reply = await intake.plan(REFERENCE, offline="true")

    assert (reply.status, reply.plan, reply.order_id) == ("planned", PLAN, None)
    assert intake.plans.orders == [read_order(REFERENCE)]
    assert await intake.published() == 0
    assert intake.receipts.questions == []


async def test_a_log_that_gives_no_plan_and_one_that_is_silent_are_told_apart(intake: Stage) -> None:
    intake.plans.answer = QueryError(error=ERROR)
    refused = await intake.plan(REFERENCE, offline="true")
    intake.plans.answer = None
    silent = await intake.plan(REFERENCE, offline="true")

    assert [(error.code, error.field) for error in refused.errors] == [(ERROR.code, ERROR.resource)]
    assert [error.code for error in silent.errors] == ["intake.unavailable"]
    assert {refused.status, silent.status} == {"rejected"}


async def test_a_plan_is_refused_for_what_an_order_is_refused_for(intake: Stage) -> None:
    replies = await asyncio.gather(
        *(intake.plan(case.body, offline=("true" if at % 2 else None)) for at, case in enumerate(BAD_INPUTS))
    )

    for case, reply in zip(BAD_INPUTS, replies, strict=True):
        assert reply.status == "rejected", case.name
        assert case.is_among(reply.errors), (case, reply.errors)
    assert (await intake.plan(REFERENCE, offline="maybe")).errors[0].field == "Stagewright-Offline"
    assert await intake.published() == 0
    assert (intake.receipts.questions, intake.plans.orders) == ([], [])

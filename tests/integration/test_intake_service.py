"""order-intake as a process on a real bus with real permissions; only the orchestrator is a stand-in."""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from order_intake.validation import read_order
from stagewright.contracts.orders import Receipt
from stagewright.messaging.declaring import declare
from stagewright.messaging.topology import COMMANDS, EVENTS, ORDERS, PLAN, SUBMIT
from tests.support.eventually import eventually
from tests.support.intake import REFERENCE, Stage, ready, stage, start_intake
from tests.support.intake_bad_input import BAD_INPUTS
from tests.support.parts import fresh_layout, run_nats

DIGEST = read_order(REFERENCE).digest()
OTHER = REFERENCE.replace(b"path: /core", b"path: /kernel")


@pytest.fixture
async def intake(tmp_path: Path) -> AsyncIterator[Stage]:
    with fresh_layout() as layout, run_nats(layout, users=True) as bus:
        async with stage(bus, tmp_path) as found:
            yield found


async def test_an_accepted_order_is_stored_before_the_reply(intake: Stage) -> None:
    reply = await intake.submit(REFERENCE, message_id="order-1")

    assert reply.status == "accepted"
    assert reply.order_id == "order-1"
    received = await intake.last()
    assert received.order == read_order(REFERENCE)
    assert reply.receipt == Receipt(order_id="order-1", digest=DIGEST, received_at=received.received_at)
    stored = await intake.js.get_msg(ORDERS, 1)
    assert stored.subject == "orders.received.3"
    assert stored.headers is not None
    assert stored.headers["Nats-Msg-Id"] == "order-1"
    assert stored.headers["ce-type"] == "stagewright.order.received.v1"
    assert stored.headers["correlation-id"] == "order-1"


async def test_who_submits_is_stored_with_the_order(intake: Stage) -> None:
    for given, stored in ((None, "anonymous"), ("Ann Lee", "Ann Lee"), ("Zo\xeb", "Zo\xeb")):
        assert (await intake.submit(REFERENCE, submitter=given)).status == "accepted"
        assert (await intake.last()).submitted_by == stored

    refused = await intake.submit(REFERENCE, submitter="{{ ann }}")
    assert [(error.code, error.field) for error in refused.errors] == [
        ("field.template", "Stagewright-Submitter")
    ]


async def test_orders_of_every_action_are_taken(intake: Stage) -> None:
    for rest in ("drop\ndump: no", "redeploy\nservice_ids: ['6']", "maintenance\nmaintenance: on"):
        body = f"environment_id: '3'\ntimeouts: {{inspect: 5}}\naction: {rest}".encode()
        reply = await intake.submit(body)

        assert reply.status == "accepted", reply
        assert (await intake.last()).order == read_order(body)


async def test_without_an_id_each_submit_is_a_new_order(intake: Stage) -> None:
    first, second = await intake.submit(REFERENCE), await intake.submit(REFERENCE)

    assert {first.status, second.status} == {"accepted"}
    assert first.order_id != second.order_id
    assert await intake.published() == 2


async def test_the_body_names_the_order_before_the_header_does(intake: Stage) -> None:
    reply = await intake.submit(b"order_id: mine\n" + REFERENCE, message_id="header")

    assert reply.order_id == "mine"


async def test_an_id_that_the_orchestrator_knows_is_a_duplicate_for_ever(intake: Stage) -> None:
    """The broker forgot everything (its store is empty): the receipt comes from the orchestrator."""
    receipt = Receipt(order_id="old", digest=DIGEST, received_at="2026-01-01T00:00:00.000000Z")
    intake.receipts.known["old"] = receipt

    reply = await intake.submit(REFERENCE, message_id="old")

    assert (reply.status, reply.receipt) == ("duplicate", receipt)
    assert await intake.published() == 0


async def test_a_known_id_with_other_content_is_a_conflict(intake: Stage) -> None:
    intake.receipts.known["old"] = Receipt(order_id="old", digest="0" * 64, received_at="2026-01-01")

    reply = await intake.submit(REFERENCE, message_id="old")

    assert (reply.status, reply.order_id, reply.errors[0].code) == ("rejected", "old", "order.conflict")
    assert await intake.published() == 0


async def test_a_repeated_id_that_only_the_bus_knows_is_compared_with_what_is_stored(intake: Stage) -> None:
    """As after a lost reply: the orchestrator has not read the first one yet."""
    first = await intake.submit(REFERENCE, message_id="order-1")
    again = await intake.submit(REFERENCE, message_id="order-1")
    other = await intake.submit(OTHER, message_id="order-1")

    assert (again.status, again.receipt) == ("duplicate", first.receipt)
    assert (other.status, other.errors[0].code) == ("rejected", "order.conflict")
    assert await intake.published() == 1


async def test_the_same_id_many_times_at_once_is_stored_once(intake: Stage) -> None:
    bodies = [REFERENCE] * 20 + [OTHER] * 20

    replies = await asyncio.gather(*(intake.submit(body, message_id="same") for body in bodies))

    statuses = [reply.status for reply in replies]
    assert statuses.count("accepted") == 1
    assert statuses.count("duplicate") == 19
    assert statuses.count("rejected") == 20
    assert len({reply.receipt.received_at for reply in replies if reply.receipt}) == 1
    assert await intake.published() == 1


async def test_a_burst_is_answered_whole_and_one_bad_order_spoils_nothing(intake: Stage) -> None:
    bodies = [REFERENCE if number % 5 else b"action: [" for number in range(500)]

    replies = await asyncio.gather(*(intake.submit(body, timeout=30) for body in bodies))

    assert [reply.status == "accepted" for reply in replies] == [bool(n % 5) for n in range(500)]
    assert await intake.published() == 400
    assert len(intake.receipts.questions) < 400, "receipts are asked for by batch"


async def test_bad_input_gets_one_reply_and_publishes_nothing(intake: Stage) -> None:
    replies = await asyncio.gather(
        *(intake.submit(case.body, message_id=f"bad-{at}") for at, case in enumerate(BAD_INPUTS))
    )

    for case, reply in zip(BAD_INPUTS, replies, strict=True):
        assert reply.status == "rejected", case.name
        assert case.is_among(reply.errors), (case, reply.errors)
    assert await intake.published() == 0
    assert intake.receipts.questions == []
    assert await _total(intake, "order.rejected") == len(BAD_INPUTS)


async def test_no_payload_reaches_the_log(intake: Stage) -> None:
    await intake.submit(REFERENCE.replace(b"manager-api.lab", b"canary-4711"), message_id="order-1")
    await intake.submit(b"description: canary-4711")

    await eventually(lambda: "order.rejected" in intake.log.read_text())
    text = intake.log.read_text()
    assert "canary-4711" not in text
    accepted = next(line for line in _lines(intake) if line["action"] == "order.accepted")
    assert accepted["correlation_id"] == "order-1"


async def test_a_message_without_reply_subject_is_taken_and_logged(intake: Stage) -> None:
    await intake.client.publish(SUBMIT, REFERENCE, headers={"Nats-Msg-Id": "quiet"})

    await eventually(intake.published)
    await eventually(lambda: [line for line in _lines(intake) if line["action"] == "order.accepted"])


@pytest.mark.parametrize("subject", [SUBMIT, PLAN, "$SRV.PING.order-intake"])
async def test_a_reply_subject_that_is_no_inbox_borrows_no_rights(intake: Stage, subject: str) -> None:
    """The service replies with rights of its own: it may not land where the sender may not publish."""
    for reply in ("commands.inspect.3.forged", "events.order.3.forged", "$JS.API.STREAM.PURGE.ORDERS"):
        await intake.client.publish(subject, b"not an order: [", reply=reply)
    assert (await intake.submit(REFERENCE)).status == "accepted"
    await intake.client.request("$SRV.PING.order-intake", b"", timeout=5)

    for stream in (COMMANDS, EVENTS):
        assert (await intake.js.stream_info(stream)).state.last_seq == 0, stream
    assert await intake.published() == 1


async def test_sigterm_answers_what_was_taken_and_ends_cleanly(intake: Stage) -> None:
    await intake.submit(REFERENCE)
    pending = [asyncio.create_task(intake.submit(REFERENCE, timeout=20)) for _ in range(200)]
    await eventually(lambda: intake.receipts.questions[1:])

    intake.process.send_signal(signal.SIGTERM)

    assert await asyncio.to_thread(intake.process.wait, 20) == 0
    replies = await asyncio.gather(*pending, return_exceptions=True)
    answered = [reply for reply in replies if not isinstance(reply, BaseException)]
    assert {reply.status for reply in answered} == {"accepted"}
    assert await intake.published() == 1 + len(answered), "whatever was stored was answered"


async def test_sigterm_ends_it_while_the_bus_is_away(tmp_path: Path) -> None:
    with fresh_layout() as layout, run_nats(layout, users=True) as bus:
        async with stage(bus, tmp_path) as intake:
            process, log = intake.process, intake.log
            os.kill(bus.pid, signal.SIGKILL)
            await eventually(lambda: "bus.disconnected" in log.read_text())

            process.send_signal(signal.SIGTERM)

            assert await asyncio.to_thread(process.wait, 30) == 0


async def test_sigterm_ends_it_before_it_ever_found_a_bus(tmp_path: Path) -> None:
    with fresh_layout() as layout:
        with run_nats(layout) as bus:
            pass
        process = start_intake(bus, tmp_path / "intake.log")
        await eventually(lambda: "bus.error" in (tmp_path / "intake.log").read_text(), timeout=20)

        process.send_signal(signal.SIGTERM)

        assert await asyncio.to_thread(process.wait, 30) == 0


async def test_a_silent_orchestrator_means_come_back_later(tmp_path: Path) -> None:
    with fresh_layout() as layout, run_nats(layout, users=True) as bus:
        async with stage(bus, tmp_path, answering=False) as intake:
            reply = await intake.submit(REFERENCE, message_id="order-1")

            assert (reply.status, reply.order_id) == ("rejected", "order-1")
            assert reply.errors[0].code == "intake.unavailable"
            assert await intake.published() == 0

            await intake.orchestrator.subscribe("queries.orders.receipts", cb=intake.receipts.answer)
            await intake.orchestrator.flush()
            assert (await intake.submit(REFERENCE, message_id="order-1")).status == "accepted"


async def test_a_missing_stream_means_come_back_later(intake: Stage) -> None:
    await intake.js.delete_stream(ORDERS)

    reply = await intake.submit(REFERENCE, message_id="order-1")

    assert (reply.status, reply.errors[0].code) == ("rejected", "intake.unavailable")


async def test_it_goes_on_after_the_bus_restarted_and_lost_its_store(tmp_path: Path) -> None:
    """The same id again, after the broker's store was wiped: duplicate, same receipt."""
    with fresh_layout() as layout:
        async with AsyncExitStack() as stack:
            with run_nats(layout, users=True) as bus:
                intake = await stack.enter_async_context(stage(bus, tmp_path))
                first = await intake.submit(REFERENCE, message_id="order-1")
            assert first.receipt is not None
            shutil.rmtree(layout.part("nats") / "jetstream")
            with run_nats(layout, users=True):
                intake.receipts.known["order-1"] = first.receipt
                await ready(intake.client)
                await eventually(lambda: intake.orchestrator.is_connected)
                await declare(intake.js)

                again = await intake.submit(REFERENCE, message_id="order-1")
                assert (again.status, again.receipt) == ("duplicate", first.receipt)
                assert await intake.published() == 0
                assert (await intake.submit(REFERENCE, message_id="order-2")).status == "accepted"
                assert intake.process.poll() is None, "the same process all the time"


def _lines(intake: Stage) -> list[dict[str, object]]:
    return [json.loads(line) for line in intake.log.read_text().splitlines() if line.startswith("{")]


async def _total(intake: Stage, action: str) -> object:
    def totals() -> list[object]:
        return [line["total"] for line in _lines(intake) if line["action"] == action]

    return max(await eventually(totals))  # type: ignore[type-var]

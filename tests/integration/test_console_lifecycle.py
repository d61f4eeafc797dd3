"""Decisions and life cycle on the command line, against a real nats-server and a backend that speaks the
contract."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.console_backend import Backend, backend
from tests.support.console_bus import Bus, bus
from tests.support.console_process import ORDER, order, run, run_in_terminal
from tests.support.eventually import eventually


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Bus]:
    with bus(tmp_path / "bus") as running:
        yield running


@pytest.fixture
async def system(server: Bus) -> AsyncIterator[Backend]:
    async with backend(server) as serving:
        yield serving


async def test_wait_may_stand_before_the_file(server: Bus, system: Backend, tmp_path: Path) -> None:
    (tmp_path / "order.yml").write_bytes(ORDER)
    for words in (("--wait",), ("-w",), ("--wait=done",), ("--wait=ready",)):
        done = await run(server, "submit", *words, str(tmp_path / "order.yml"))
        assert (done.code, "succeeded" in done.out) == (0, True), words
    assert (await run(server, "submit", "--wait=soon", str(tmp_path / "order.yml"))).code == 2


async def test_wait_ready_waits_until_every_service_is(server: Bus, system: Backend) -> None:
    done = await run(server, "submit", "-", "--wait=ready", stdin=order("incomplete"))
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    ended = next(at for at, line in enumerate(lines) if line.endswith(" succeeded"))
    assert any("health/7" in line and "ready now" in line for line in lines[ended:])
    assert all(one.ready for one in system.orders.values())


async def test_wait_ready_has_a_timeout(server: Bus, system: Backend) -> None:
    system.step = 0.5
    done = await run(
        server, "submit", "-", "--wait=ready", "--timeout", "0.4", "--order-id", "one", stdin=ORDER
    )
    assert done.code == 3


async def test_wait_ready_ends_where_a_later_order_has_the_environment(server: Bus, system: Backend) -> None:
    waiting = asyncio.create_task(
        run(server, "submit", "-", "--wait=ready", "--order-id", "one", stdin=order("never"))
    )
    await eventually(lambda: "one" in system.orders and not system.orders["one"].ready)
    await run(server, "submit", "-", "--order-id", "two", stdin=ORDER)
    done = await waiting
    assert done.code == 1
    assert "Not ready: 7" in done.err


async def test_an_order_waits_for_approval_and_says_how(server: Bus, system: Backend) -> None:
    waiting = asyncio.create_task(
        run(server, "submit", "-", "--wait", "--order-id", "one", "--by", "bob", stdin=order("approve"))
    )
    await eventually(lambda: "one" in system.orders and system.orders["one"].status == "awaiting_approval")
    shown = await run(server, "orders", "show", "one")
    assert "Submitted by bob" in shown.out
    assert "stagewright orders approve one --by NAME" in shown.out
    own = await run(server, "orders", "approve", "one", "--by", "bob")
    assert own.code == 1
    assert "[approval.own_order]" in own.err
    approved = await run(server, "orders", "approve", "one", "--by", "alice")
    assert (approved.code, "is approved" in approved.out) == (0, True)
    done = await waiting
    assert done.code == 0
    assert "waits for approval" in done.out
    assert "approved by alice" in done.out


async def test_a_rejected_order_fails(server: Bus, system: Backend) -> None:
    waiting = asyncio.create_task(
        run(server, "submit", "-", "--wait", "--order-id", "one", stdin=order("approve"))
    )
    await eventually(lambda: "one" in system.orders and system.orders["one"].status == "awaiting_approval")
    done = await run(server, "orders", "reject", "one", "--by", "alice", "--why", "not today", "-o", "json")
    assert json.loads(done.out)["status"] == "done"
    assert (await waiting).code == 1
    assert [(verb, request.by, request.why) for verb, request in system.asked] == [
        ("reject", "alice", "not today")
    ]


async def test_pause_resume_and_cancel(server: Bus, system: Backend) -> None:
    system.step = 0.3
    waiting = asyncio.create_task(run(server, "submit", "-", "--wait", "--order-id", "one", stdin=ORDER))
    await eventually(lambda: "one" in system.orders)
    assert (await run(server, "orders", "pause", "one", "--by", "eve")).code == 0
    await eventually(lambda: system.orders["one"].status == "paused")
    assert "orders resume one" in (await run(server, "orders", "show", "one")).out
    assert (await run(server, "orders", "resume", "one", "--by", "eve")).code == 0
    await eventually(lambda: system.orders["one"].status == "running")
    assert (await run(server, "orders", "cancel", "one", "--by", "eve", "--why", "wrong branch")).code == 0
    done = await waiting
    assert done.code == 1
    for told in ("paused by eve", "resumed by eve", "cancelled by eve: wrong branch"):
        assert told in done.out
    assert "Cancelled by eve" in (await run(server, "orders", "show", "one")).out


async def test_what_cannot_be_asked_is_refused_or_invalid(server: Bus, system: Backend) -> None:
    unknown = await run(server, "orders", "cancel", "nobody")
    assert unknown.code == 2
    assert unknown.err.startswith("Refused: orders[nobody]")
    as_json = await run(server, "orders", "cancel", "nobody", "-o", "json")
    assert json.loads(as_json.out)["error"]["code"] == "order.unknown"
    nonsense = await run(server, "orders", "cancel", "a b")
    assert nonsense.code == 2
    assert "ID: is not an order id." in nonsense.err
    spaced = await run(server, "orders", "cancel", "one", "--by", " eve")
    assert spaced.code == 2


async def test_a_retry_is_followed_to_its_own_end(server: Bus, system: Backend) -> None:
    failed = await run(server, "submit", "-", "--wait", "--order-id", "one", stdin=order("fail"))
    assert failed.code == 1
    retried = await run(server, "orders", "retry", "one", "--service", "7", "--by", "eve", "--wait")
    assert retried.code == 0, retried.err
    assert system.asked[-1][1].service == "7"
    assert "retried by eve" in retried.out.splitlines()[1], "what came before is known"
    followed = await run(server, "logs", "one", "--follow")
    assert followed.code == 0, "the first end does not count any more"
    again = await run(server, "orders", "retry", "one")
    assert again.code == 1


@pytest.mark.parametrize(("scenario", "status"), [("revert", "failed"), ("stuck", "stuck")])
async def test_a_reversal_is_told(server: Bus, system: Backend, scenario: str, status: str) -> None:
    done = await run(server, "submit", "-", "--wait", "--order-id", "one", stdin=order(scenario))
    assert done.code == 1
    assert "is being reversed, the last step first" in done.out
    shown = await run(server, "orders", "show", "one")
    assert shown.out.startswith(f"Order one: {status}")
    assert "reverse update_routes" in shown.out
    if scenario == "stuck":
        assert "put the routes of environment 3 back." in shown.out
    else:
        assert "What the order had done is reversed" in shown.out
    live = await run_in_terminal(server, "submit", "-", "--wait", typed=order(scenario) + b"\x04")
    assert live.code == 1
    assert "reverse update_routes" in live.out


async def test_logs_of_one_attempt(server: Bus, system: Backend) -> None:
    await run(server, "submit", "-", "--wait", "--order-id", "one", stdin=order("fail"))
    await run(server, "orders", "retry", "one", "--wait")
    first = await run(server, "logs", "one", "--stage", "deploy_services", "--attempt", "1", "--service", "7")
    assert [line.split()[2] for line in first.out.splitlines()][:2] == ["deploy_services/7"] * 2
    assert first.out.splitlines()[-1].endswith(
        "ansible-playbook -i /srv/runs/o1/inventory /srv/runs/o1/deploy.yml"
    )
    second = await run(server, "logs", "one", "--stage", "deploy_services", "--attempt", "2")
    assert "changed Install packages 0.02 s" in second.out
    assert "failed" not in second.out
    assert (await run(server, "logs", "one", "--stage", "deploy_services", "--attempt", "3")).code == 2
    assert (await run(server, "logs", "one", "--attempt", "3")).code == 2


async def test_attempts_say_who_did_what_and_how_to_repeat_it(server: Bus, system: Backend) -> None:
    await run(server, "submit", "-", "--wait", "--order-id", "one", stdin=order("fail"))
    done = await run(server, "logs", "one", "--attempts")
    row = next(line for line in done.out.splitlines() if line.startswith("deploy_services"))
    assert row.split()[1:4] == ["7", "1", "executor-1"]
    assert row.split()[-1] == "repository.ref_not_found"
    assert "again by hand, on executor-1: ansible-playbook" in done.out
    as_json = json.loads((await run(server, "logs", "one", "--attempts", "-o", "json")).out)
    assert as_json["attempts"][-1]["run"].startswith("ansible-playbook")


async def test_lists_know_plans_and_every_status(server: Bus, system: Backend) -> None:
    await run(server, "submit", "-", "--wait", "--order-id", "one", stdin=order("stuck"))
    await run(server, "plan", "-", stdin=ORDER)
    stuck = json.loads((await run(server, "orders", "list", "--status", "stuck", "-o", "json")).out)
    assert [line["order_id"] for line in stuck["orders"]] == ["one"]
    plans = json.loads((await run(server, "orders", "list", "--purpose", "plan", "-o", "json")).out)
    assert len(plans["orders"]) == 1
    wrong = await run(server, "orders", "list", "--status", "odd")
    assert wrong.code == 2
    assert "awaiting_approval" in wrong.err


async def test_an_environment_says_how_it_stands(server: Bus, system: Backend) -> None:
    await run(server, "submit", "-", "--wait", "--order-id", "one", stdin=ORDER)
    system.orders["one"].ready = False
    shown = (await run(server, "environments", "show", "3")).out
    assert "Revision 4, last order one" in shown
    assert "In maintenance" in shown
    assert "Waiting for it, the next one first: later" in shown
    assert "not answering as ready yet: 7;" in shown

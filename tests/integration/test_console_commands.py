"""The commands as processes, against a real nats-server and a backend that speaks the contract."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.console_backend import Backend, backend
from tests.support.console_bus import Bus, bus
from tests.support.console_process import ORDER, STAGEWRIGHT, order, run, run_in_terminal
from tests.support.eventually import eventually


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Bus]:
    with bus(tmp_path / "bus") as running:
        yield running


@pytest.fixture
async def system(server: Bus) -> AsyncIterator[Backend]:
    async with backend(server) as serving:
        yield serving


async def test_submit_waits_and_mirrors_success(server: Bus, system: Backend) -> None:
    done = await run(server, "submit", "-", "--wait", stdin=ORDER)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].endswith("accepted.")
    assert any("deploy_services/7" in line and "Check out the commit" in line for line in lines)
    assert [line.split()[-2:] for line in lines if " order " in line] == [["order", "succeeded"]]
    assert lines[-1].startswith("In maintenance: every domain answers 503.")
    assert [line.split()[:2] for line in lines[-5:-1]] == [[name, "ready"] for name in "6789"], (
        "and at last, what runs and where; what was dropped runs nowhere"
    )


async def test_submit_waits_and_mirrors_failure(server: Bus, system: Backend) -> None:
    done = await run(server, "submit", "-", "--wait", stdin=order("fail"))
    assert done.code == 1
    assert "[repository.ref_not_found]" in done.out
    assert "Write a branch that it has." in done.out


async def test_submit_prints_the_reply_as_one_document(server: Bus, system: Backend) -> None:
    done = await run(server, "submit", "-", "--wait", "-o", "json", stdin=ORDER)
    reply = json.loads(done.out)
    assert (done.code, reply["status"]) == (0, "accepted")
    assert set(reply) == {"status", "order_id", "receipt", "errors"}


async def test_submit_of_a_known_id_says_so(server: Bus, system: Backend) -> None:
    await run(server, "submit", "-", "--order-id", "mine", stdin=ORDER)
    done = await run(server, "submit", "-", "--order-id", "mine", stdin=ORDER)
    assert done.code == 0
    assert "is known" in done.out


async def test_what_is_no_order_is_rejected(server: Bus, system: Backend) -> None:
    done = await run(server, "submit", "-", stdin=b"hello")
    assert (done.code, done.out) == (2, "")
    assert "[order.not_yaml]" in done.err
    as_json = await run(server, "submit", "-", "-o", "json", stdin=b"hello")
    assert as_json.code == 2
    assert json.loads(as_json.out)["errors"][0]["code"] == "order.not_yaml"


async def test_a_missing_file_is_invalid_input(server: Bus) -> None:
    done = await run(server, "submit", "nowhere.yml")
    assert done.code == 2
    assert "nowhere.yml" in done.err


async def test_the_wait_times_out_and_the_order_goes_on(server: Bus, system: Backend) -> None:
    system.step = 1.0
    done = await run(server, "submit", "-", "--wait", "--timeout", "0.3", "-o", "json", stdin=ORDER)
    assert done.code == 3
    order_id = json.loads(done.out)["order_id"]
    assert f"stagewright logs {order_id} --follow" in done.err
    assert system.orders[order_id].status == "running"


async def test_without_a_bus_the_code_is_4(server: Bus) -> None:
    server.stop()
    for command in (("submit", "-"), ("orders", "list"), ("logs", "x"), ("environments", "show", "3")):
        done = await run(server, *command, stdin=ORDER)
        assert done.code == 4, command
        assert "stagewright up" in done.err


async def test_without_a_service_the_code_is_4(server: Bus) -> None:
    done = await run(server, "orders", "list", "-o", "json")
    assert done.code == 4
    assert json.loads(done.out)["error"]["code"] == "bus.no_answer"


@pytest.mark.parametrize("command", [("orders", "show"), ("environments", "show"), ("logs",)])
async def test_an_unknown_id_is_invalid_input(server: Bus, system: Backend, command: tuple[str, ...]) -> None:
    done = await run(server, *command, "nobody")
    assert done.code == 2
    assert "[query.not_found]" in done.err


@pytest.mark.parametrize("order_id", ["*", "a.>", "a b", "../a"])
async def test_an_id_that_is_none_reads_no_other_order(server: Bus, system: Backend, order_id: str) -> None:
    await run(server, "submit", "-", "--order-id", "one", "--wait", stdin=ORDER)
    for command in (("logs", order_id), ("logs", order_id, "--follow")):
        done = await run(server, *command)
        assert (done.code, done.out) == (2, "")
        assert "[order.unknown]" in done.err


async def test_views_as_json_are_the_contract(server: Bus, system: Backend) -> None:
    await run(server, "submit", "-", "--order-id", "one", "--wait", stdin=ORDER)
    shown = json.loads((await run(server, "orders", "show", "one", "-o", "json")).out)
    assert {"order_id", "environment_id", "action", "status", "stages", "services"} <= set(shown)
    assert {"stage", "status", "attempts", "started_at", "finished_at", "error"} <= set(shown["stages"][0])
    assert {"id", "decision", "commit", "url", "health"} <= set(shown["services"][0])
    listed = json.loads((await run(server, "orders", "list", "-o", "json")).out)
    assert listed["orders"][0]["order_id"] == "one"
    events = json.loads((await run(server, "orders", "events", "one", "-o", "json")).out)
    assert events["events"][0]["position"] == 1
    environment = json.loads((await run(server, "environments", "show", "3", "-o", "json")).out)
    assert {"domains", "services", "routes"} <= set(environment)


async def test_views_as_text(server: Bus, system: Backend) -> None:
    await run(server, "submit", "-", "--order-id", "one", "--wait", stdin=ORDER)
    assert "one" in (await run(server, "orders", "list")).out
    assert "Order one: succeeded" in (await run(server, "orders", "show", "one")).out
    assert "OrderReceived.v1" in (await run(server, "orders", "events", "one")).out
    assert "Environment 3" in (await run(server, "environments", "show", "3")).out


async def test_logs_tell_the_past_and_follow_the_present(server: Bus, system: Backend) -> None:
    await run(server, "submit", "-", "--order-id", "one", stdin=ORDER)
    followed = await run(server, "logs", "one", "--follow")
    assert followed.code == 0
    assert followed.out.splitlines()[-1].endswith("succeeded")
    past = await run(server, "logs", "one", "-o", "json")
    entries = [json.loads(line) for line in past.out.splitlines()]
    assert sum(entry["type"] == "stagewright.task.logged.v1" for entry in entries) == 24
    assert [entry["at"] for entry in entries] == sorted(entry["at"] for entry in entries)


async def test_ctrl_c_detaches_and_the_order_goes_on(server: Bus, system: Backend) -> None:
    system.step = 0.3
    process = await asyncio.create_subprocess_exec(
        STAGEWRIGHT,
        *("submit", "-", "--order-id", "one", "--wait"),
        env=server.environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(ORDER)
    process.stdin.close()
    while b"inspect" not in await process.stdout.readline():
        continue
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 130
    assert "stagewright logs one --follow" in err.decode()
    await eventually(lambda: system.orders["one"].status == "succeeded")


async def test_a_terminal_gets_the_live_view(server: Bus, system: Backend) -> None:
    done = await run_in_terminal(server, "submit", "-", "--wait", typed=ORDER + b"\x04")
    assert done.code == 0
    shown = done.out
    assert "✓" in shown
    assert "service 7" in shown
    assert "succeeded" in shown


async def test_ids_are_completed(server: Bus, system: Backend) -> None:
    for order_id in ("first", "second"):
        await run(server, "submit", "-", "--order-id", order_id, stdin=ORDER)
    ask = {"_STAGEWRIGHT_COMPLETE": "complete_bash", "COMP_CWORD": "3"}
    orders = await run(server, COMP_WORDS="stagewright orders show s", **ask)
    assert orders.out.split() == ["second"]
    environments = await run(server, COMP_WORDS="stagewright environments show ", **ask)
    assert environments.out.split() == ["3"]


async def test_completion_without_a_bus_offers_nothing(server: Bus) -> None:
    server.stop()
    ask = {"_STAGEWRIGHT_COMPLETE": "complete_bash", "COMP_CWORD": "3"}
    done = await run(server, COMP_WORDS="stagewright orders show s", **ask)
    assert (done.out.strip(), done.err) == ("", "")


async def test_doctor_says_what_is_wrong_and_what_to_do(server: Bus, system: Backend) -> None:
    done = await run(server, "doctor", "-o", "json", AWS_EC2_METADATA_DISABLED="true")
    report = json.loads(done.out)
    assert (done.code, report["ok"]) == (1, False)
    by_name = {each["name"]: each for each in report["connections"]}
    assert by_name["bus"]["state"] == "ok"
    assert by_name["orchestrator"]["state"] == "ok"
    assert by_name["vault"]["state"] == "failed"
    assert by_name["vault"]["remedy"]
    assert {each["name"] for each in report["requirements"]} >= {"python", "git", "node", "npm", "openbao"}


async def test_wrong_settings_are_invalid_input(server: Bus) -> None:
    done = await run(server, "orders", "list", STAGEWRIGHT_PROFILE="holiday")
    assert done.code == 2
    assert "profile" in done.err

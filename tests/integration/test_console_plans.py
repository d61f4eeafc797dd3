"""Plans, and what is agreed to before it is done, against a backend that speaks the contract."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.console_backend import Backend, backend
from tests.support.console_bus import Bus, bus
from tests.support.console_process import ORDER, order, run, run_in_terminal


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Bus]:
    with bus(tmp_path / "bus") as running:
        yield running


@pytest.fixture
async def system(server: Bus) -> AsyncIterator[Backend]:
    async with backend(server) as serving:
        yield serving


async def test_a_plan_says_what_changes_and_why(server: Bus, system: Backend) -> None:
    done = await run(server, "plan", "-", stdin=ORDER)
    assert done.code == 0, done.err
    lines = {line.split()[1]: line.split() for line in done.out.splitlines() if line[:3] in SIGNED}
    signs = {name: words[0] for name, words in lines.items()}
    assert signs == {"environment": "~", "6": "+", "7": "~", "8": "=", "9": "±", "10": "-"}
    assert lines["6"][2:5] == ["create", "verified", "at"]
    assert " ".join(lines["9"][-2:]) == "type changes"
    assert "commit  bbbbbbbbbb → aaaaaaaaaa" in done.out
    assert "1 to create, 1 to update, 1 to replace, 1 to drop, 1 unchanged" in done.out
    assert "\x1b" not in done.out, "no colour in a pipe"
    assert all(one.purpose == "plan" for one in system.orders.values())


SIGNED = {f"  {sign}" for sign in "+~=±-"}


async def test_a_plan_has_colours_in_a_terminal(server: Bus, system: Backend) -> None:
    done = await run_in_terminal(server, "plan", "-", typed=ORDER + b"\x04")
    assert done.code == 0
    assert "\x1b[32m  + 6" in done.out


async def test_a_plan_from_the_log_alone_says_that_it_is_believed(server: Bus, system: Backend) -> None:
    done = await run(server, "plan", "-", "--offline", stdin=ORDER)
    assert done.code == 0
    assert "believed since" in done.out
    assert "From the log alone" in done.out
    assert system.orders == {}


@pytest.mark.parametrize(
    ("scenario", "plain", "detailed"),
    [("same", 0, 0), ("", 0, 2), ("unplannable", 1, 1)],
)
async def test_exit_codes_of_plans(
    server: Bus, system: Backend, scenario: str, plain: int, detailed: int
) -> None:
    assert (await run(server, "plan", "-", stdin=order(scenario))).code == plain
    assert (await run(server, "plan", "-", "--detailed-exitcode", stdin=order(scenario))).code == detailed


async def test_every_error_of_a_detailed_exit_code_is_1(server: Bus, system: Backend) -> None:
    assert (await run(server, "plan", "-", stdin=b"hello")).code == 2
    assert (await run(server, "plan", "-", "--detailed-exitcode", stdin=b"hello")).code == 1
    assert (await run(server, "plan", "nowhere.yml", "--detailed-exitcode")).code == 1
    server.stop()
    assert (await run(server, "plan", "-", stdin=ORDER)).code == 4
    assert (await run(server, "plan", "-", "--detailed-exitcode", stdin=ORDER)).code == 1


async def test_a_plan_that_cannot_be_made_says_why(server: Bus, system: Backend) -> None:
    done = await run(server, "plan", "-", stdin=order("unplannable"))
    assert "[repository.ref_not_found]" in done.err
    assert "Write a branch that it has." in done.err
    as_json = await run(server, "plan", "-", "-o", "json", stdin=order("unplannable"))
    assert json.loads(as_json.out)["error"]["code"] == "repository.ref_not_found"


async def test_a_plan_as_json_is_the_view(server: Bus, system: Backend) -> None:
    view = json.loads((await run(server, "plan", "-", "-o", "json", stdin=ORDER)).out)
    assert view["changes"] is True
    assert view["plan_id"] in system.orders
    assert {line["service"]: line["decision"] for line in view["services"]}["9"] == "replace"


async def test_a_plan_that_takes_too_long_is_given_up(server: Bus, system: Backend) -> None:
    await system.stop()
    system.make_plan = lambda _one: asyncio.sleep(0)  # nothing is ever said of it
    done = await run(server, "plan", "-", "--timeout", "0.5", stdin=ORDER)
    assert done.code == 3
    assert "No plan was made within 0.5 s" in done.err


async def test_a_saved_plan_binds_the_order(server: Bus, system: Backend, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    done = await run(server, "plan", "examples/orders/environment-3.yml", "--save", str(file))
    assert done.code == 0
    assert f"stagewright submit --plan {file}" in done.out
    saved = json.loads(file.read_text())
    assert set(saved) == {"plan_id", "order", "plan"}
    assert saved["order"]["plan_id"] == saved["plan_id"] == saved["plan"]["plan_id"]
    sent = await run(server, "submit", "--plan", str(file), "--wait", "--order-id", "one", "--by", "alice")
    assert sent.code == 0, sent.err
    one = system.orders["one"]
    assert one.order["plan_id"] == saved["plan_id"]
    assert one.order["api"]["services"][0]["id"] == "6"
    assert one.by == "alice"


async def test_submit_takes_an_order_or_a_plan(server: Bus, system: Backend, tmp_path: Path) -> None:
    neither = await run(server, "submit")
    assert neither.code == 2
    assert "--plan PLANFILE" in neither.err
    (tmp_path / "no.json").write_text("{}")
    wrong = await run(server, "submit", "--plan", str(tmp_path / "no.json"))
    assert wrong.code == 2
    assert "is no saved plan" in wrong.err
    offline = await run(server, "plan", "-", "--offline", "--save", "x", stdin=ORDER)
    assert offline.code == 2
    assert system.orders == {}


async def test_a_rollback_is_shown_and_agreed_to(server: Bus, system: Backend) -> None:
    await run(server, "submit", "-", "--wait", "--order-id", "one", stdin=ORDER)
    nobody = await run(server, "rollback", "3", "--to", "one")
    assert nobody.code == 2
    assert "--yes" in nobody.err
    no = await run_in_terminal(server, "rollback", "3", "--to", "one", typed=b"n\n")
    assert no.code == 1
    assert list(applied(system)) == ["one"]
    yes = await run_in_terminal(server, "rollback", "3", "--to", "one", "--wait", typed=b"y\n")
    assert yes.code == 0, yes.out
    assert "Bring environment 3 back to order one?" in yes.out
    (order_id,) = set(applied(system)) - {"one"}
    sent = system.orders[order_id].order
    assert (sent["action"], sent["to"]) == ("rollback", "one")
    assert system.orders[sent["plan_id"]].purpose == "plan", "what was looked at is what is done"


def applied(system: Backend) -> list[str]:
    return [one.order_id for one in system.orders.values() if one.purpose == "apply"]


async def test_a_rollback_without_a_question(server: Bus, system: Backend) -> None:
    await run(server, "submit", "-", "--wait", "--order-id", "one", stdin=ORDER)
    dry = await run(server, "rollback", "3", "--to", "one", "--dry-run", "-o", "json")
    assert (dry.code, json.loads(dry.out)["action"]) == (0, "rollback")
    assert applied(system) == ["one"]
    done = await run(server, "rollback", "3", "--to", "one", "--yes", "--wait", "-o", "json")
    assert (done.code, json.loads(done.out)["status"]) == (0, "accepted")
    unknown = await run(server, "rollback", "3", "--to", "nobody", "--yes")
    assert unknown.code == 2
    assert "[query.not_found]" in unknown.err


async def test_what_changes_nothing_is_not_asked(server: Bus, system: Backend) -> None:
    await run(server, "submit", "-", "--wait", "--order-id", "one", stdin=order("same"))
    done = await run_in_terminal(server, "rollback", "3", "--to", "one")
    assert done.code == 0
    assert "Nothing was submitted." in done.out
    assert applied(system) == ["one"]


async def test_an_environment_is_dropped_after_a_question(server: Bus, system: Backend) -> None:
    done = await run_in_terminal(
        server, "environments", "drop", "3", "--no-dump", "--wait", "--by", "eve", typed=b"y\n"
    )
    assert done.code == 0, done.out
    assert "Drop environment 3?" in done.out
    assert "deconfigure_environment" in done.out
    assert "configure_environment " not in done.out.replace("deconfigure_environment", ""), "a drop has none"
    (order_id,) = applied(system)
    sent = system.orders[order_id]
    assert (sent.order["action"], sent.order["dump"], sent.by) == ("drop", False, "eve")


async def test_drop_redeploy_and_maintenance_are_orders(server: Bus, system: Backend) -> None:
    assert (await run(server, "environments", "drop", "3")).code == 2
    for words, wanted in (
        (("drop", "3", "--yes"), {"action": "drop"}),
        (
            ("redeploy", "3", "--service", "6", "--service", "7"),
            {"action": "redeploy", "service_ids": ["6", "7"]},
        ),
        (("maintenance", "3", "on"), {"action": "maintenance", "maintenance": True}),
        (("maintenance", "3", "off"), {"action": "maintenance", "maintenance": False}),
    ):
        done = await run(server, "environments", *words, "--wait", "-o", "json")
        assert done.code == 0, done.err
        sent = system.orders[json.loads(done.out)["order_id"]]
        assert sent.order == {"environment_id": "3", **wanted}

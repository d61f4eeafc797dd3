"""The life of an environment on the whole stack, from its first order to its drop."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from console.client import Console, connected
from console.probes.proxy import get
from stagewright.contracts.base import Stage
from stagewright.contracts.queries import OrderListQuery, OrderView
from stagewright.errors import StagewrightError
from tests.support.eventually import eventually
from tests.support.whole_stack import HOST, WholeStack, ended, fresh, submit, succeeded
from tests.support.whole_stack_facts import everything_holds
from tests.support.whole_stack_rest import dumps, left_of

POLL = 0.05
"""Seconds between two looks at the site while it is being changed."""

PAGE = {
    "package.json": '{"name": "page", "version": "1.0.0", "scripts": {"build": "node build.js"}}',
    "build.js": "require('fs').cpSync('src', 'dist', { recursive: true })\n",
    "src/index.html": "<html><head><script src='main.js'></script></head>version 1</html>\n",
    "src/main.js": "document.title = 'page'\n",
}


def decisions(view: OrderView) -> dict[str, str]:
    return {line.service: line.decision for line in view.plan}


async def deployed_by(console: Console, order_id: str) -> list[str]:
    """Services for which the order ran a playbook that deploys."""
    events = await console.order_events(order_id)
    return [
        event.body["service"]["id"]  # type: ignore[index]
        for event in events.events
        if event.type == "stagewright.service.deploy.v1"
    ]


@asynccontextmanager
async def watched(whole: WholeStack, domain: str, path: str, text: str) -> AsyncIterator[list[str]]:
    """Ask for a page every 50 ms meanwhile; what was wrong with an answer is in the list."""
    wrong: list[str] = []
    asked = 0

    async def watch() -> None:
        nonlocal asked
        while True:
            try:
                reply = await get(whole.settings.proxy, domain, path)
                if reply.status_code != 200 or text not in reply.text:
                    wrong.append(f"{reply.status_code} {reply.text[:80]}")
            except httpx.HTTPError as error:
                wrong.append(repr(error))
            asked += 1
            await asyncio.sleep(POLL)

    watching = asyncio.create_task(watch())
    try:
        yield wrong
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
    assert asked > 3, "nobody looked"


async def test_an_environment_from_its_first_order_to_its_drop(whole: WholeStack) -> None:
    for name in ("auth", "manager"):
        whole.publish(f"life-{name}", {"server.js": _api("1"), "package.json": f'{{"name": "{name}"}}'})
    whole.publish("life-page", PAGE)
    order = whole.order(fresh("life"), auth="life-auth", manager="life-manager", front="life-page")
    order["front"]["services"][0]["type"] = "angular"
    environment, scene = order["environment_id"], whole.scene(order)
    api, www = scene.order.domains
    async with connected(whole.settings, timeout=10) as console:
        first = await submit(console, order)
        assert set(decisions(await succeeded(console, first)).values()) == {"create"}
        await everything_holds(whole, scene)

        # One new commit: that service alone runs.
        whole.publish("life-auth", {"server.js": _api("2")})
        second = await submit(console, order)
        assert decisions(await succeeded(console, second)) == {
            "6": "update",
            "7": "unchanged",
            "8": "unchanged",
        }
        assert await deployed_by(console, second) == ["6"]
        assert json.loads((await get(whole.settings.proxy, api, "/core")).text)["version"] == "2"

        # A path moves.
        order["api"]["services"][0]["path"] = "/auth"
        await succeeded(console, await submit(console, order))
        assert json.loads((await get(whole.settings.proxy, api, "/auth")).text)["version"] == "2"

        # A service is dropped, after the routes have left it.
        dropped = order["api"]["services"].pop()
        view = await succeeded(console, await submit(console, order))
        assert decisions(view)["7"] == "drop"
        assert (await get(whole.settings.proxy, api, "/")).status_code == 404
        assert len(dumps(whole, environment)) == 1
        assert f"{environment}-7" not in str(await left_of(whole, whole.scene(order)))

        # A build fails: what answered goes on answering, all the time.
        async with watched(whole, www, "/", "version 1") as wrong:
            whole.publish("life-page", {"build.js": "process.exit(3)\n"})
            failing = await submit(console, order)
            view = await ended(console, failing)
            assert view.status == "failed"
            assert view.error is not None
            assert view.error.code == "playbook.failed"
        assert wrong == []

        # The fix, and only what failed is done again.
        whole.publish("life-page", PAGE | {"src/index.html": PAGE["src/index.html"].replace("1<", "2<")})
        before = len((await console.order_events(failing)).events)
        assert whole.cli("orders", "retry", failing, "--by", "ann").returncode == 0
        view = await succeeded(console, failing)
        again = [event.type for event in (await console.order_events(failing)).events[before:]]
        assert again.count("stagewright.service.deploy.v1") == 1
        assert "stagewright.variables.create.v1" not in again
        await eventually(
            lambda: get(whole.settings.proxy, www, "/"),
            timeout=10,
            until=lambda reply: "version 2" in reply.text,
        )

        # Back to the first order: commits, paths and the service that was dropped.
        done = whole.cli("rollback", environment, "--to", first, "--yes", "--wait", "--by", "ann")
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads((await get(whole.settings.proxy, api, "/core")).text)["version"] == "1"
        assert (await get(whole.settings.proxy, api, "/")).status_code == 200
        await eventually(
            lambda: get(whole.settings.proxy, www, "/"),
            timeout=10,
            until=lambda reply: "version 1" in reply.text,
        )
        order["api"]["services"][0]["path"] = "/core"
        order["api"]["services"].append(dropped)

        # And all of it away.
        done = whole.cli("environments", "drop", environment, "--yes", "--wait", "--by", "ann")
        assert done.returncode == 0, done.stdout + done.stderr
        assert await left_of(whole, scene) == {}
        assert len(dumps(whole, environment)) == 3
        second_drop = await submit(console, {"action": "drop", "environment_id": environment})
        view = await succeeded(console, second_drop)
        assert (decisions(view), view.environment_plan.decision) == ({}, "unchanged")  # type: ignore[union-attr]


def _api(version: str) -> str:
    return (
        "require('http').createServer((request, response) =>"
        f" response.end(JSON.stringify({{ status: 'ready', version: '{version}' }})))"
        ".listen(process.env.PORT, process.env.HOST)\n"
    )


async def test_a_failing_order_that_says_so_is_taken_back(whole: WholeStack) -> None:
    whole.publish("undo-api", {"server.js": _api("1"), "package.json": '{"name": "undo"}'})
    order = whole.order(fresh("undo"), auth="undo-api")
    api = whole.scene(order).order.domains[0]
    async with connected(whole.settings, timeout=10) as console:
        await succeeded(console, await submit(console, order))
        whole.publish("undo-api", {"server.js": _api("2")})
        whole.publish(
            "undo-bad", {"server.js": "throw new Error('bad')\n", "package.json": '{"name": "bad"}'}
        )
        changed = json.loads(json.dumps(order)) | {"on_failure": "revert"}
        bad = {"id": "9", "path": "/bad", "repository": {"url": f"{HOST}/undo-bad"}, "type": "node"}
        changed["api"]["services"].append(bad)
        changed["api"]["domains"].append(f"more.{order['environment_id']}.test")
        view = await ended(console, await submit(console, changed))
        assert (view.status, view.reverted) == ("failed", True)
        assert {stage.stage for stage in view.stages if stage.undo} >= {
            Stage.DEPLOY_SERVICES,
            Stage.REMOVE_SERVICES,
        }
        assert json.loads((await get(whole.settings.proxy, api, "/core")).text)["version"] == "1"
        left = await left_of(whole, whole.scene({**changed, "on_failure": "keep"}))
        assert [record.name for record in left["dns"]] == sorted(whole.scene(order).order.domains)
        shown = await console.environment(order["environment_id"])
        assert {service.id for service in shown.services} == {"6", "7", "8"}


async def test_maintenance_answers_503_and_touches_no_process(whole: WholeStack) -> None:
    order = whole.order(fresh("calm"))
    scene = whole.scene(order)
    async with connected(whole.settings, timeout=10) as console:
        await succeeded(console, await submit(console, order))
        pids = _pids(await left_of(whole, scene))
        name = order["environment_id"]
        done = whole.cli("environments", "maintenance", name, "on", "--wait", "--by", "ann")
        assert done.returncode == 0, done.stdout + done.stderr
        for domain in scene.order.domains:
            reply = await get(whole.settings.proxy, domain, "/")
            assert reply.status_code == 503
            assert int(reply.headers["retry-after"]) > 0
        assert _pids(await left_of(whole, scene)) == pids
        assert (await console.environment(name)).maintenance
        assert whole.cli("environments", "maintenance", name, "off", "--wait", "--by", "ann").returncode == 0
    assert (await get(whole.settings.proxy, scene.order.domains[0], "/")).status_code == 200


def _pids(left: dict[str, Any]) -> list[int]:
    return sorted(left["processes"])


async def test_what_a_person_approved_is_what_runs(whole: WholeStack) -> None:
    order = whole.order(fresh("plan"))
    file, saved = whole.work / "plan.json", whole.work / "saved.json"
    file.write_text(json.dumps(order))
    planned = whole.cli("plan", str(file), "--detailed-exitcode", "--save", str(saved), check=False)
    assert planned.returncode == 2, planned.stdout + planned.stderr
    async with connected(whole.settings, timeout=10) as console:
        order["require_approval"] = True
        order_id = await submit(console, order)
        await eventually(
            lambda: console.order(order_id), timeout=30, until=lambda view: view.status == "awaiting_approval"
        )
        assert whole.cli("orders", "approve", order_id, "--by", "bob").returncode == 0
        await succeeded(console, order_id)
    moved = whole.cli("submit", "--plan", str(saved), "--wait", "--by", "ann", check=False)
    assert moved.returncode == 1
    assert "plan.outdated" in moved.stdout + moved.stderr
    offline = whole.cli("plan", str(file), "--offline", "--detailed-exitcode", "-o", "json", check=False)
    assert offline.returncode == 0
    assert {line["basis"] for line in json.loads(offline.stdout)["services"]} == {"believed"}


async def test_a_patient_service_becomes_ready_and_who_waits_is_told(whole: WholeStack) -> None:
    sign = whole.work / "sign-of-readiness"
    server = (
        "const { existsSync } = require('fs')\n"
        "require('http').createServer((request, response) => {\n"
        f"  const ready = existsSync({json.dumps(str(sign))})\n"
        "  response.writeHead(ready ? 200 : 503).end(JSON.stringify({ ready }))\n"
        "}).listen(process.env.PORT, process.env.HOST)\n"
    )
    whole.publish("patient", {"server.js": server, "package.json": '{"name": "patient"}'})
    order = whole.order(fresh("wait"), manager="patient")
    file = whole.work / "patient.json"
    file.write_text(json.dumps(order))
    name = order["environment_id"]

    async def health(console: Console) -> dict[str, str | None]:
        with contextlib.suppress(StagewrightError):
            return {each.id: each.health for each in (await console.environment(name)).services}
        return {}

    async with connected(whole.settings, timeout=10) as console:
        waiting = asyncio.create_task(
            asyncio.to_thread(
                whole.cli, "submit", str(file), "--wait=ready", "--timeout", "90", "--by", "ann"
            )
        )
        await eventually(
            lambda: health(console), timeout=60, until=lambda found: found.get("7") == "incomplete"
        )
        assert not waiting.done()
        sign.touch()
        done = await waiting
        assert done.returncode == 0, done.stdout + done.stderr
        assert await health(console) == {"6": "ready", "7": "ready", "8": "ready"}
        (listed,) = (await console.orders(OrderListQuery(environment_id=name))).orders
        events = (await console.order_events(listed.order_id)).events
        assert "stagewright.environment.health_observed.v1" in [event.type for event in events]

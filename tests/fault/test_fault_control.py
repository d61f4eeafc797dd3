"""Cancelling, pausing and freezing on the whole stack: processes are gone by pid, nothing is done twice."""

import asyncio
import os
import signal
import time

import psutil
import pytest

from console.client import Console, connected
from stagewright.contracts.base import Stage
from tests.support.eventually import eventually
from tests.support.parts import assert_gone, kill
from tests.support.whole_stack import HOST, WholeStack, ended, fresh, reached, submit, succeeded
from tests.support.whole_stack_facts import answered_once, everything_holds
from tests.support.whole_stack_holds import held

SLOW = {
    "package.json": '{"name": "slow", "version": "1.0.0", "scripts": {"build": "node build.js"}}',
    # A build of a minute that hides from its process group, as some tools do.
    "build.js": (
        "const { spawn } = require('child_process')\n"
        "spawn('setsid', ['sleep', '61.5'], { stdio: 'ignore' })\n"
        "setTimeout(() => {}, 60000)\n"
    ),
}


def sleepers() -> list[int]:
    """The processes of the slow build."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if words[-1:] == ["61.5"] or (words[:1] and words[-1].endswith("build.js") and "node" in words[0]):
            found.append(process.pid)
    return found


def test_a_cancelled_task_of_a_minute_is_gone_within_ten_seconds(whole: WholeStack) -> None:
    whole.publish("slow", SLOW)
    order = whole.order(fresh("stop"))
    order["front"]["services"][0] |= {"repository": {"url": f"{HOST}/slow"}, "type": "angular"}

    async def cancelled(console: Console) -> None:
        order_id = await submit(console, order)
        running = await eventually(sleepers, timeout=60, until=lambda found: len(found) >= 2)
        begun = time.monotonic()
        assert whole.cli("orders", "cancel", order_id, "--by", "ann", "--why", "too slow").returncode == 0
        await eventually(sleepers, timeout=10, until=lambda found: not found)
        assert time.monotonic() - begun < 10
        assert not [pid for pid in running if psutil.pid_exists(pid)]
        view = await ended(console, order_id)
        assert (view.status, view.cancelled_by) == ("cancelled", "ann")
        assert {each.stage: each.status for each in view.stages}[Stage.UPDATE_ROUTES] == "pending"
        deployed = (await console.environment(order["environment_id"])).services
        assert {service.id for service in deployed} <= {"6", "7"}

    asyncio.run(_asking(whole, cancelled))


async def _asking(whole: WholeStack, work) -> None:  # type: ignore[no-untyped-def]
    async with connected(whole.settings, timeout=30) as console:
        await work(console)


def test_a_paused_order_outlives_the_kill_of_everything(whole: WholeStack) -> None:
    order = whole.order(fresh("hold"))
    found: list[str] = []

    async def pause(console: Console) -> None:
        order_id = await submit(console, order)
        found.append(order_id)
        await reached(console, order_id, Stage.DEPLOY_SERVICES)
        assert whole.cli("orders", "pause", order_id, "--by", "ann").returncode == 0

    with held(whole, Stage.DEPLOY_SERVICES):
        asyncio.run(_asking(whole, pause))
        pids = [part.pid for part in whole.stack.status()]
        kill(whole.stack.supervision.pid())
    assert_gone(*pids, timeout=60)
    whole.stack.start()

    async def resume(console: Console) -> None:
        view = await eventually(
            lambda: console.order(found[0]), timeout=60, until=lambda view: not _running(view)
        )
        assert view.status == "paused"
        assert {each.stage: each.status for each in view.stages}[Stage.UPDATE_ROUTES] == "pending"
        assert whole.cli("orders", "resume", found[0], "--by", "bob").returncode == 0
        await succeeded(console, found[0])
        await answered_once(console, found[0])

    asyncio.run(_asking(whole, resume))
    asyncio.run(everything_holds(whole, whole.scene(order)))


def _running(view) -> bool:  # type: ignore[no-untyped-def]
    return any(stage.status == "running" for stage in view.stages)


@pytest.mark.parametrize("stage", [Stage.DEPLOY_SERVICES])
async def test_a_frozen_executor_that_wakes_too_late_changes_nothing(whole: WholeStack, stage: Stage) -> None:
    order = whole.order(fresh("frozen"))
    async with connected(whole.settings, timeout=30) as console:
        with held(whole, stage) as holds:
            order_id = await submit(console, order)
            await reached(console, order_id, stage)
            await eventually(whole.pending, timeout=60)
            frozen = whole.freeze("executor")
            other = await whole.second_executor()
            holds.release(stage)
        try:
            await succeeded(console, order_id)
            os.kill(frozen, signal.SIGCONT)
            found = await eventually(
                lambda: console.order_events(order_id),
                timeout=60,
                until=lambda events: any(
                    event.type == "stagewright.reply.refused.v1" for event in events.events
                ),
            )
            refused = [event.body for event in found.events if event.type == "stagewright.reply.refused.v1"]
            assert {body["stage"] for body in refused} == {stage}
            await answered_once(console, order_id)
        finally:
            os.kill(frozen, signal.SIGCONT)
            other.terminate()
            await other.wait()
    await everything_holds(whole, whole.scene(order))

"""Withdrawn commands on a real bus: what runs is stopped, what comes later is not begun; both answered."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from executor.adapters.ansible import AnsiblePlaybooks
from executor.handling import Context
from executor.leases import Leases
from executor.operators.ports import Playbook
from executor.withdrawals import Withdrawals
from stagewright import ids
from stagewright.clock import rfc3339, utc_now
from stagewright.contracts.base import Stage
from stagewright.contracts.commands import Command
from stagewright.contracts.events import CANCELLED, CommandFailed, EnvironmentConfigured, ServiceDeployed
from stagewright.messaging import topology
from stagewright.messaging.declaring import declare
from stagewright.settings import ExecutorSettings, ServerSettings, Settings
from tests.support import executor_bus as make
from tests.support.eventually import eventually
from tests.support.executor_bus import Bus, executor_bus, only, working
from tests.support.parts import NatsServer, assert_gone, fresh_layout, run_nats


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with fresh_layout() as layout, run_nats(layout, users=True) as found:
        yield found


@pytest.fixture
async def bus(server: NatsServer) -> AsyncIterator[Bus]:
    async with executor_bus(server) as found:
        yield found


class Work:
    """A handler that goes on until it is let go, and knows what it began and what was stopped."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.stopped: list[str] = []
        self.go = asyncio.Event()

    async def __call__(self, command: Command, context: Context) -> EnvironmentConfigured:
        self.begun.append(command.order_id)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.stopped.append(command.order_id)
            raise
        return context.answer(EnvironmentConfigured, records=())


def is_cancelled(outcome) -> bool:
    return isinstance(outcome, CommandFailed) and (outcome.error.kind, outcome.error.code) == (
        "terminal",
        CANCELLED,
    )


async def all_done(bus: Bus) -> None:
    await eventually(bus.waiting, until=lambda seen: seen == (0, 0))


@pytest.mark.parametrize("leased", [True, False])
async def test_what_runs_is_stopped_and_then_answered_and_the_rest_goes_on(bus: Bus, leased: bool) -> None:
    work, first, other = Work(), make.configure("o-1"), make.configure("o-2", environment="4")
    async with working(bus, only(work, leased=leased)):
        await bus.send(first, other)
        await eventually(lambda: len(work.begun) == 2)
        await bus.withdraw(first)
        (outcome,) = await eventually(bus.outcomes)
        assert work.stopped == ["o-1"]
        work.go.set()
        _, second = await eventually(bus.outcomes, until=lambda found: len(found) == 2)
        await all_done(bus)
    assert is_cancelled(outcome)
    assert (outcome.order_id, outcome.fence is not None) == ("o-1", leased)
    assert (type(second), second.order_id) == (EnvironmentConfigured, "o-2")


async def test_the_lease_of_what_was_stopped_is_free_at_once(bus: Bus) -> None:
    work, first = Work(), make.configure("o-1")
    async with working(bus, only(work)):
        await bus.send(first)
        await eventually(lambda: work.begun == ["o-1"])
        await bus.withdraw(first)
        await eventually(bus.outcomes)
        work.go.set()
        await bus.send(make.configure("o-2"))
        await eventually(bus.outcomes, until=lambda found: len(found) == 2, timeout=2)


@pytest.mark.parametrize("instant", [True, False])
async def test_what_was_withdrawn_before_an_executor_came_is_never_begun(bus: Bus, instant: bool) -> None:
    commands = [make.configure(f"o-{number}") for number in range(600)]
    for command in commands:
        await bus.withdraw(command)
    last, wanted = commands[-1], make.configure("wanted")
    await bus.send(last, wanted)
    work = Work()
    work.go.set()
    async with working(bus, only(work, leased=not instant, instant=instant), slots=1):
        outcome, _ = await eventually(bus.outcomes, until=lambda found: len(found) == 2)
        await all_done(bus)
    assert work.begun == ["wanted"]
    assert is_cancelled(outcome)
    assert (outcome.command_id, outcome.fence) == (last.command_id, None)


async def test_what_is_older_than_the_withdrawals_that_are_remembered_is_never_begun(bus: Bus) -> None:
    work, now = Work(), utc_now()
    late = make.configure("o-1").model_copy(update={"due": rfc3339(now - timedelta(seconds=1))})
    early = make.configure("o-2", environment="4")
    early = early.model_copy(update={"due": rfc3339(now + timedelta(hours=1))})
    work.go.set()
    async with working(bus, only(work)):
        await bus.send(late, early)
        outcomes = await eventually(bus.outcomes, until=lambda found: len(found) == 2)
        await all_done(bus)
    assert [one.order_id for one in outcomes if is_cancelled(one)] == ["o-1"]
    assert work.begun == ["o-2"]


async def test_what_waits_for_a_lease_or_a_slot_is_answered_without_being_begun(bus: Bus) -> None:
    work, holding = Work(), asyncio.Event()
    client = await bus.executor()
    leases = Leases(client.jetstream(), ttl=1)
    held = asyncio.create_task(leases.guard("5._", Context(make.configure()), holding.wait))
    waiting, running, queued = (make.configure(f"o-{n}", environment=n) for n in ("5", "6", "7"))
    async with working(bus, only(work), slots=1, leases=Leases(client.jetstream(), ttl=1)):
        await bus.send(waiting, running, queued)
        await eventually(lambda: work.begun == ["o-6"])
        await bus.withdraw(waiting)
        await bus.withdraw(queued)
        work.go.set()
        outcomes = await eventually(bus.outcomes, until=lambda found: len(found) == 3)
        await all_done(bus)
    holding.set()
    await held
    await client.close()
    assert work.begun == ["o-6"]
    assert {outcome.order_id for outcome in outcomes if is_cancelled(outcome)} == {"o-5", "o-7"}


async def test_a_stream_that_was_made_again_is_read_again(bus: Bus) -> None:
    work, first, second = Work(), make.configure("o-1"), make.configure("o-2", environment="4")
    async with working(bus, only(work)):
        await bus.send(first, second)
        await eventually(lambda: len(work.begun) == 2)
        await bus.withdraw(first)
        await eventually(bus.outcomes)
        await bus.js.delete_stream(topology.WITHDRAWALS)
        await declare(bus.js)
        await bus.withdraw(second)
        outcomes = await eventually(bus.outcomes, until=lambda found: len(found) == 2)
    assert [outcome.order_id for outcome in outcomes if is_cancelled(outcome)] == ["o-1", "o-2"]


async def test_without_its_stream_nothing_is_begun(bus: Bus) -> None:
    work = Work()
    work.go.set()
    await bus.js.delete_stream(topology.WITHDRAWALS)
    async with working(bus, only(work)):
        await bus.send(make.configure())
        before = await eventually(bus.waiting, until=lambda seen: seen[0] == 1)
        await declare(bus.js)
        await eventually(bus.outcomes)
    assert (before, work.begun) == ((1, 0), ["o-1"])


async def test_ids_are_forgotten_when_the_stream_forgets_them(bus: Bus) -> None:
    client = await bus.executor()
    heard: list = []
    withdrawals = Withdrawals(client, heard.append, kept=0.2)
    reading = asyncio.create_task(withdrawals.run())
    old, new = make.configure("o-1"), make.configure("o-2")
    await bus.withdraw(old)
    await withdrawals.current()
    assert old.command_id in withdrawals
    for number in range(100):
        await bus.withdraw(make.configure(f"more-{number}"))

    async def forgotten() -> bool:
        await bus.withdraw(new)
        return old.command_id not in withdrawals and len(withdrawals) == 1

    await eventually(forgotten)
    assert new.command_id in withdrawals
    assert len(heard) > 101
    reading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reading
    await client.close()


PLAY = """
- hosts: target
  gather_facts: false
  tasks:
    - name: Work for a minute
      ansible.builtin.command:
        argv:
          - {python}
          - -c
          - |
            import os, subprocess, sys, time
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    open({escaped!r}, "w").write(str(os.getpid()))
                    time.sleep(60)
                os._exit(0)
            open({running!r}, "w").write(str(os.getpid()))
            time.sleep(60)
"""


@pytest.mark.parametrize("namespace", [True, False])
async def test_a_withdrawn_playbook_is_gone_with_all_its_processes_within_ten_seconds(
    bus: Bus, tmp_path: Path, namespace: bool
) -> None:
    playbooks = tmp_path / "playbooks"
    playbooks.mkdir()
    (playbooks / "ansible.cfg").write_text("[defaults]\npipelining = True\n")
    files = {"running": str(tmp_path / "running"), "escaped": str(tmp_path / "escaped")}
    (playbooks / "long.yml").write_text(PLAY.format(python=sys.executable, **files))
    settings = Settings(
        profile="test", data_dir=tmp_path / "data", executor=ExecutorSettings(run_dir=tmp_path / "private")
    )

    async def token(_environment: str, _service: str) -> str:
        return "token"

    adapter = AnsiblePlaybooks(settings, token, playbooks)
    if not namespace:
        adapter._namespace = asyncio.get_running_loop().create_future()
        adapter._namespace.set_result(None)

    async def deploy(command: Command, context: Context) -> ServiceDeployed:
        variables = {"environment": "3", "service": {"id": "7"}}
        server = ServerSettings(name="here", home=tmp_path)
        playbook = Playbook("long", server, variables, 60, str(command.command_id))
        await adapter.run(playbook, context.on_task)
        raise AssertionError("it ran to its end")

    command = make.deploy()
    async with working(bus, only(deploy, stage=Stage.DEPLOY_SERVICES)):
        await bus.send(command)
        marks = [Path(file) for file in files.values()]
        await eventually(lambda: all(file.exists() and file.read_text() for file in marks), timeout=30)
        pids = processes_naming(tmp_path)
        assert len(pids) >= 3, "ansible, its task, and what escaped from that"
        await bus.withdraw(command)
        async with asyncio.timeout(10):
            (outcome,) = await eventually(bus.outcomes)
            assert_gone(*pids, timeout=0.1)
            await all_done(bus)
    assert is_cancelled(outcome)
    assert outcome.command_id == ids.command_id("o-1", "deploy_services", "7", 1)
    assert list((tmp_path / "private").iterdir()) == []


def processes_naming(directory: Path) -> list[int]:
    """Pids, as they are outside the namespace, of everything whose command names the directory."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            with contextlib.suppress(OSError):
                if os.fsencode(directory) in (path / "cmdline").read_bytes():
                    found.append(int(path.name))
    return found

"""An executor that is stopped (SIGSTOP) past its lease: its play ends by itself, another executor finishes,
and when it wakes it does nothing more than say that it was away.
"""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from stagewright.contracts.events import LEASE_LOST, CommandFailed, Outcome, ServiceDeployed
from stagewright.messaging import topology
from tests.support import executor_bus as make
from tests.support.eventually import eventually
from tests.support.executor_bus import Bus, executor_bus
from tests.support.executor_player import LEASE
from tests.support.parts import NatsServer, fresh_layout, run_nats


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with fresh_layout() as layout, run_nats(layout, users=True) as found:
        yield found


@pytest.fixture
async def bus(server: NatsServer) -> AsyncIterator[Bus]:
    async with executor_bus(server) as found:
        yield found


@asynccontextmanager
async def player(
    bus: Bus, directory: Path, name: str, *more: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    seed = bus.server.settings.seed(topology.EXECUTOR.name)
    argv = ("-m", "tests.support.executor_player", bus.server.url, str(seed), str(directory), name, *more)
    process = await asyncio.create_subprocess_exec(sys.executable, *argv)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def ticks(directory: Path, name: str) -> list[float]:
    file = directory / f"{name}.ticks"
    return [float(line) for line in file.read_text().splitlines()] if file.exists() else []


def playing(process: asyncio.subprocess.Process) -> list[psutil.Process]:
    """What an executor has below it and what is not yet gone."""
    below = psutil.Process(process.pid).children(recursive=True)
    return [one for one in below if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


async def freeze(bus: Bus, directory: Path, process: asyncio.subprocess.Process) -> None:
    """Stop it in the middle of its play, once it has renewed its lease; the command is another's to take."""
    began = (await eventually(lambda: ticks(directory, "first"), timeout=20))[0]
    await eventually(lambda: ticks(directory, "first")[-1] > began + LEASE, timeout=20)
    process.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    await bus.hurry()
    left = await eventually(lambda: playing(process), until=lambda found: not found)
    assert time.monotonic() - stopped < LEASE
    assert left == []


@pytest.mark.parametrize(("mode", "early"), [((), True), (("--guard",), False)])
async def test_its_play_ends_and_another_finishes_and_its_late_reply_is_no_answer(
    bus: Bus, tmp_path: Path, mode: tuple[str, ...], early: bool
) -> None:
    command = make.deploy()
    async with player(bus, tmp_path, "first", *mode) as first:
        await bus.send(command)
        await freeze(bus, tmp_path, first)
        async with player(bus, tmp_path, "second", *mode) as second:
            await eventually(lambda: ticks(tmp_path, "second"), timeout=20)
            if early:
                await woken(bus, first, before=0)
                seen = len(ticks(tmp_path, "second"))
                await eventually(lambda: len(ticks(tmp_path, "second")) > seen + LEASE / 0.1, timeout=20)
                assert await bus.waiting() == (1, 1), "still the second's"
            (tmp_path / "go").touch()
            await eventually(bus.waiting, until=lambda found: found == (0, 0), timeout=20)
            if not early:
                await woken(bus, first, before=1)
            second.kill()
        outcomes = {outcome.executor: outcome for outcome in await bus.outcomes()}
        assert len(await bus.outcomes()) == 2
        assert ticks(tmp_path, "first")[-1] < ticks(tmp_path, "second")[0]
        assert (tmp_path / "effects").read_text() == "second\n"
        lost_and_done(outcomes["first"], outcomes["second"])
        await still_of_use(bus)


async def woken(bus: Bus, process: asyncio.subprocess.Process, *, before: int) -> None:
    process.send_signal(signal.SIGCONT)
    await eventually(bus.outcomes, until=lambda found: len(found) == before + 1)
    assert playing(process) == []


def lost_and_done(late: Outcome, done: Outcome) -> None:
    assert isinstance(late, CommandFailed)
    assert (late.error.kind, late.error.code) == ("retryable", LEASE_LOST)
    assert isinstance(done, ServiceDeployed)
    assert done.fence > late.fence
    # Each run is kept: what the first left was not taken away by the second, nor the other way round.
    script = Path(done.run.split(" ", 1)[1])
    assert script.is_file()
    assert len(list(script.parents[1].iterdir())) == 2


async def still_of_use(bus: Bus) -> None:
    """The one that was frozen takes what comes next."""
    await bus.send(make.deploy("o-2"))
    *_, last = await eventually(bus.outcomes, until=lambda found: len(found) == 3, timeout=20)
    assert (last.executor, last.order_id) == ("first", "o-2")

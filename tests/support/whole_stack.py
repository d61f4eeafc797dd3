"""The whole one-machine stack for fault and end-to-end tests: cheap services, orders for fresh environments.

One stack serves a whole test run; each test takes environments of its own, each with domains, a hosted zone,
a bucket and databases of its own. A stack that a test left behind broken is mended before the next one.
"""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from console.client import Console
from console.demo.scene import Scene, scene
from embedded.mirrors import MANIFEST, build_mirrors
from embedded.stack import Configuration, Stack
from stagewright.contracts.queries import OrderView, StageStatus
from stagewright.errors import StagewrightError
from stagewright.messaging.connecting import connect
from stagewright.messaging.topology import COMMANDS, EXECUTOR_COMMANDS, ORCHESTRATOR
from stagewright.settings import Settings
from tests.support.eventually import eventually

HOST = "https://git.example.test"
END = 120.0
"""Seconds in which an order ends, kills and a busy machine included."""
ENDED = {"succeeded", "failed", "cancelled", "stuck"}

_SERVER = """
const http = require('http')
const version = '1'
http.createServer((request, response) => response.end(JSON.stringify({ status: 'ready', version })))
  .listen(process.env.PORT, process.env.HOST)
"""
_PAGE = "<!doctype html><html><head><script src='main.js'></script></head><body>front</body></html>\n"
SOURCES: dict[str, dict[str, str]] = {
    "auth": {"server.js": _SERVER, "package.json": '{"name": "auth", "version": "1.0.0"}'},
    "manager": {"server.js": _SERVER, "package.json": '{"name": "manager", "version": "1.0.0"}'},
    "front": {"index.html": _PAGE, "main.js": "document.title = 'front'\n"},
}
"""Services that deploy in a second or two: no dependencies, no build."""


@dataclass
class WholeStack:
    """A running stack with everything that the tests do to it."""

    stack: Stack
    work: Path

    @property
    def settings(self) -> Settings:
        return self.stack.settings()

    # Sources and orders

    def publish(self, name: str, files: dict[str, str]) -> str:
        """Put a repository on the mirror (its folder as a new commit); its address."""
        folder = self.work / "sources" / name
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        manifest = self.work / "sources" / MANIFEST
        manifest.write_text(f'[mirrors]\n"{HOST}/{name}" = "{name}"\n')
        build_mirrors(self.work / "sources", self.work / "mirrors")
        return f"{HOST}/{name}"

    def mirror(self, name: str) -> Path:
        """A mirror's bare repository."""
        return self.work / "mirrors" / f"{name}.git"

    def order(self, environment: str, **repositories: str) -> dict[str, Any]:
        """The example order's shape for another environment; `auth="other"` takes another repository."""

        def service(id_: str, path: str, name: str, type_: str, **more: Any) -> dict[str, Any]:
            address = f"{HOST}/{repositories.get(name, name)}"
            return {"id": id_, "path": path, "repository": {"url": address}, "type": type_, **more}

        apis = [
            service("6", "/core", "auth", "node", roles=["auth", "discovery"]),
            service("7", "/", "manager", "node"),
        ]
        return {
            "action": "update",
            "environment_id": environment,
            "api": {"domains": [f"api.{environment}.test"], "services": apis},
            "front": {
                "domains": [f"www.{environment}.test"],
                "services": [service("8", "/", "front", "static")],
            },
        }

    def scene(self, order: dict[str, Any]) -> Scene:
        """What proofs are about."""
        return scene(json.dumps(order).encode(), self.settings)

    async def pending(self) -> int:
        """Commands that an executor has in hand, by what the bus says."""
        seed = self.settings.nats.seed(ORCHESTRATOR.name)
        client = await connect(self.settings.nats.url, ORCHESTRATOR, seed_file=seed, allow_reconnect=False)
        try:
            info = await client.jetstream().consumer_info(COMMANDS, EXECUTOR_COMMANDS.name)
            return info.num_ack_pending or 0
        finally:
            await client.close()

    # Parts

    async def kill(self, name: str) -> None:
        """SIGKILL to a part; returns when its supervisor has started it again and it serves."""
        killed = self.stack.kill_part(name)
        assert killed, f"{name} had no process to be killed"
        await eventually(
            lambda: self.stack.supervision.parts()[name],
            timeout=60,
            until=lambda part: part.pid != killed and part.state == "RUNNING",
        )
        await asyncio.to_thread(self.stack.await_part, name, 60)

    def freeze(self, name: str) -> int:
        """SIGSTOP to a part: it holds its connections and answers nobody. Returns its process."""
        pid = self.stack.pid(name)
        os.kill(pid, signal.SIGSTOP)
        return pid

    async def second_executor(self) -> asyncio.subprocess.Process:
        """Another executor with the same settings, in another process; end it yourself."""
        environment = {**os.environ, "STAGEWRIGHT_DATA_DIR": str(self.stack.layout.root)}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "executor.main",
            env=environment,
            cwd=self.work,
            stderr=asyncio.subprocess.DEVNULL,
        )

    def mend(self) -> None:
        """Wake what is frozen, start what is down."""
        if not self.stack.running():
            self.stack.start()
        for part in self.stack.status():
            thaw(part.pid)
            if part.pid == 0:
                self.stack.start_part(part.name, 60)

    def cli(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One `stagewright` command, asked as a person would."""
        program = [sys.executable, "-m", "console.cli.main", "--data-dir", str(self.stack.layout.root)]
        return subprocess.run([*program, *words], capture_output=True, text=True, timeout=120, check=check)


def thaw(pid: int) -> None:
    """SIGCONT, where the process is still there."""
    if pid and psutil.pid_exists(pid):
        os.kill(pid, signal.SIGCONT)


_numbers = itertools.count(1)


def fresh(prefix: str) -> str:
    """An environment id that no other test has."""
    return f"{prefix}{next(_numbers)}"


async def submit(console: Console, order: dict[str, Any], order_id: str | None = None) -> str:
    """Submit, and be accepted; the order's id."""
    reply = await console.submit(json.dumps(order).encode(), order_id or str(uuid4()), timeout=60)
    assert reply.status == "accepted", reply
    assert reply.order_id
    return reply.order_id


async def look(console: Console, order_id: str) -> OrderView | None:
    """The order's view, None while nobody answers."""
    try:
        return await console.order(order_id)
    except StagewrightError:
        return None


async def ended(console: Console, order_id: str, *, timeout: float = END) -> OrderView:
    """Wait until the order has ended."""
    found = await eventually(
        lambda: look(console, order_id),
        timeout=timeout,
        until=lambda view: view is not None and view.status in ENDED,
    )
    assert found
    return found


async def succeeded(console: Console, order_id: str, *, timeout: float = END) -> OrderView:
    """Wait until the order has ended, and well."""
    view = await ended(console, order_id, timeout=timeout)
    assert view.status == "succeeded", view.model_dump_json(indent=1)
    return view


def status_of(view: OrderView | None, stage: str) -> StageStatus:
    """What the view says of one stage."""
    found = [each.status for each in view.stages if each.stage == stage] if view else []
    return found[0] if found else "pending"


async def reached(console: Console, order_id: str, stage: str) -> None:
    """Wait until a stage runs.

    Raises:
        AssertionError: it was over before anybody could look; a test that holds it knows better.
    """
    seen = await eventually(
        lambda: look(console, order_id), timeout=90, until=lambda view: status_of(view, stage) != "pending"
    )
    assert status_of(seen, stage) in {"running", "retrying"}, f"{stage} is {status_of(seen, stage)}"


def start(data_dir: Path, work: Path, environment: dict[str, str] | None = None) -> WholeStack:
    """A new stack with the cheap services on its mirrors. Stop it with `stack.stop()`."""
    made = WholeStack(
        Stack(Configuration(data_dir, environment=environment or {}, cwd=data_dir.parent)), work
    )
    for name, files in SOURCES.items():
        made.publish(name, files)
    # One prefix for all of them, so that repositories which tests add later are found too.
    made.stack.configure({f"{HOST}/": f"{(work / 'mirrors').resolve().as_uri()}/"})
    made.stack.start()
    return made


@pytest.fixture(scope="session")
def shared_whole_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeStack]:
    """One stack for the run; `whole` is what tests ask for."""
    work = tmp_path_factory.mktemp("whole")
    made = start(work / "data", work)
    try:
        yield made
    finally:
        made.mend()
        made.stack.stop()


@pytest.fixture
def whole(shared_whole_stack: WholeStack) -> Iterator[WholeStack]:
    """The stack, whole again before and after each test."""
    shared_whole_stack.mend()
    try:
        yield shared_whole_stack
    finally:
        shared_whole_stack.mend()


def wait_until_gone(*pids: int, timeout: float = 60) -> None:
    """All of these processes end."""
    give_up = time.monotonic() + timeout
    while left := [pid for pid in pids if psutil.pid_exists(pid)]:
        assert time.monotonic() < give_up, f"still there: {left}"
        time.sleep(0.05)

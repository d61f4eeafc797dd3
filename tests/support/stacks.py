"""Whole one-machine stacks for tests: by their API, and as the command `stagewright up`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import psutil

from embedded.stack import Configuration, Stack
from tests.support.eventually import eventually_sync
from tests.support.parts import assert_gone

UP_TIMEOUT = 60.0


def configuration(data_dir: Path, *services: str, parts: tuple[str, ...] = ()) -> Configuration:
    """A stack with these parts (all) and services (none), and nothing of the caller's settings."""
    return Configuration(data_dir, parts=parts, services=services, environment={}, cwd=data_dir.parent)


def command(data_dir: Path, *words: str) -> list[str]:
    """The command line of one `stagewright` call."""
    return [sys.executable, "-m", "console.cli.main", "--data-dir", str(data_dir), *words]


def call(data_dir: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        command(data_dir, *words), capture_output=True, text=True, timeout=UP_TIMEOUT, check=False
    )


@dataclass
class Foreground:
    """A running `stagewright up -o json`; `said` are its lines so far."""

    process: subprocess.Popen[str]
    stack: Stack
    said: list[dict] = field(default_factory=list)

    def says(self, **expected: object) -> dict:
        """Wait until it says a line with these values."""
        return eventually_sync(
            lambda: next((line for line in self.said if line.items() >= expected.items()), None),
            timeout=UP_TIMEOUT,
        )

    def family(self) -> list[int]:
        """Every process of the stack, the supervisor and all below it."""
        supervisor = psutil.Process(self.stack.supervision.pid())
        return [supervisor.pid, *(child.pid for child in supervisor.children(recursive=True))]


@contextmanager
def foreground(data_dir: Path) -> Iterator[Foreground]:
    """`stagewright up` in the foreground, until it serves; ended with SIGTERM unless it ended before."""
    process = subprocess.Popen(
        command(data_dir, "up", "-o", "json"),
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    found = Foreground(process, Stack(Configuration(data_dir)))
    reader = Thread(target=_read, args=(found,), daemon=True)
    reader.start()
    try:
        found.says(running=True)
        yield found
    finally:
        family = found.family() if found.stack.running() else []
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(UP_TIMEOUT)
        reader.join(10)
        assert_gone(*family, timeout=30)


def _read(found: Foreground) -> None:
    assert found.process.stdout
    for line in found.process.stdout:
        found.said.append(json.loads(line))

"""The command line as a process: in a pipe, or in a terminal."""

import asyncio
import os
import pty
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.console_bus import Bus

STAGEWRIGHT = Path(sys.executable).parent / "stagewright"
ORDER = b"action: update\nenvironment_id: '3'\n"


@dataclass
class Done:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


def order(scenario: str) -> bytes:
    """An order to which the backend does what the scenario says."""
    return ORDER + f"description: {scenario}\n".encode()


async def run(server: Bus, *arguments: str, stdin: bytes = b"", **more: str) -> Done:
    """Run a command to its end, with pipes."""
    process = await asyncio.create_subprocess_exec(
        STAGEWRIGHT,
        *arguments,
        env=server.environment() | more,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(stdin), 30)
    return Done(process.returncode or 0, out.decode(), err.decode())


async def run_in_terminal(server: Bus, *arguments: str, typed: bytes = b"") -> Done:
    """Run a command in a terminal of 120 columns in which somebody has typed something already."""
    main, terminal = pty.openpty()
    os.write(main, typed)
    process = await asyncio.create_subprocess_exec(
        STAGEWRIGHT,
        *arguments,
        env=server.environment() | {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    reading = asyncio.create_task(asyncio.to_thread(_all, main))
    code = await asyncio.wait_for(process.wait(), 30)
    return Done(code, (await reading).decode(), "")


def _all(descriptor: int) -> bytes:
    found = b""
    while True:
        try:
            chunk = os.read(descriptor, 4096)
        except OSError:  # Linux says EIO when the other side has closed
            return found
        if not chunk:
            return found
        found += chunk

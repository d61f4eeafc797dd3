"""The child process of a run: started so that all of it can be ended, and ended so that nothing is left."""

import asyncio
import contextlib
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
import structlog

from executor.adapters.process_tree import kill, kill_below
from executor.tenure import Tenure

_log = structlog.get_logger(__name__)

_NAMESPACE = ("--pid", "--fork", "--kill-child", "--mount-proc")
_WAYS: tuple[tuple[str, ...], ...] = (
    ("unshare", *_NAMESPACE),
    ("unshare", "--user", "--map-current-user", *_NAMESPACE),
    ("unshare", "--user", "--map-root-user", *_NAMESPACE),
)
_LINE_LIMIT = 4 * 1024 * 1024


async def namespace() -> Sequence[str] | None:
    """The command that gives a run a PID namespace of its own; None where this machine permits none.

    Found by trying: it depends on the kernel's settings, on the user and on the container around us.
    """
    if sys.platform == "linux" and shutil.which("unshare"):
        for way in _WAYS:
            trial = await asyncio.create_subprocess_exec(
                *way, sys.executable, "-c", "", stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
            )
            if await trial.wait() == 0:
                return way
    _log.warning(
        "no PID namespace here: a run that is ended has its process tree killed one by one",
        action="ansible.namespace_unavailable",
    )
    return None


async def start(
    directory: Path,
    environment: Mapping[str, str],
    prefix: Sequence[str] | None,
    errors: Path,
    until: float | None,
) -> Process:
    """Start the child for a prepared directory; it ends when this process does, however that ends.

    `until` is the moment of the monotonic clock when it ends unless it is told a later one (`beat`).
    """
    # The kernel sends the signal when the thread that started the child ends: start it from the main thread.
    setpriv = shutil.which("setpriv")
    deathsig = (setpriv, "--pdeathsig", "KILL", "--") if prefix and setpriv else ()
    guard = () if prefix else ("--guard",)
    ends = () if until is None else (f"--until={until!r}",)
    module = ("-m", "executor.adapters.ansible_child", str(directory), *guard, *ends)
    with errors.open("wb") as stderr:
        return await asyncio.create_subprocess_exec(
            *deathsig, *(prefix or ()), sys.executable, *module,
            stdin=PIPE, stdout=PIPE, stderr=stderr,
            env=dict(environment), cwd=directory, limit=_LINE_LIMIT,
        )  # fmt: skip


async def beat(process: Process, tenure: Tenure | None, known: float | None) -> None:
    """Tell the child of every renewal after `known`, as long as it listens."""
    if tenure is None or known is None or process.stdin is None:
        return
    with contextlib.suppress(ConnectionError):
        while True:
            known = await tenure.after(known)
            process.stdin.write(f"{known!r}\n".encode())
            await process.stdin.drain()


async def end(process: Process) -> None:
    """Kill the child with everything below it, and wait until it is gone (at most some seconds)."""
    if process.returncode is None:
        await asyncio.to_thread(_kill_tree, process.pid)
    await process.wait()


def _kill_tree(pid: int) -> None:
    """In a PID namespace one kill ends all; elsewhere the root is the reaper of all that is orphaned."""
    with contextlib.suppress(psutil.NoSuchProcess):
        kill_below(psutil.Process(pid))
    kill(pid)

"""The child process of a run: started so that all of it can be ended, and ended so that nothing is left."""

import asyncio
import os
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
import structlog

_log = structlog.get_logger(__name__)

_NAMESPACE = ("--pid", "--fork", "--kill-child", "--mount-proc")
_WAYS: tuple[tuple[str, ...], ...] = (
    ("unshare", *_NAMESPACE),
    ("unshare", "--user", "--map-current-user", *_NAMESPACE),
    ("unshare", "--user", "--map-root-user", *_NAMESPACE),
)
_LINE_LIMIT = 4 * 1024 * 1024
_GONE_S = 5.0


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
    directory: Path, environment: Mapping[str, str], prefix: Sequence[str] | None, errors: Path
) -> Process:
    """Start the child for a prepared directory; it ends when this process does, however that ends."""
    # The kernel sends the signal when the thread that started the child ends: start it from the main thread.
    setpriv = shutil.which("setpriv")
    deathsig = (setpriv, "--pdeathsig", "KILL", "--") if prefix and setpriv else ()
    guard = () if prefix else ("--guard",)
    module = ("-m", "executor.adapters.ansible_child", str(directory), *guard)
    with errors.open("wb") as stderr:
        return await asyncio.create_subprocess_exec(
            *deathsig, *(prefix or ()), sys.executable, *module,
            stdin=DEVNULL, stdout=PIPE, stderr=stderr,
            env=dict(environment), cwd=directory, limit=_LINE_LIMIT,
        )  # fmt: skip


async def end(process: Process) -> None:
    """Kill the child with everything below it, and wait until it is gone (at most some seconds)."""
    if process.returncode is None:
        await asyncio.to_thread(_kill_tree, process.pid)
    await process.wait()


def _kill_tree(pid: int) -> None:
    """Kill the descendants first: while the root lives, none of them can hide from the search.

    In a PID namespace the first kill ends all; elsewhere the root is the reaper of all that is orphaned.
    """
    try:
        root = psutil.Process(pid)
        known = root.children(recursive=True)
    except psutil.NoSuchProcess:
        return
    while known:
        for process in known:
            _kill(process.pid)
        _, left = psutil.wait_procs(known, timeout=_GONE_S)
        known = left or _children(root)
    _kill(pid)


def _children(root: psutil.Process) -> list[psutil.Process]:
    try:
        return list(root.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return

"""Starting and ending the supervisor of a stack, and everything with it."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

import psutil

from embedded import verifying
from embedded.assembly import Assembled
from embedded.credentials import write_private
from embedded.layout import Layout, make_private
from embedded.progress import Report
from embedded.running import PASSED_ON, failed
from embedded.starting import POLL, Starter, prepare_all
from embedded.supervision import Supervision, configuration
from stagewright.errors import Terminal

SUPERVISOR_TIMEOUT = 20.0
STOP_TIMEOUT = 60.0
"""Seconds in which everything stops; what is left afterwards is killed."""


@contextmanager
def alone(layout: Layout, supervision: Supervision) -> Iterator[int]:
    """Hold the data directory while starting; yields the lock's descriptor, which the supervisor inherits, so
    that the lock lasts as long as it does. A stack that is on its way down is waited for.

    Raises:
        Terminal: `stack.already_running`, `stack.not_stopping`.
    """
    make_private(layout.root)
    deadline = time.monotonic() + STOP_TIMEOUT
    with _lock_file(layout) as lock:
        while not _locked(lock):
            if supervision.alive():
                raise _already_running(layout)
            if time.monotonic() > deadline:
                raise _not_stopping(layout)
            time.sleep(POLL)
        yield lock.fileno()


def await_end(layout: Layout) -> bool:
    """Wait until a stack that is on its way down is gone; False where there is none."""
    if not layout.root.exists():
        return False
    with _lock_file(layout) as lock:
        if _locked(lock):
            return False
        deadline = time.monotonic() + STOP_TIMEOUT
        while not _locked(lock):
            if time.monotonic() > deadline:
                raise _not_stopping(layout)
            time.sleep(POLL)
    return True


def bring_up(
    assembled: Assembled,
    supervision: Supervision,
    report: Report,
    since: float,
    lock: int,
    detach: bool,
    given_up: Callable[[], bool],
) -> subprocess.Popen[bytes]:
    """Prepare, launch the supervisor, start every part, and return (the supervisor) when all of them serve.

    Raises:
        Terminal: a part does not come up; what did is left for the caller to take down.
    """
    layout, programs = assembled.layout, assembled.programs
    prepare_all(programs, layout, report, since)
    write_private(layout.root / "supervisord.conf", configuration(layout, programs))
    process = _launch(layout, supervision, lock, detach)
    Starter(layout, supervision, report, since).start(programs, given_up)
    verifying.confirm_first_start(assembled)
    return process


def take_down(layout: Layout, supervision: Supervision) -> None:
    """Stop everything and wait until every process is gone."""
    supervisor = psutil.Process(supervision.pid())
    family = [supervisor, *supervisor.children(recursive=True)]
    supervision.shutdown()
    _, left = psutil.wait_procs(family, timeout=STOP_TIMEOUT)
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=5)
    shutil.rmtree(layout.run, ignore_errors=True)


def _launch(layout: Layout, supervision: Supervision, lock: int, detach: bool) -> subprocess.Popen[bytes]:
    log = layout.logs / "supervisord.out"
    parent = () if detach else ("--parent", str(os.getpid()))
    config = str(layout.root / "supervisord.conf")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "embedded.supervising", *parent, "-n", "-c", config],
            env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
            cwd=layout.root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C in the terminal reaches only us, and we stop the rest in order.
            start_new_session=True,
            pass_fds=(lock,),
        )
    deadline = time.monotonic() + SUPERVISOR_TIMEOUT
    while not supervision.alive():
        if process.poll() is not None or time.monotonic() > deadline:
            raise failed("supervisord", log, "the supervisor did not start")
        time.sleep(POLL)
    return process


def _lock_file(layout: Layout) -> IO[bytes]:
    return (layout.root / "lock").open("ab")


def _locked(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _already_running(layout: Layout) -> Terminal:
    return Terminal(
        "stack.already_running",
        str(layout.root),
        "a stack runs on this data directory already.",
        "Use it, or stop it with `stagewright down`.",
    )


def _not_stopping(layout: Layout) -> Terminal:
    return Terminal(
        "stack.not_stopping",
        str(layout.root),
        f"a stack on this data directory is on its way down since more than {STOP_TIMEOUT:.0f} s.",
        f"Look into {layout.logs / 'supervisord.log'}.",
    )

"""Making a program's files and starting it: the layer that acts on what the builders return."""

import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedded import guard
from embedded.credentials import write_private
from embedded.layout import make_private
from embedded.program import Program
from stagewright.errors import Terminal

POLL = 0.02
"""Seconds between two questions to a part that starts."""

PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "HOME", "XDG_RUNTIME_DIR")
"""What a part sees of our environment; an AWS or vault variable of the user must not reach it."""


def environment(program: Program) -> dict[str, str]:
    """The whole environment of a part."""
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    if program.own_path:
        passed["PATH"] = f"{program.own_path}{os.pathsep}{passed.get('PATH', os.defpath)}"
    return passed | dict(program.environment)


def prepare(program: Program, log: Path) -> None:
    """Write the program's files, make its directories, run its setup where that was not done yet.

    Raises:
        Terminal: `stack.setup_failed`, with the end of what the command said.
    """
    for directory in {*program.directories, *(path.parent for path in program.files)}:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, content in program.files.items():
        write_private(path, content)
    if program.run_as:
        _hand_over(program)
    for setup in program.setup:
        if not setup.creates.exists():
            _run(program, setup.argv, log)


@contextmanager
def running(program: Program, log: Path, timeout: float = 30) -> Iterator[subprocess.Popen[bytes]]:
    """Prepare and start one part alone, wait until it serves, stop it at the end.

    Raises:
        Terminal: `stack.part_failed`, with the end of its log.
    """
    make_private(log.parent)
    prepare(program, log)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), "TERM", *program.argv],
            env=environment(program),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _await(program, process, log, timeout)
        yield process
    finally:
        stop(process, program)
        tidy(program)


def stop(process: subprocess.Popen[bytes], program: Program) -> None:
    """Ask it to stop, and kill it where it does not in its time."""
    if process.poll() is not None:
        return
    process.send_signal(signal.Signals[f"SIG{program.stop_signal}"])
    try:
        process.wait(program.stop_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def tidy(program: Program) -> None:
    """Remove what a stopped part left elsewhere."""
    for path in program.leftovers:
        path.unlink(missing_ok=True)


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log, empty where there is none."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 8192))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])


def failed(name: str, log: Path, reason: str) -> Terminal:
    """The error that a part did not come up."""
    return Terminal("stack.part_failed", name, f"{reason}. The end of {log}:\n{tail(log)}\n", "See the log.")


def _await(program: Program, process: subprocess.Popen[bytes], log: Path, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not program.ready():
        if process.poll() is not None:
            raise failed(program.name, log, f"it ended with status {process.returncode}")
        if time.monotonic() > deadline:
            raise failed(program.name, log, f"it did not serve within {timeout:.0f} s")
        time.sleep(POLL)


def _run(program: Program, argv: tuple[str, ...], log: Path) -> None:
    with log.open("ab") as output:
        done = subprocess.run(
            argv, env=environment(program), cwd="/", stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode != 0:
        raise Terminal(
            "stack.setup_failed",
            program.name,
            f"`{Path(argv[0]).name}` ended with {done.returncode}:\n{tail(log)}\n",
            "See the log.",
        )


def _hand_over(program: Program) -> None:
    account = pwd.getpwnam(program.run_as or "root")
    for directory in program.directories:
        if directory.stat().st_uid != account.pw_uid:
            os.chown(directory, account.pw_uid, account.pw_gid)

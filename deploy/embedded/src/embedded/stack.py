"""The one-machine stack: start it, look at it, stop it.

    with running(Configuration(Path(".stagewright")), report=print) as stack:
        settings = stack.settings()

Call `start` from a thread that lives as long as the stack should: on Linux a child's parent is a thread.
"""

import os
import signal
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from embedded import launching
from embedded import running as parts_running
from embedded.assembly import Configuration, assemble, reassemble
from embedded.layout import Layout, layout
from embedded.program import Program
from embedded.progress import Progress, Report, silent
from embedded.starting import POLL, log_of
from embedded.supervision import Supervised, Supervision
from embedded.watching import Watcher
from stagewright.errors import Terminal
from stagewright.settings import CONNECTION_FILE, Settings

__all__ = ["Configuration", "PartStatus", "Progress", "Report", "Stack", "running", "silent"]


@dataclass(frozen=True)
class PartStatus:
    """A part of a running stack."""

    name: str
    state: str
    pid: int
    uptime: float
    endpoint: str
    log: Path

    @property
    def ok(self) -> bool:
        """It runs."""
        return self.state in {"RUNNING", "STARTING"}


class Stack:
    """The stack of one data directory; may be asked and stopped by another process than started it."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.layout = layout(configuration.data_dir)
        self.supervision = Supervision(self.layout)
        self._supervisor: subprocess.Popen[bytes] | None = None

    def configure(self, mirrors: Mapping[str, str]) -> None:
        """Fetch these git addresses from elsewhere, from the next start on."""
        self.configuration = replace(self.configuration, mirrors=dict(mirrors))

    # Starting and stopping

    def start(
        self, report: Report = silent, *, detach: bool = False, given_up: Callable[[], bool] = lambda: False
    ) -> None:
        """Start everything and return when everything serves.

        Unless `detach`, everything ends when this process does, however it ends.

        Raises:
            Terminal: `stack.already_running`; `stack.part_failed` and others, after everything was stopped.
        """
        since = time.monotonic()
        with launching.alone(self.layout, self.supervision) as lock:
            assembled = assemble(self.configuration)
            try:
                self._supervisor = launching.bring_up(
                    assembled, self.supervision, report, since, lock, detach, given_up
                )
            except ConnectionError as error:
                raise _stopped_meanwhile(self.layout) from error
            except BaseException:
                self._take_down(report)
                raise

    def stop(self, report: Report = silent) -> bool:
        """Stop everything, children included, and wait for it; False where nothing ran."""
        return self._take_down(report) or launching.await_end(self.layout)

    def watch(self, report: Report, until: Callable[[], bool], interval: float = 0.25) -> None:
        """Say what dies and what comes back, until `until` holds or the stack ends."""
        watcher = Watcher(report)
        while not until():
            try:
                watcher.look(self.supervision.parts())
            except OSError:
                return
            time.sleep(interval)

    def ended_by_itself(self) -> bool:
        """After the stack that this object started came to its end: was it other than by being stopped?"""
        return self._supervisor is not None and self._supervisor.wait(launching.STOP_TIMEOUT) != 0

    # Looking

    def running(self) -> bool:
        """Whether the stack runs, whoever started it."""
        return self.supervision.alive()

    def status(self) -> list[PartStatus]:
        """Every part, in the order of the start.

        Raises:
            Terminal: `stack.not_running`.
        """
        found = self._parts()
        return [
            PartStatus(part.name, part.state, part.pid, part.uptime, program.endpoint, self.log(part.name))
            for program in self._programs()
            if (part := found.get(program.name))
        ]

    def settings(self) -> Settings:
        """The settings of a client of this stack, whatever the environment says."""
        return Settings(**tomllib.loads((self.layout.root / CONNECTION_FILE).read_text()))

    def log(self, name: str) -> Path:
        """Where a part's output is."""
        return log_of(self.layout, name)

    def pid(self, name: str) -> int:
        """A part's process, 0 where it has none."""
        return self._part(name).pid

    # Single parts

    def kill_part(self, name: str) -> int:
        """SIGKILL to a part's process, which its supervisor then starts again; returns the process it was."""
        pid = self.pid(name)
        if pid:
            os.kill(pid, signal.SIGKILL)
        return pid

    def stop_part(self, name: str) -> None:
        """Stop one part; it stays down until it is started."""
        self._part(name)
        self.supervision.stop(name)

    def start_part(self, name: str, timeout: float = 30) -> None:
        """Start one part and wait until it serves.

        Raises:
            Terminal: `stack.part_failed`.
        """
        self._part(name)
        self.supervision.start(name)
        self.await_part(name, timeout)

    def restart_part(self, name: str, timeout: float = 30) -> None:
        """Stop it, start it, wait until it serves."""
        self.stop_part(name)
        self.start_part(name, timeout)

    def await_part(self, name: str, timeout: float = 30) -> None:
        """Wait until a part serves.

        Raises:
            Terminal: `stack.part_failed`.
        """
        ready = next(each.ready for each in self._programs() if each.name == name)
        deadline = time.monotonic() + timeout
        while not (ready() and self.pid(name)):
            if time.monotonic() > deadline:
                raise parts_running.failed(name, self.log(name), f"it did not serve within {timeout:.0f} s")
            time.sleep(POLL)

    def _take_down(self, report: Report) -> bool:
        if not self.running():
            return False
        since = time.monotonic()
        report(Progress("", "stopping", 0))
        launching.take_down(self.layout, self.supervision)
        for program in self._programs():
            parts_running.tidy(program)
        report(Progress("", "stopped", time.monotonic() - since))
        return True

    def _programs(self) -> tuple[Program, ...]:
        return reassemble(self.configuration).programs

    def _parts(self) -> dict[str, Supervised]:
        try:
            return self.supervision.parts()
        except OSError as error:
            raise Terminal(
                "stack.not_running",
                str(self.layout.root),
                "no stack runs on this data directory.",
                "Start it with `stagewright up`.",
            ) from error

    def _part(self, name: str) -> Supervised:
        found = self._parts()
        if name not in found:
            raise Terminal(
                "stack.no_such_part",
                name,
                "the stack has no such part.",
                f"It has {', '.join(found)}.",
            )
        return found[name]


@contextmanager
def running(configuration: Configuration, report: Report = silent) -> Iterator[Stack]:
    """A stack for the length of a block; stops at its end."""
    stack = Stack(configuration)
    stack.start(report)
    try:
        yield stack
    finally:
        stack.stop(report)


def _stopped_meanwhile(layout: Layout) -> Terminal:
    return Terminal(
        "stack.stopped_meanwhile",
        str(layout.root),
        "the supervisor went away while the parts started.",
        f"If nobody stopped it, look into {layout.logs / 'supervisord.log'}; then start it again.",
    )

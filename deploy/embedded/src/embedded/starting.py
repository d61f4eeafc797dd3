"""Bringing the parts up in the order of their needs, asking each until it serves."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from embedded import running
from embedded.layout import Layout
from embedded.probes import TIMEOUT as QUESTION
from embedded.program import Program
from embedded.progress import Progress, Report
from embedded.supervision import Supervised, Supervision
from stagewright.errors import Terminal

PART_TIMEOUT = 90.0
"""Seconds in which a part serves after it was started; a slow, busy machine included."""
GIVE_UP = 5.0
"""Seconds in which a part that does not serve may end and be started again."""
TRIES = 4
"""So many processes it may have afterwards; supervisord itself would go on for ever."""
POLL = 0.03
SAY_EVERY = 2.0
"""Seconds between two words on what is still waited for."""


def prepare_all(programs: Sequence[Program], layout: Layout, report: Report, since: float) -> None:
    """Make files and directories, and run first-time setups beside each other.

    Raises:
        Terminal: a setup failed.
    """
    for program in programs:
        if any(not setup.creates.exists() for setup in program.setup):
            report(Progress(program.name, "setup", time.monotonic() - since, "first start"))
    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(lambda program: running.prepare(program, log_of(layout, program.name)), programs))


def log_of(layout: Layout, name: str) -> Path:
    """Where a part's output is."""
    return layout.logs / f"{name}.log"


class Starter:
    """One start of some programs."""

    def __init__(self, layout: Layout, supervision: Supervision, report: Report, since: float) -> None:
        self._layout, self._supervision, self._report, self._since = layout, supervision, report, since
        self._said = time.monotonic()
        self._processes: dict[str, set[int]] = defaultdict(set)

    def start(self, programs: Sequence[Program], given_up: Callable[[], bool]) -> None:
        """Start them all and return when all serve.

        `given_up` is asked between questions; when it holds, the start ends as if interrupted.

        Raises:
            Terminal: `stack.part_failed` with the end of the part's log; `stack.interrupted`.
        """
        waiting = {program.name: program for program in programs}
        started: dict[str, float] = {}
        while waiting:
            self._start_ready(waiting, started)
            for name in [name for name in started if name in waiting]:
                self._ask(waiting, started, name)
            self._say_waiting(waiting, started)
            if given_up():
                raise Terminal("stack.interrupted", "up", "the start was interrupted.", "Start it again.")
            time.sleep(POLL)

    def _start_ready(self, waiting: dict[str, Program], started: dict[str, float]) -> None:
        for name, program in waiting.items():
            if name not in started and waiting.keys().isdisjoint(program.needs):
                self._supervision.start(name)
                started[name] = time.monotonic()

    def _ask(self, waiting: dict[str, Program], started: dict[str, float], name: str) -> None:
        if waiting[name].ready():
            endpoint = waiting.pop(name).endpoint
            self._report(Progress(name, "ready", time.monotonic() - self._since, endpoint))
            return
        part = self._supervision.parts()[name]
        self._processes[name].add(part.pid)
        if time.monotonic() - started[name] > GIVE_UP and (
            part.state == "BACKOFF" or len(self._processes[name]) > TRIES
        ):
            raise running.failed(name, log_of(self._layout, name), _why(part))
        if time.monotonic() - started[name] > PART_TIMEOUT + QUESTION:
            reason = f"it did not serve within {PART_TIMEOUT:.0f} s"
            raise running.failed(name, log_of(self._layout, name), reason)

    def _say_waiting(self, waiting: dict[str, Program], started: dict[str, float]) -> None:
        now = time.monotonic()
        if waiting and now - self._said > SAY_EVERY:
            self._said = now
            names = ", ".join(name for name in waiting if name in started)
            self._report(Progress("", "waiting", now - self._since, names))


def _why(part: Supervised) -> str:
    # supervisord keeps no status of a process that ended at once, and says 0.
    status = f", last with status {part.exit_status}" if part.exit_status else ""
    detail = f" ({part.detail})" if part.detail else ""
    return f"it ended again and again{status}{detail}"

"""Saying what dies and what comes back, from one look at the parts to the next."""

import time
from collections.abc import Mapping

from embedded.progress import Progress, Report
from embedded.supervision import Supervised


class Watcher:
    """Compares each look with the one before. Processes are told apart by their pid."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._since = time.monotonic()
        self._pids: dict[str, int] = {}
        self._down: set[str] = set()

    def look(self, parts: Mapping[str, Supervised]) -> None:
        """Report every change since the last look; the first one only remembers."""
        for part in parts.values():
            if part.name in self._pids:
                self._compare(part, self._pids[part.name])
            if part.alive or part.name not in self._pids:
                self._pids[part.name] = part.pid

    def _compare(self, part: Supervised, before: int) -> None:
        if part.alive and part.pid != before:
            if part.name not in self._down:
                self._say(part.name, "died", f"process {before} ended{_ending(part)}")
            self._down.discard(part.name)
            self._say(part.name, "restarted", f"as process {part.pid}")
        elif not part.alive and part.name not in self._down:
            self._down.add(part.name)
            self._say(part.name, "died", f"process {before} ended{_ending(part)}")
        if part.state == "FATAL" and f"{part.name}!" not in self._down:
            self._down.add(f"{part.name}!")
            self._say(part.name, "failed", f"it does not start any more: {part.detail}")
        elif part.state != "FATAL":
            self._down.discard(f"{part.name}!")

    def _say(self, name: str, what: str, detail: str) -> None:
        self._report(Progress(name, what, time.monotonic() - self._since, detail))  # type: ignore[arg-type]


def _ending(part: Supervised) -> str:
    """How, as far as the supervisor knows: 0 where the next process runs already, -1 for any signal."""
    if part.state == "STOPPED":
        return " (stopped on request)"
    if part.exit_status < 0:
        return " (killed by a signal)"
    return f" (status {part.exit_status})" if part.exit_status else ""

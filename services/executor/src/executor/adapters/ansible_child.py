"""One playbook run, as a process of its own: `… ansible_child DIRECTORY [--until=MOMENT] [--guard]`.

Reads `DIRECTORY/run.json`, runs it by ansible-runner, and writes one JSON object a line to standard output:
`{"task": {…}}` for each step of each task, and last `{"end": {…}}`. ansible-runner is not thread-safe, polls
its cancel callback slowly and leaves the running task behind when it is told to stop: hence a process of its
own, that is killed.

`--guard` is for machines without PID namespaces: the process becomes the reaper of all its descendants, so
that none escapes its parent's search, and takes them with it when the executor dies.

`--until` is a moment of the monotonic clock. Each line on standard input is a later one. When it has come,
the process ends with everything below it: its executor was stopped, or lost its lease, and another may begin.
"""

import argparse
import ctypes
import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from executor.adapters.process_tree import kill_below

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LONGEST_TEXT = 2000
_ENDING = threading.Event()
_STATUSES = {
    "playbook_on_task_start": "started",
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_skipped": "skipped",
    "runner_on_unreachable": "unreachable",
}


class Reporter:
    """Turns ansible-runner's events into our lines, and remembers what the end needs."""

    def __init__(self) -> None:
        self._ended = False
        self.changed: list[str] = []
        self.result: dict[str, Any] = {}
        self.failure: dict[str, Any] | None = None

    def handle(self, event: Mapping[str, Any]) -> bool:
        """ansible-runner's event handler; never raises, as it must not."""
        status, data = _STATUSES.get(event["event"]), event.get("event_data") or {}
        if status and data.get("task"):
            answer = _answer(event, data)
            if status == "ok" and answer.get("changed"):
                status = "changed"
                self.changed.append(data["task"])
            if status == "failed" and data.get("ignore_errors"):
                status = "ok"
            self._remember(status, data["task"], answer)
            _say({"task": _progress(status, event, data, answer)})
        return True

    def _remember(self, status: str, task: str, answer: Mapping[str, Any]) -> None:
        if isinstance(answer.get("result"), dict):
            self.result = answer["result"]
        if status in {"failed", "unreachable"}:
            self.failure = {
                "task": task,
                "status": status,
                **{key: answer.get(key) for key in ("msg", "resource", "remedy", "retryable")},
            }

    def end(self, status: str, code: int | None) -> None:
        """The last line."""
        _say(
            {
                "end": {
                    "status": status,
                    "code": code,
                    "changed": self.changed,
                    "result": self.result,
                    "failure": self.failure,
                }
            }
        )


def _answer(event: Mapping[str, Any], data: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the module said; under `no_log` only whether it changed anything, which Ansible prints still."""
    answer = data.get("res")
    if not isinstance(answer, dict):
        return {}
    if answer.get("_ansible_no_log") or "censored" in answer:
        return {"changed": "changed: [" in (event.get("stdout") or "")}
    return answer


def _progress(
    status: str, event: Mapping[str, Any], data: Mapping[str, Any], answer: Mapping[str, Any]
) -> dict[str, Any]:
    detail = answer.get("msg") if status in {"failed", "unreachable"} else answer.get("detail")
    return {
        "task": data["task"],
        "status": status,
        "at": event["created"].removesuffix("+00:00") + "Z",
        "duration_s": data.get("duration"),
        "detail": str(detail)[:_LONGEST_TEXT] if detail else None,
    }


def _say(line: Mapping[str, Any]) -> None:
    if _ENDING.is_set():
        threading.Event().wait()  # what fails now was killed by us, and is no result
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _guard() -> None:
    """Reap every descendant, and end with the executor."""
    parent = os.getppid()
    library = ctypes.CDLL(None)
    library.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # Not SIGTERM: ansible-runner has a handler of its own for it, which leaves the running task behind.
    signal.signal(signal.SIGUSR2, lambda _number, _frame: _end_all())
    library.prctl(_PR_SET_PDEATHSIG, signal.SIGUSR2, 0, 0, 0)
    if os.getppid() != parent:
        _end_all()


def _listen(until: float | None) -> None:
    """Take standard input away from everything below, and watch it from a thread of its own."""
    beats = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    threading.Thread(target=_watch, args=(beats, until), daemon=True).start()


def _watch(beats: int, until: float | None) -> None:
    """End everything when the moment has come, or when there is no executor any more."""
    while until is None or time.monotonic() < until:
        left = None if until is None else max(0.0, until - time.monotonic())
        ready, _, _ = select.select([beats], [], [], left)
        if ready:
            # A pipe holds no more than this, and lines are written whole: the last one is complete.
            said = os.read(beats, 65536).split()
            if not said:
                break
            until = float(said[-1])
    sys.stderr.write("The lease was not renewed in time: the run was ended.\n")
    _end_all()


def _end_all() -> None:
    """In a PID namespace our end is everybody's."""
    _ENDING.set()
    if os.getpid() != 1:
        kill_below(psutil.Process())
    os._exit(143)


def main(directory: Path) -> None:
    """Run what `run.json` says: paths of `playbook` and `inventory`; `extra` holds nothing but paths."""
    import ansible_runner  # noqa: PLC0415 - heavy: the guard must stand before anything takes time

    order = json.loads((directory / "run.json").read_text())
    reporter = Reporter()
    run = ansible_runner.run(
        private_data_dir=str(directory),
        project_dir=str(Path(order["playbook"]).parent),
        playbook=order["playbook"],
        inventory=order["inventory"],
        extravars=order["extra"],
        ident="run",
        quiet=True,
        event_handler=reporter.handle,
    )
    reporter.end(run.status, run.rc)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--until", type=float)
    parser.add_argument("--guard", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = _arguments()
    if arguments.guard:
        _guard()
    _listen(arguments.until)
    main(arguments.directory)

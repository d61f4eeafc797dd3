"""One playbook run, as a process of its own: `python -m executor.adapters.ansible_child DIRECTORY [--guard]`.

Reads `DIRECTORY/run.json`, runs it by ansible-runner, and writes one JSON object a line to standard output:
`{"task": {…}}` for each step of each task, and last `{"end": {…}}`. ansible-runner is not thread-safe, polls
its cancel callback slowly and leaves the running task behind when it is told to stop: hence a process of its
own, that is killed.

`--guard` is for machines without PID namespaces: the process becomes the reaper of all its descendants, so
that none escapes its parent's search, and takes them with it when the executor dies.
"""

import ctypes
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LONGEST_TEXT = 2000
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


def _end_all() -> None:
    """Kill until nothing is left: what is being killed may still be starting others."""
    while found := psutil.Process().children(recursive=True):
        for process in found:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(found, timeout=1)
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


if __name__ == "__main__":
    if "--guard" in sys.argv[2:]:
        _guard()
    main(Path(sys.argv[1]))

"""`stagewright up`, `down` and `status`: the one-machine stack."""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from console.cli.common import Exit, Format, OutputOption, fail, print_json, stop, table
from embedded.examples import example_mirrors
from embedded.progress import Progress, Report
from embedded.stack import Configuration, PartStatus, Stack
from stagewright.errors import StagewrightError

_WORDS = {
    "setup": "is set up",
    "starting": "starts",
    "ready": "ready",
    "waiting": "still waiting for",
    "died": "DIED",
    "restarted": "restarted",
    "failed": "FAILED",
    "stopping": "stopping everything",
    "stopped": "everything stopped",
}

DetachOption = Annotated[
    bool, typer.Option("--detach", "-d", help="return when everything serves, and leave it running")
]


def up(detach: DetachOption = False, output: OutputOption = Format.TEXT) -> None:
    """Start the one-machine stack and stay with it until Ctrl-C, which stops everything.

    With `-o json` every line of progress is a JSON object. Where the stack runs already, it says so.

    \b
    Examples:
      stagewright up
      stagewright up --detach
      stagewright --data-dir /srv/second up --detach
    """
    signals = _Signals()
    stack = Stack(Configuration(_data_dir(), mirrors=example_mirrors(_data_dir())))
    report = _reporter(output)
    if stack.running():
        _say_running(stack, output)
        return
    try:
        stack.start(report, detach=detach, given_up=signals.came)
    except StagewrightError as error:
        if error.info.code == "stack.interrupted":
            stop(Exit.DETACHED, "Interrupted; everything stopped.")
        _fail(error, output)
    _say_running(stack, output)
    if detach:
        return
    stack.watch(report, until=signals.came)
    if signals.came():
        stack.stop(report)
    elif stack.ended_by_itself():
        stop(Exit.FAILED, f"The supervisor died, and everything with it; see {stack.layout.logs}.")
    else:
        print("The stack was stopped from elsewhere.", file=sys.stderr)


def down(output: OutputOption = Format.TEXT) -> None:
    """Stop the one-machine stack, whoever started it, and wait until every process is gone.

    Exit 4 where none runs.

    \b
    Examples:
      stagewright down
      stagewright --data-dir /srv/second down
    """
    stack = Stack(Configuration(_data_dir()))
    if not stack.stop(_reporter(output)):
        _not_running(stack, output)


def status(output: OutputOption = Format.TEXT) -> None:
    """List the parts of the stack: state, process, time up, where they are reached.

    Exit 0 when everything runs, 1 when something is down, 4 when the stack does not run.

    \b
    Examples:
      stagewright status
      stagewright status -o json | jq -r '.parts[] | select(.ok | not) | .name'
    """
    stack = Stack(Configuration(_data_dir()))
    if not stack.running():
        _not_running(stack, output)
    parts = stack.status()
    if output is Format.JSON:
        print_json({"running": True, "data_dir": str(stack.layout.root), "parts": [_json(p) for p in parts]})
    else:
        header = ("PART", "STATE", "PID", "UP", "ENDPOINT")
        for line in table(header, (_row(part) for part in parts)):
            print(line)
    raise typer.Exit(Exit.DONE if all(part.ok for part in parts) else Exit.FAILED)


class _Signals:
    """Remembers that we were asked to end; a second Ctrl-C changes nothing, stopping is under way."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._remember)

    def came(self) -> bool:
        """Whether a signal came."""
        return self._asked

    def _remember(self, _number: int, _frame: object) -> None:
        self._asked = True


def _data_dir() -> Path:
    return Path(os.environ.get("STAGEWRIGHT_DATA_DIR", ".stagewright"))


def _reporter(output: Format) -> Report:
    return _report_json if output is Format.JSON else _report_text


def _report_json(progress: Progress) -> None:
    print_json(
        {
            "part": progress.part or None,
            "what": progress.what,
            "seconds": round(progress.seconds, 3),
            "detail": progress.detail or None,
        },
        lines=True,
    )


def _report_text(progress: Progress) -> None:
    word = _WORDS[progress.what]
    subject = f"{progress.part:<13} {word:<9}" if progress.part else word
    loud = progress.what in {"died", "failed"}
    line = f"{progress.seconds:7.1f} s  {subject} {progress.detail}".rstrip()
    print(line, file=sys.stderr if loud else sys.stdout, flush=True)


def _say_running(stack: Stack, output: Format) -> None:
    pid, root = stack.supervision.pid(), stack.layout.root
    if output is Format.JSON:
        print_json({"running": True, "pid": pid, "data_dir": str(root)}, lines=True)
        return
    print(f"The stack runs (process {pid}, data in {root}); its logs are in {stack.layout.logs}.", flush=True)


def _not_running(stack: Stack, output: Format) -> None:
    if output is Format.JSON:
        print_json({"running": False, "data_dir": str(stack.layout.root), "parts": []})
    where = f" --data-dir {stack.layout.root}" if "STAGEWRIGHT_DATA_DIR" in os.environ else ""
    stop(Exit.UNREACHABLE, f"No stack runs on {stack.layout.root}; start it with `stagewright{where} up`.")


def _fail(error: StagewrightError, output: Format) -> None:
    if output is Format.TEXT:
        stop(Exit.FAILED, f"{error.info.resource}: {error.info.reason}{error.info.remedy}")
    fail(error.info, output)


def _json(part: PartStatus) -> dict[str, object]:
    return {
        "name": part.name,
        "state": part.state,
        "ok": part.ok,
        "pid": part.pid or None,
        "uptime_seconds": part.uptime,
        "endpoint": part.endpoint,
        "log": str(part.log),
    }


def _row(part: PartStatus) -> tuple[str, ...]:
    return (part.name, part.state, str(part.pid or "-"), _duration(part.uptime), part.endpoint)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"

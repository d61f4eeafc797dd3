"""The live view of one order in a terminal: stages, services, the task at work, times."""

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console as Terminal
from rich.console import ConsoleOptions, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from console.following import Entry
from console.narration import how_to_approve
from console.progress import Progress, ServiceProgress, StageProgress
from console.times import when
from stagewright.clock import parse_rfc3339
from stagewright.contracts.base import Stage

_SIGN = {
    "pending": ("·", "dim"),
    "retrying": ("↻", "yellow"),
    "succeeded": ("✓", "green"),
    "failed": ("✗", "red bold"),
    "stopped": ("■", "yellow"),
    "skipped": ("–", "dim"),
}
_STATE_STYLE = {
    "succeeded": "green bold",
    "failed": "red bold",
    "stuck": "red bold",
    "cancelled": "yellow bold",
    "awaiting_approval": "yellow bold",
    "paused": "yellow bold",
    "cancelling": "yellow",
    "reverting": "yellow",
}
_SPINNER = Spinner("dots", style="cyan")


class LiveView:
    """A context manager; feed it entries, it redraws itself."""

    def __init__(self, order_id: str, out: TextIO, *, action: str = "update") -> None:
        self._order_id = order_id
        self._progress = Progress(action)
        self._began = time.monotonic()
        self._live = Live(
            self, console=Terminal(file=out), refresh_per_second=10, vertical_overflow="visible"
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def on_entry(self, entry: Entry) -> None:
        """Take one entry."""
        self._progress.apply(entry.message, entry.at)

    def __rich_console__(self, console: Terminal, options: ConsoleOptions) -> RenderResult:
        yield self._title()
        grid = Table.grid(padding=(0, 2))
        for column in ("sign", "name", "took"):
            grid.add_column(column, no_wrap=True, justify="right" if column == "took" else "left")
        grid.add_column("note", overflow="ellipsis", no_wrap=True)
        for stage, progress in self._progress.stages.items():
            grid.add_row(*_row(stage.value, progress, _stage_note(progress, stage)))
            if stage is Stage.DEPLOY_SERVICES:
                for name, service in self._progress.services.items():
                    grid.add_row(*_row(f"  service {name}", service.deployment, _service_note(service)))
        for stage, progress in self._progress.undone.items():
            grid.add_row(*_row(f"reverse {stage.value}", progress, _stage_note(progress, stage)))
        yield grid
        yield from self._what_to_do()
        yield from self._end()

    def _title(self) -> Text:
        took = f"{time.monotonic() - self._began:.1f} s"
        state = self._progress.state
        style = _STATE_STYLE.get(state, "cyan")
        words = state.replace("_", " ")
        return Text.assemble(("Order ", "bold"), self._order_id, "  ", (words, style), "  ", (took, "dim"))

    def _what_to_do(self) -> Iterator[Text]:
        match self._progress.state:
            case "awaiting_approval":
                yield Text(f"Waits for approval until {when(self._progress.approval_due)}:", style="yellow")
                yield Text(f"  {how_to_approve(self._order_id)}")
            case "paused":
                yield Text(f"Resume it: stagewright orders resume {self._order_id}", style="yellow")

    def _end(self) -> Iterator[Text]:
        ended = self._progress.ended
        if ended and ended.reverted:
            yield Text("What the order had done is reversed.")
        if ended and ended.error:
            yield Text(f"{ended.error.resource}: {ended.error.reason} [{ended.error.code}]", style="red")
            yield Text(ended.error.remedy)


def _row(name: str, progress: StageProgress, note: Text) -> tuple[Text | Spinner, Text, Text, Text]:
    if progress.status == "running":
        return _SPINNER, Text(name, style="bold"), Text(_took(progress), style="cyan"), note
    sign, style = _SIGN[progress.status]
    return Text(sign, style=style), Text(name), Text(_took(progress), style="dim"), note


def _took(progress: StageProgress) -> str:
    if progress.started_at is None or progress.status == "pending":
        return ""
    end = parse_rfc3339(progress.finished_at).timestamp() if progress.finished_at else time.time()
    return f"{max(0.0, end - parse_rfc3339(progress.started_at).timestamp()):.1f} s"


def _stage_note(progress: StageProgress, stage: Stage) -> Text:
    if progress.error:
        return _error(progress)
    task = "" if stage is Stage.DEPLOY_SERVICES else progress.task or ""
    return Text(task, style="dim")


def _service_note(service: ServiceProgress) -> Text:
    if service.deployment.error:
        return _error(service.deployment)
    known = " ".join(word for word in (service.decision, (service.commit or "")[:10], service.health) if word)
    return Text.assemble((known, ""), ("  " if known else ""), (service.deployment.task or "", "dim"))


def _error(progress: StageProgress) -> Text:
    assert progress.error is not None  # noqa: S101 - callers checked; for the type checker
    attempt = f"attempt {progress.attempts}: " if progress.attempts > 1 else ""
    return Text(f"{attempt}{progress.error.reason}", style="red" if progress.status == "failed" else "yellow")

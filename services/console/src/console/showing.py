"""Showing an order while it runs: a live view in a terminal, plain lines elsewhere, or nothing."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TextIO

from console.following import Entry
from console.narration import Narrator
from stagewright.contracts.order_events import OrderEnded

Watcher = Callable[[Entry], None]


def watcher(
    order_id: str,
    *,
    action: str = "update",
    since: str | None = None,
    quiet: bool = False,
    out: TextIO | None = None,
) -> AbstractContextManager[Watcher]:
    """What takes the entries of an order, which does `action`, and shows them on `out` (standard output).

    Lines begin after the moment `since`; a live view needs the whole story.
    """
    target = out or sys.stdout
    if quiet:
        return _silence()
    return _live(order_id, action, target) if in_terminal(target) else _lines(target, since or "")


def in_terminal(out: TextIO) -> bool:
    """Whether a person watches `out`."""
    return out.isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def _silence() -> Iterator[Watcher]:
    yield lambda _entry: None


@contextmanager
def _lines(out: TextIO, since: str) -> Iterator[Watcher]:
    narrator = Narrator()

    def on_entry(entry: Entry) -> None:
        if _is_new(entry, since):
            for line in narrator.lines(entry):
                print(line, file=out, flush=True)

    yield on_entry


def _is_new(entry: Entry, since: str) -> bool:
    """An order's end is published a moment after it: by its own time it is no news."""
    message = entry.message
    return (message.finished_at if isinstance(message, OrderEnded) else entry.at) > since


@contextmanager
def _live(order_id: str, action: str, out: TextIO) -> Iterator[Watcher]:
    from console.live import LiveView  # noqa: PLC0415 - drawing is slow to import and not always needed

    with LiveView(order_id, out, action=action) as view:
        yield view.on_entry

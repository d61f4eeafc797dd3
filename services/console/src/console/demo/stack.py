"""The demo's own one-machine stack: fresh each time, and alone with itself."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from embedded.mirrors import build_mirrors
from embedded.progress import Progress
from embedded.stack import Configuration, Stack
from stagewright.errors import Terminal
from stagewright.settings import CONNECTION_FILE, Settings

Say = Callable[[str], None]

_PASSED_ON = ("STAGEWRIGHT_EVENT_STORE", "STAGEWRIGHT_LOG_LEVEL")
"""Every other setting of the user's would lead the demo's services to another installation."""


@contextmanager
def stack(data_dir: Path, repositories: Path, say: Say, *, keep: bool = False) -> Iterator[Settings]:
    """A running stack in an empty `data_dir`, with `repositories` as git mirrors; yields its settings. With
    `keep` it goes on afterwards.

    Raises:
        Terminal: it does not start, or the directory holds something that is not a stack.
    """
    _clear(data_dir, say)
    mirrors = build_mirrors(repositories, data_dir / "mirrors")
    say(f"Built {len(mirrors)} git mirrors from {repositories}")
    made = Stack(Configuration(data_dir, mirrors, environment=_environment(), cwd=data_dir.absolute()))
    report = _reporter(say)
    made.start(report, detach=keep)
    stop = not keep
    try:
        yield made.settings()
    except BaseException:
        stop = True
        raise
    finally:
        if stop:
            made.stop(report)


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("STAGEWRIGHT_") or name in _PASSED_ON
    }


def _reporter(say: Say) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        detail = f": {progress.detail}" if progress.detail else ""
        say(f"  {progress.part or 'stack':<14} {progress.what}{detail}")

    return report


def _clear(data_dir: Path, say: Say) -> None:
    """Stop a stack that an earlier demo left behind, and remove its data."""
    if not _holds_a_stack(data_dir):
        return
    if Stack(Configuration(data_dir)).stop():
        say("Stopped the stack that an earlier demo left running")
    shutil.rmtree(data_dir)


def _holds_a_stack(data_dir: Path) -> bool:
    """Raises: Terminal, where it holds something else, which is not ours to remove."""
    names = {path.name for path in data_dir.iterdir()} if data_dir.exists() else set()
    if names and not names & {CONNECTION_FILE, "credentials", "mirrors"}:
        raise Terminal(
            "demo.directory_taken",
            str(data_dir),
            "it holds something that is not a stack.",
            "Empty it, or choose another place with --data-dir.",
        )
    return bool(names)

"""What a part is: a value that says what to run and how to tell that it serves. Builders return it, and
`embedded.running` and `embedded.supervision` are the only ones that act on it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Probe = Callable[[], bool]
"""Asks the part once, within a second or so; True when it serves. Never raises."""


@dataclass(frozen=True)
class Setup:
    """A command that is run once, before the first start: it is done when `creates` exists."""

    argv: tuple[str, ...]
    creates: Path


@dataclass(frozen=True)
class Program:
    """One part. `files` are written (0600) and `directories` made (0700) before each start."""

    name: str
    argv: tuple[str, ...]
    ready: Probe
    endpoint: str
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[Path, str] = field(default_factory=dict)
    directories: tuple[Path, ...] = ()
    setup: tuple[Setup, ...] = ()
    run_as: str | None = None
    """The account that owns `directories`, where the part refuses to run as root."""
    leftovers: tuple[Path, ...] = ()
    """Files elsewhere that the part leaves behind; removed when it has stopped."""
    cwd: Path | None = None
    needs: tuple[str, ...] = ()
    """The parts that serve before this one is started."""
    own_path: str | None = None
    """A directory put in front of PATH."""
    group: str = "parts"
    stop_signal: str = "TERM"
    stop_seconds: int = 10

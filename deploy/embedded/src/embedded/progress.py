"""What a stack says of itself while it starts, runs and stops."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

What = Literal["setup", "starting", "ready", "waiting", "died", "restarted", "failed", "stopping", "stopped"]


@dataclass(frozen=True)
class Progress:
    """One thing that happened. `seconds` since the start (or stop) began; `detail` is for people."""

    part: str
    what: What
    seconds: float
    detail: str = ""


Report = Callable[[Progress], None]


def silent(_progress: Progress) -> None:
    """Say nothing."""

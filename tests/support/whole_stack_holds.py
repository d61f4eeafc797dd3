"""Holding an order in a stage, so that it is killed in it: the part that the stage needs is frozen.

`inspect` needs git alone: its mirror's configuration then includes a pipe that nobody writes to.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stagewright.contracts.base import STAGES, Stage
from tests.support.whole_stack import WholeStack, thaw

PART_OF = {
    Stage.CONFIGURE_ENVIRONMENT: "aws",
    Stage.ALLOCATE_RESOURCES: "s3",
    Stage.CREATE_VARIABLES: "openbao",
    Stage.DEPLOY_SERVICES: "postgres",
    Stage.UPDATE_ROUTES: "caddy",
}
"""What each stage cannot do without, and the stages before it can."""
_MIRROR = "front"


@contextmanager
def held(whole: WholeStack, *stages: Stage) -> Iterator["Holds"]:
    """An order reaches the first of these stages and stays in it until that is released, and so on."""
    holds = Holds(whole, stages or tuple(STAGES))
    try:
        yield holds
    finally:
        holds.release_all()


class Holds:
    """Holds of several stages: the present one and the next are in place, so that no stage slips through."""

    def __init__(self, whole: WholeStack, stages: tuple[Stage, ...]) -> None:
        self._whole = whole
        self._waiting = list(stages)
        self._placed: dict[Stage, Callable[[], None]] = {}
        self._place_next()

    def release(self, stage: Stage) -> None:
        """Let the order go on, up to the next stage that is held."""
        self._placed.pop(stage)()

    def prepare(self) -> None:
        """Place the next hold; to be called while the one before is in place."""
        self._place_next()

    def release_all(self) -> None:
        """Let everything go on."""
        self._waiting.clear()
        while self._placed:
            self._placed.popitem()[1]()

    def _place_next(self) -> None:
        if not self._waiting:
            return
        stage = self._waiting.pop(0)
        if stage == Stage.INSPECT:
            self._placed[stage] = _block_git(self._whole.mirror(_MIRROR))
        else:
            pid = self._whole.freeze(PART_OF[stage])
            self._placed[stage] = lambda: thaw(pid)


def _block_git(repository: Path) -> Callable[[], None]:
    pipe, aside, config = repository / "pipe", repository / "pipe-aside", repository / "config"
    before = config.read_text()
    os.mkfifo(pipe)
    config.write_text(f"{before}[include]\n\tpath = pipe\n")

    def release() -> None:
        config.write_text(before)
        pipe.rename(aside)  # who opens it is waiting on the pipe itself, not on its name
        with contextlib.suppress(OSError):  # where nobody waits
            os.close(os.open(aside, os.O_WRONLY | os.O_NONBLOCK))
        aside.unlink()

    return release

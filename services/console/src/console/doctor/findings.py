"""What a check found."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Literal

from stagewright.errors import StagewrightError

State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Finding:
    """One line of the report. `failed` means that something needed is wrong."""

    name: str
    state: State
    detail: str
    remedy: str | None = None

    def as_json(self) -> dict[str, str | None]:
        """For `-o json`."""
        return asdict(self)


async def found(name: str, check: Callable[[], Awaitable[str]]) -> Finding:
    """Run a check that says one line, or raises what is wrong and what to do."""
    try:
        return Finding(name, "ok", await check())
    except StagewrightError as error:
        return Finding(name, "failed", f"{error.info.resource}: {error.info.reason}", error.info.remedy)

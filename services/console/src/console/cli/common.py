"""What every command shares: exit codes, output formats, settings, and the edge where errors become text."""

import asyncio
import enum
import json
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Annotated, Any, NoReturn, TypeVar

import structlog
import typer
from pydantic import BaseModel, ValidationError

from stagewright.errors import ErrorInfo, StagewrightError
from stagewright.settings import Settings

Result = TypeVar("Result")


class Exit(enum.IntEnum):
    """Exit codes; the same for every command."""

    DONE = 0
    FAILED = 1
    INVALID = 2
    TIMED_OUT = 3
    UNREACHABLE = 4
    DETACHED = 130


class Format(enum.StrEnum):
    """How to print."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[
    Format, typer.Option("--output", "-o", help="text for people, json for programs", show_default=True)
]


def load_settings() -> Settings:
    """The settings, or exit 2 with what is wrong with them."""
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in each['loc']) or 'settings'}: {each['msg']}"
            for each in error.errors(include_input=False, include_url=False)
        ]
        return stop(Exit.INVALID, "The settings are not valid:\n" + "\n".join(lines))
    except ValueError as error:
        return stop(Exit.INVALID, f"The settings cannot be read: {error}")


def run(work: Coroutine[Any, Any, Result], output: Format) -> Result:
    """Run to the end; errors of the system become text (or JSON) and an exit code."""
    return reporting(lambda: asyncio.run(work), output)


def reporting(work: Callable[[], Result], output: Format) -> Result:
    """Do the work; errors of the system become text (or JSON) and an exit code."""
    quiet_logs()
    try:
        return work()
    except StagewrightError as error:
        return fail(error.info, output)


def fail(info: ErrorInfo, output: Format) -> NoReturn:
    """Say what is wrong and exit: 4 where nobody answers, else 2."""
    if output is Format.JSON:
        print_json({"error": info.model_dump(mode="json")})
    unreachable = info.code in {"bus.unreachable", "bus.no_answer"}
    stop(Exit.UNREACHABLE if unreachable else Exit.INVALID, error_text(info))


def error_text(info: ErrorInfo) -> str:
    """Where, why, and in a second line what to do."""
    where = f"{info.resource}: " if info.resource else ""
    return f"{where}{info.reason} [{info.code}]\n{info.remedy}"


def stop(code: Exit, text: str) -> NoReturn:
    """Print to standard error and exit."""
    print(text, file=sys.stderr, flush=True)
    raise typer.Exit(int(code))


def print_json(value: BaseModel | object, *, lines: bool = False) -> None:
    """One JSON document on standard output; with `lines` on one line, as one of many."""
    data = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    print(json.dumps(data, indent=None if lines else 2, ensure_ascii=False), flush=True)


def show(view: BaseModel, output: Format, as_text: Callable[[Any], Iterable[str]]) -> None:
    """Print a view in the asked-for format."""
    if output is Format.JSON:
        print_json(view)
    else:
        for line in as_text(view):
            print(line)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell; the last one runs free."""
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def quiet_logs() -> None:
    """Keep the libraries' log lines out of the output; errors reach the user as text."""
    level = logging.DEBUG if os.environ.get("STAGEWRIGHT_LOG_LEVEL") == "debug" else logging.CRITICAL
    logging.basicConfig(stream=sys.stderr, level=level, force=True)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )

"""Options that several commands have."""

import enum
import getpass
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError
from typer.core import TyperCommand

from stagewright.contracts.orders import ANONYMOUS, Person

_PERSON: TypeAdapter[str] = TypeAdapter(Person)


class WaitFor(enum.StrEnum):
    """What a command waits for after it has submitted."""

    DONE = "done"
    READY = "ready"


class Waiting(TyperCommand):
    """A command whose `--wait` may stand alone: then it means `done`, whatever word comes next."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write the word that is left out."""
        end = args.index("--") if "--" in args else len(args)
        words = [f"--wait={WaitFor.DONE}" if word in {"--wait", "-w"} else word for word in args[:end]]
        return super().parse_args(ctx, words + args[end:])


def login_name() -> str:
    """Who works at this terminal, as the machine knows."""
    try:
        return _PERSON.validate_python(getpass.getuser())
    except (KeyError, OSError, ValidationError):
        return ANONYMOUS


def _person(name: str) -> str:
    try:
        return _PERSON.validate_python(name)
    except ValidationError as error:
        raise typer.BadParameter(error.errors(include_url=False)[0]["msg"]) from error


WaitOption = Annotated[
    WaitFor | None,
    typer.Option(
        "--wait",
        "-w",
        metavar="[=done|ready]",
        help="follow the order; the exit code says how it ended. --wait=ready goes on until every service of "
        "it says that it is ready",
    ),
]
TimeoutOption = Annotated[
    float | None, typer.Option(metavar="S", help="with --wait: stop waiting after S seconds (exit 3)")
]
ByOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="in whose name [default: the login name]",
        default_factory=login_name,
        show_default=False,
        callback=_person,
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="do not ask; needed where nobody can be asked")]

"""`stagewright`: the command. Every command's module is imported when it is called, so that help is fast."""

import os
import sys
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class Lazy(NamedTuple):
    """Where a command is: a module, a `typer.Typer` or function in it, and one line of help."""

    module: str
    attribute: str
    help: str


COMMANDS: dict[str, Lazy] = {
    "plan": Lazy("console.cli.plan", "plan", "Show what an order would do, and change nothing."),
    "submit": Lazy("console.cli.submit", "app", "Submit an order; --wait follows it to its end."),
    "orders": Lazy("console.cli.orders", "app", "Show orders; approve, cancel, pause, retry one."),
    "rollback": Lazy("console.cli.rollback", "app", "Bring an environment back to where an order left it."),
    "environments": Lazy("console.cli.environments", "app", "Show an environment; drop or redeploy it."),
    "logs": Lazy("console.cli.logs", "logs", "Print an order's output; --follow until its end."),
    "up": Lazy("console.cli.stack", "up", "Start the one-machine stack."),
    "down": Lazy("console.cli.stack", "down", "Stop the one-machine stack."),
    "status": Lazy("console.cli.stack", "status", "Say how the one-machine stack does."),
    "demo": Lazy("console.cli.demo", "demo", "Run the example order on a stack of its own and prove it."),
    "doctor": Lazy("console.cli.doctor", "doctor", "Say what is missing and how to get it."),
}


class LazyGroup(TyperGroup):
    """Lists commands from the table above; imports one only to run it."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command if it was imported, else a stand-in with its line of help."""
        if cmd_name in self.commands or cmd_name not in COMMANDS:
            return self.commands.get(cmd_name)
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name].help)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the command that is about to run (or to be completed)."""
        name = args[0] if args else ""
        if name in COMMANDS and name not in self.commands:
            self.commands[name] = _load(name, COMMANDS[name])
        if name not in COMMANDS:  # the suggestion of a near name looks here
            self.commands.update({known: self.get_command(ctx, known) for known in COMMANDS})
        return super().resolve_command(ctx, args)


def _load(name: str, lazy: Lazy) -> Any:
    try:
        target = getattr(import_module(lazy.module), lazy.attribute)
    except (ImportError, AttributeError) as error:
        print(f"`stagewright {name}` is not installed here: {error}.", file=sys.stderr)
        print("Install the project with all extras: `make setup`.", file=sys.stderr)
        raise typer.Exit(2) from error
    if not isinstance(target, typer.Typer):
        app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        app.command(name)(target)
        target = app
    command = typer.main.get_command(target)
    command.name = name
    return command


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _version(asked: bool) -> None:
    if asked:
        from stagewright import __version__  # noqa: PLC0415 - only when asked, help stays fast

        print(f"stagewright {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 done, 1 the order failed or what was asked is refused, 2 invalid input or usage, "
    "3 the wait timed out (the order goes on), 4 the bus cannot be reached, 130 detached by Ctrl-C (the "
    "order goes on)."
)
def options(
    data_dir: Annotated[
        str | None,
        typer.Option("--data-dir", metavar="DIR", help="data directory of the stack [default: .stagewright]"),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Take a deployment order to a running environment, and prove afterwards what happened.

    \b
    Examples:
      stagewright up --detach
      stagewright plan examples/orders/environment-3.yml
      stagewright submit examples/orders/environment-3.yml --wait
      stagewright orders list
      stagewright environments show 3
      stagewright doctor
    """
    if data_dir is not None:
        os.environ["STAGEWRIGHT_DATA_DIR"] = data_dir


def main() -> None:
    """Run the command line; the process ends with the exit code."""
    app(args=global_options_first(sys.argv[1:]), prog_name="stagewright")


def global_options_first(args: list[str]) -> list[str]:
    """Move `--data-dir DIR` to the front, so that it may stand after the command as well."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(args)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word == "--data-dir":
            front += [word, *[value for value in [next(words, None)] if value is not None]]
        elif word.startswith("--data-dir="):
            front.append(word)
        else:
            rest.append(word)
    return front + rest


if __name__ == "__main__":
    main()

"""`stagewright environments`: show."""

from typing import Annotated

import typer

from console.cli import views
from console.cli.common import Format, OutputOption, load_settings, run, show
from console.cli.completion import environment_ids
from console.client import connected
from stagewright.contracts.queries import EnvironmentView

app = typer.Typer(
    help="Show what runs in an environment.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def environments() -> None:
    """Show what runs in an environment."""


@app.command("show")
def show_(
    environment_id: Annotated[
        str, typer.Argument(metavar="ID", help="the environment's id", autocompletion=environment_ids)
    ],
    output: OutputOption = Format.TEXT,
) -> None:
    """Show what runs in an environment, and where.

    Domains, services with health and address, secrets by reference, records and routes.

    \b
    Examples:
      stagewright environments show 3
      stagewright environments show 3 -o json | jq '.services[] | {id, commit, port}'
    """

    async def ask() -> EnvironmentView:
        async with connected(load_settings()) as console:
            return await console.environment(environment_id)

    show(run(ask(), output), output, views.environment)

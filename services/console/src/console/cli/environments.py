"""`stagewright environments`: show, drop, redeploy, maintenance."""

from typing import Annotated, Literal

import typer

from console.cli import views
from console.cli.common import Exit, Format, OutputOption, load_settings, run, show
from console.cli.completion import environment_ids
from console.cli.options import ByOption, TimeoutOption, Waiting, WaitOption, YesOption
from console.cli.sending import How, as_body, send
from console.client import connected
from stagewright.contracts.queries import EnvironmentView

app = typer.Typer(
    help="Show what runs in an environment; drop it, redeploy services of it, switch maintenance.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
EnvironmentArgument = Annotated[
    str, typer.Argument(metavar="ID", help="the environment's id", autocompletion=environment_ids)
]


@app.command("show")
def show_(environment_id: EnvironmentArgument, output: OutputOption = Format.TEXT) -> None:
    """Show what runs in an environment, and where.

    Domains, services with health and address, secrets by reference, records and routes; the order at work,
    and those that wait for it.

    \b
    Examples:
      stagewright environments show 3
      stagewright environments show 3 -o json | jq '.services[] | {id, commit, port}'
    """

    async def ask() -> EnvironmentView:
        async with connected(load_settings()) as console:
            return await console.environment(environment_id)

    show(run(ask(), output), output, views.environment)


@app.command("drop", cls=Waiting)
def drop(
    environment_id: EnvironmentArgument,
    by: ByOption,
    no_dump: Annotated[bool, typer.Option("--no-dump", help="drop databases without dumping them")] = False,
    yes: YesOption = False,
    wait: WaitOption = None,
    timeout: TimeoutOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Take an environment away: routes, processes, databases (dumped first), buckets, secrets, records.

    The plan is shown before anything is asked, and what is agreed to is what is done: the order is bound to
    the plan. Secrets are deleted softly: their versions can be restored. Safe to repeat.

    \b
    Examples:
      stagewright environments drop 3 --wait
      stagewright environments drop 3 --no-dump --yes --wait -o json
    """
    how = How(by, output, wait, timeout)
    how.check()
    order: dict[str, object] = {"action": "drop", "environment_id": environment_id}
    body = as_body(order | {"dump": False} if no_dump else order)
    send(body if yes else _agreed(body, environment_id, by, output), how)


def _agreed(body: bytes, environment_id: str, by: str, output: Format) -> bytes:
    from console.cli.planning import (  # noqa: PLC0415 - drawing is slow to import and not always needed
        agreed,
        must_be_able_to_ask,
        planned,
    )

    must_be_able_to_ask(output)
    try:
        plan = planned(body, by, output)
    except KeyboardInterrupt:
        raise typer.Exit(int(Exit.DETACHED)) from None
    return agreed(body, plan, f"Drop environment {environment_id}?")


@app.command("redeploy", cls=Waiting)
def redeploy(
    environment_id: EnvironmentArgument,
    service: Annotated[
        list[str], typer.Option("--service", "-s", metavar="S", help="a service to start anew; repeatable")
    ],
    by: ByOption,
    wait: WaitOption = None,
    timeout: TimeoutOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Start services anew on the commits that they run, with the newest versions of their secrets.

    \b
    Examples:
      stagewright environments redeploy 3 --service 7 --wait
      stagewright environments redeploy 3 --service 6 --service 7 --wait=ready
    """
    order = {"action": "redeploy", "environment_id": environment_id, "service_ids": service}
    send(as_body(order), How(by, output, wait, timeout))


@app.command("maintenance", cls=Waiting)
def maintenance(
    environment_id: EnvironmentArgument,
    switch: Annotated[Literal["on", "off"], typer.Argument(help="on answers 503 on every domain")],
    by: ByOption,
    wait: WaitOption = None,
    timeout: TimeoutOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Answer 503 with Retry-After on every domain of an environment, or serve again. Services run on.

    \b
    Examples:
      stagewright environments maintenance 3 on --wait
      stagewright environments maintenance 3 off --wait
    """
    order = {"action": "maintenance", "environment_id": environment_id, "maintenance": switch == "on"}
    send(as_body(order), How(by, output, wait, timeout))

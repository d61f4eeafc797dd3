"""`stagewright orders`: list, show, events."""

from typing import Annotated

import typer
from pydantic import ValidationError

from console.cli import views
from console.cli.common import Exit, Format, OutputOption, load_settings, run, show, stop
from console.cli.completion import environment_ids, order_ids, statuses
from console.client import connected
from stagewright.contracts.queries import EventList, OrderList, OrderListQuery, OrderView

app = typer.Typer(
    help="List orders; show one, and its events.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
OrderArgument = Annotated[str, typer.Argument(metavar="ID", help="the order's id", autocompletion=order_ids)]


@app.command("list")
def list_(
    environment: Annotated[
        str | None,
        typer.Option("--environment", "-e", help="only this environment's", autocompletion=environment_ids),
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(
            help="only these: received, planned, running, succeeded or failed", autocompletion=statuses
        ),
    ] = None,
    limit: Annotated[int, typer.Option(help="at most so many", min=1, max=1000)] = 50,
    before: Annotated[str | None, typer.Option(help="the page after: `next` of the page before")] = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """List orders, newest first.

    \b
    Examples:
      stagewright orders list
      stagewright orders list --environment 3 --status failed
      stagewright orders list -o json | jq -r '.orders[].order_id'
    """
    try:
        query = OrderListQuery.model_validate(
            {"environment_id": environment, "status": status, "before": before, "limit": limit}
        )
    except ValidationError:
        stop(Exit.INVALID, f"--status {status}: use received, planned, running, succeeded or failed.")

    async def ask() -> OrderList:
        async with connected(load_settings()) as console:
            return await console.orders(query)

    narrowed = query != OrderListQuery(limit=limit)
    show(run(ask(), output), output, lambda found: views.order_list(found, narrowed=narrowed))


@app.command("show")
def show_(order_id: OrderArgument, output: OutputOption = Format.TEXT) -> None:
    """Show one order: its stages, services, plan, and why it failed.

    \b
    Examples:
      stagewright orders show 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f
      stagewright orders show 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f -o json | jq .status
    """

    async def ask() -> OrderView:
        async with connected(load_settings()) as console:
            return await console.order(order_id)

    show(run(ask(), output), output, views.order)


@app.command("events")
def events(order_id: OrderArgument, output: OutputOption = Format.TEXT) -> None:
    """Print what the log holds about one order.

    With -o json each event comes with its whole body.

    \b
    Examples:
      stagewright orders events 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f
      stagewright orders events 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f -o json | jq '.events[-1].body'
    """

    async def ask() -> EventList:
        async with connected(load_settings()) as console:
            return await console.order_events(order_id)

    show(run(ask(), output), output, views.events)

"""`stagewright orders`: list, show, events, and what people ask of an order under way."""

from typing import Annotated, get_args

import typer
from pydantic import ValidationError

from console.cli import control, views
from console.cli.common import Exit, Format, OutputOption, load_settings, run, show, stop
from console.cli.completion import environment_ids, statuses
from console.cli.control import OrderArgument
from console.client import connected
from stagewright.contracts.orders import Purpose
from stagewright.contracts.queries import EventList, OrderList, OrderListQuery, OrderStatus, OrderView

app = typer.Typer(
    help="List and show orders; approve, cancel, pause, resume, retry one.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
_STATUSES = ", ".join(get_args(OrderStatus))


@app.command("list")
def list_(
    environment: Annotated[
        str | None,
        typer.Option("--environment", "-e", help="only this environment's", autocompletion=environment_ids),
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(metavar="STATUS", help=f"only these: {_STATUSES}", autocompletion=statuses),
    ] = None,
    purpose: Annotated[
        Purpose, typer.Option(help="orders that were submitted (apply), or plans that were made (plan)")
    ] = "apply",
    limit: Annotated[int, typer.Option(help="at most so many", min=1, max=1000)] = 50,
    before: Annotated[str | None, typer.Option(help="the page after: `next` of the page before")] = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """List orders, newest first.

    \b
    Examples:
      stagewright orders list
      stagewright orders list --environment 3 --status failed
      stagewright orders list --status awaiting_approval
      stagewright orders list --purpose plan
      stagewright orders list -o json | jq -r '.orders[].order_id'
    """
    try:
        query = OrderListQuery.model_validate(
            {
                "environment_id": environment,
                "status": status,
                "purpose": purpose,
                "before": before,
                "limit": limit,
            }
        )
    except ValidationError:
        stop(Exit.INVALID, f"--status {status}: use one of {_STATUSES}.")

    async def ask() -> OrderList:
        async with connected(load_settings()) as console:
            return await console.orders(query)

    narrowed = query != OrderListQuery(limit=limit)
    show(run(ask(), output), output, lambda found: views.order_list(found, narrowed=narrowed))


@app.command("show")
def show_(order_id: OrderArgument, output: OutputOption = Format.TEXT) -> None:
    """Show one order: its stages, services, plan, approval, place in the queue, and why it failed.

    \b
    Examples:
      stagewright orders show 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f
      stagewright orders show 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f -o json | jq .status
    """

    async def ask() -> OrderView:
        async with connected(load_settings()) as console:
            return await console.order(order_id)

    view = run(ask(), output)
    show(view, output, views.order)
    if output is Format.TEXT and view.environment_plan:
        from console.cli.plan_text import print_decisions  # noqa: PLC0415 - drawing is slow to import

        print()
        print_decisions(view)


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


app.registered_commands += control.app.registered_commands

"""`stagewright rollback`."""

from typing import Annotated

import typer

from console.cli.common import Exit, Format, OutputOption, load_settings, print_json, run
from console.cli.completion import environment_ids, order_ids
from console.cli.options import ByOption, TimeoutOption, Waiting, WaitOption, YesOption
from console.cli.plan_text import print_plan
from console.cli.planning import agreed, must_be_able_to_ask, planned
from console.cli.sending import How, as_body, send
from console.client import connected

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command("rollback", cls=Waiting)
def rollback(
    environment_id: Annotated[
        str,
        typer.Argument(metavar="ENVIRONMENT", help="the environment's id", autocompletion=environment_ids),
    ],
    to: Annotated[
        str,
        typer.Option(
            metavar="ORDER", help="the order whose result is brought back", autocompletion=order_ids
        ),
    ],
    by: ByOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the plan and stop")] = False,
    yes: YesOption = False,
    wait: WaitOption = None,
    timeout: TimeoutOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Bring an environment back to where an order left it: commits, paths, domains, versions of secrets.

    The log says what that was, and an order of its own is made from it. Its plan is shown before anything is
    asked, and what is agreed to is what is done: the order is bound to the plan. What databases hold is not
    brought back. With -o json: the plan with --dry-run, else the reply to the submit.

    \b
    Examples:
      stagewright rollback 3 --to 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f --dry-run
      stagewright rollback 3 --to 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f --wait
      stagewright rollback 3 --to 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f --yes --wait -o json
    """
    how = How(by, output, wait, timeout)
    how.check()
    if not (yes or dry_run):
        must_be_able_to_ask(output)
    try:
        body = run(_order(environment_id, to), output)
        plan = planned(body, by, output)
    except KeyboardInterrupt:
        raise typer.Exit(int(Exit.DETACHED)) from None
    if not (yes or dry_run):
        body = agreed(body, plan, f"Bring environment {environment_id} back to order {to}?")
    elif output is Format.TEXT:
        print_plan(plan)
    elif dry_run:
        print_json(plan)
    if not dry_run:
        send(body, how)


async def _order(environment_id: str, to: str) -> bytes:
    async with connected(load_settings()) as console:
        order = await console.rollback(environment_id, to)
    return as_body(order.model_dump(mode="json", exclude_defaults=True))

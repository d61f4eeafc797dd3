"""`stagewright plan`."""

from pathlib import Path
from typing import Annotated

import typer

from console.cli.common import Exit, Format, OutputOption, print_json, stop
from console.cli.options import ByOption
from console.cli.plan_text import print_plan
from console.cli.planning import PLAN_TIMEOUT, planned
from console.cli.saved import save as save_plan
from console.cli.submit import read
from stagewright.contracts.queries import PlanView

_CHANGES = 2


def plan(
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="the order, YAML or JSON; - reads standard input")
    ],
    by: ByOption,
    offline: Annotated[
        bool, typer.Option("--offline", help="plan from the log alone; nothing is looked at")
    ] = False,
    detailed_exitcode: Annotated[
        bool,
        typer.Option("--detailed-exitcode", help="exit 0 without changes, 2 with changes, 1 on any error"),
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(metavar="PLANFILE", help="write the plan to a file, for `submit --plan PLANFILE`"),
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="S", min=0.1, help="give up after S seconds (exit 3)")
    ] = PLAN_TIMEOUT,
    output: OutputOption = Format.TEXT,
) -> None:
    """Show what an order would do, and change nothing.

    Repositories and the environment are looked at, and each line says since when it is believed or when it
    was verified. Signs: + create, ~ update, = unchanged, ± replace, - drop. With -o json, the plan as one
    document, or the reply that rejects the order, or an error.

    \b
    Examples:
      stagewright plan examples/orders/environment-3.yml
      stagewright plan order.yml --offline
      stagewright plan order.yml --save plan.json && stagewright submit --plan plan.json --wait
      stagewright plan order.yml --detailed-exitcode -o json | jq '.services[] | {service, decision}'
    """
    try:
        found = _plan(file, by, save, output, offline=offline, timeout=timeout)
    except typer.Exit as ended:
        wrong = ended.exit_code not in {Exit.DONE, Exit.DETACHED}
        raise typer.Exit(int(Exit.FAILED)) if detailed_exitcode and wrong else ended from None
    except KeyboardInterrupt:
        raise typer.Exit(int(Exit.DETACHED)) from None
    raise typer.Exit(_CHANGES if detailed_exitcode and found.changes else int(Exit.DONE))


def _plan(
    file: str, by: str, save: Path | None, output: Format, *, offline: bool, timeout: float
) -> PlanView:
    if offline and save is not None:
        stop(Exit.INVALID, "--save needs a plan of what is really there. Leave --offline out.")
    body = read(file)
    found = planned(body, by, output, offline=offline, timeout=timeout)
    if save is not None:
        save_plan(save, body, found)
    if output is Format.JSON:
        print_json(found)
        return found
    print_plan(found)
    if save is not None:
        print(f"Saved. Do exactly this: stagewright submit --plan {save}")
    return found

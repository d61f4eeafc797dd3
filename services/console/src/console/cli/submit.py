"""`stagewright submit`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from console.cli.common import Exit, Format, OutputOption, stop
from console.cli.options import ByOption, TimeoutOption, Waiting, WaitOption
from console.cli.saved import load
from console.cli.sending import How, as_body, send

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command("submit", cls=Waiting)
def submit(
    by: ByOption,
    file: Annotated[
        str | None, typer.Argument(metavar="FILE|-", help="the order, YAML or JSON; - reads standard input")
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            metavar="PLANFILE",
            help="in place of FILE: submit the order of a plan that `plan --save` wrote, bound to it",
        ),
    ] = None,
    wait: WaitOption = None,
    timeout: TimeoutOption = None,
    order_id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="the order's id, unless the order says it [default: a new UUIDv7]"),
    ] = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Submit an order. Safe to repeat: the same id with the same content is taken once, for ever.

    With -o json, standard output is one document, the reply to the submit, whether --wait is given or not;
    with --wait the exit code says how the order ended, and `orders show ID -o json` says more. It is 1 when
    the order failed, was cancelled or is stuck. An order that is bound to a plan fails when another plan
    would be made by now. Ctrl-C while waiting detaches; the order goes on.

    \b
    Examples:
      stagewright submit examples/orders/environment-3.yml
      stagewright submit order.yml --wait --timeout 600
      stagewright submit order.yml --wait=ready
      stagewright submit --plan plan.json --by alice --wait
      cat order.yml | stagewright submit - -o json
    """
    if (file is None) == (plan is None):
        stop(
            Exit.INVALID, "Name either an order (FILE, or - for standard input) or a plan (--plan PLANFILE)."
        )
    body = read(file) if file is not None else as_body(load(plan or Path()).order)
    send(body, How(by, output, wait, timeout, order_id))


def read(file: str) -> bytes:
    """The file's content, or standard input's; exit 2 where it cannot be read."""
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        return stop(Exit.INVALID, f"{file} cannot be read: {error.strerror or error}.")

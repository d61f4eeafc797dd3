"""`stagewright logs`."""

from typing import Annotated

import typer

from console.cli.common import Exit, Format, OutputOption, load_settings, print_json, run
from console.cli.completion import order_ids
from console.cli.submit import detached
from console.client import Console, connected
from console.following import Entry
from console.narration import Narrator
from console.waiting import wait_for_end


def logs(
    order_id: Annotated[str, typer.Argument(metavar="ID", help="the order's id", autocompletion=order_ids)],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="go on until the order has ended; exit 1 if it failed")
    ] = False,
    output: OutputOption = Format.TEXT,
) -> None:
    """Print what an order did: its stages, and every Ansible task. With -o json, one JSON object a line.

    \b
    Examples:
      stagewright logs 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f
      stagewright logs 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f --follow
      stagewright logs 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f -o json | jq -c 'select(.task)'
    """
    try:
        code = run(_logs(order_id, follow, output), output)
    except KeyboardInterrupt:
        code = detached(order_id)
    raise typer.Exit(int(code))


async def _logs(order_id: str, follow: bool, output: Format) -> Exit:
    narrator = Narrator()

    def on_entry(entry: Entry) -> None:
        _print(entry, narrator, output)

    async with connected(load_settings()) as console:
        if follow:
            await _must_exist(console, order_id)
            end = await wait_for_end(console, order_id, on_entry)
            return Exit.DONE if end == "succeeded" else Exit.FAILED
        entries = await console.history(order_id)
        if not entries:
            await _must_exist(console, order_id)
        for entry in entries:
            on_entry(entry)
    return Exit.DONE


async def _must_exist(console: Console, order_id: str) -> None:
    """Raises: Terminal, where nobody knows the order; following it would never end."""
    if not await console.history(order_id):
        await console.order(order_id)


def _print(entry: Entry, narrator: Narrator, output: Format) -> None:
    if output is Format.JSON:
        body = entry.message.model_dump(mode="json")
        print_json({"at": entry.at, "type": entry.message.ce_type, **body}, lines=True)
        return
    for line in narrator.lines(entry):
        print(line, flush=True)

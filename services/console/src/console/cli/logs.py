"""`stagewright logs`."""

import contextlib
import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from console.cli import views
from console.cli.common import Exit, Format, OutputOption, load_settings, print_json, run, show, stop
from console.cli.completion import order_ids
from console.cli.sending import detached
from console.client import Console, connected
from console.following import Entry
from console.narration import Narrator
from console.waiting import wait_for_end
from stagewright.contracts.base import Stage
from stagewright.contracts.queries import AttemptList
from stagewright.errors import StagewrightError


@dataclass(frozen=True)
class Part:
    """What of an order is asked for; None where all of it is."""

    stage: Stage | None = None
    service: str | None = None
    attempt: int | None = None

    def has(self, entry: Entry) -> bool:
        """Whether the entry belongs to it."""
        wanted = {"stage": self.stage, "service": self.service, "attempt": self.attempt}
        return all(
            value is None or getattr(entry.message, name, None) == value for name, value in wanted.items()
        )

    def check(self, *, attempts: bool, follow: bool) -> None:
        """Exit 2 where the options do not go together."""
        if self.stage is None and (self.service or self.attempt):
            stop(Exit.INVALID, "--attempt and --service need --stage: attempts are counted for each stage.")
        if attempts and (follow or self.stage):
            stop(Exit.INVALID, "--attempts lists every command of the order. Leave --follow and --stage out.")


def logs(
    order_id: Annotated[str, typer.Argument(metavar="ID", help="the order's id", autocompletion=order_ids)],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="go on until the order has ended; exit 1 if it failed")
    ] = False,
    stage: Annotated[
        Stage | None, typer.Option(metavar="STAGE", help=f"only this stage: {', '.join(Stage)}")
    ] = None,
    attempt: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="only this attempt of --stage")
    ] = None,
    service: Annotated[str | None, typer.Option(metavar="S", help="only this service of --stage")] = None,
    attempts: Annotated[
        bool,
        typer.Option("--attempts", help="list every command: executor, time, error, and how to repeat it"),
    ] = False,
    output: OutputOption = Format.TEXT,
) -> None:
    """Print what an order did: its stages, and every Ansible task with its duration.

    With -o json, one JSON object a line; with --attempts one document. Where a playbook failed, the command
    that runs it again by hand is printed.

    \b
    Examples:
      stagewright logs 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f
      stagewright logs 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f --follow
      stagewright logs 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f --stage deploy_services --attempt 2 --service 7
      stagewright logs 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f --attempts
      stagewright logs 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f -o json | jq -c 'select(.task)'
    """
    part = Part(stage, service, attempt)
    part.check(attempts=attempts, follow=follow)
    if attempts:
        show(run(_attempts(order_id), output), output, views.attempts)
        return
    try:
        code = run(_logs(order_id, part, output, follow=follow), output)
    except KeyboardInterrupt:
        code = detached(order_id)
    raise typer.Exit(int(code))


async def _attempts(order_id: str) -> AttemptList:
    async with connected(load_settings()) as console:
        return await console.attempts(order_id)


async def _logs(order_id: str, part: Part, output: Format, *, follow: bool) -> Exit:
    narrator = Narrator()

    def on_entry(entry: Entry) -> None:
        if part.has(entry):
            _print(entry, narrator, output)

    async with connected(load_settings()) as console:
        if follow:
            await _must_exist(console, order_id)
            await say_queue(console, order_id)
            end = await wait_for_end(console, order_id, on_entry)
            return Exit.DONE if end == "succeeded" else Exit.FAILED
        entries = await console.history(order_id)
        if not entries:
            await _must_exist(console, order_id)
    for entry in entries:
        on_entry(entry)
    if entries and not any(part.has(entry) for entry in entries):
        stop(Exit.INVALID, f"Nothing was said there. See: stagewright logs {order_id} --attempts")
    return Exit.DONE


async def say_queue(console: Console, order_id: str) -> None:
    """What an order waits for, on standard error: until its turn nothing is said of it."""
    with contextlib.suppress(StagewrightError):
        view = await console.order(order_id)
        if view.queue_position:
            print(views.waiting(view), file=sys.stderr, flush=True)


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

"""`stagewright submit`."""

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from console.cli import views
from console.cli.common import Exit, Format, OutputOption, load_settings, print_json, run, stop
from console.client import Console, connected
from console.showing import watcher
from console.waiting import End, wait_for_end
from stagewright.contracts.orders import SubmitReply
from stagewright.errors import StagewrightError


def submit(
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="the order, YAML or JSON; - reads standard input")
    ],
    wait: Annotated[
        bool, typer.Option("--wait", "-w", help="follow the order; the exit code says how it ended")
    ] = False,
    timeout: Annotated[
        float | None, typer.Option(metavar="S", help="with --wait: stop waiting after S seconds (exit 3)")
    ] = None,
    order_id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="the order's id, unless the order says it [default: a new UUIDv7]"),
    ] = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Submit an order. Safe to repeat: the same id with the same content is taken once, for ever.

    With -o json, standard output is one document, the reply to the submit, whether --wait is given or not;
    with --wait the exit code says how the order ended, and `orders show ID -o json` says more.
    Ctrl-C while waiting detaches; the order goes on.

    \b
    Examples:
      stagewright submit examples/orders/environment-3.yml
      stagewright submit order.yml --wait --timeout 600
      cat order.yml | stagewright submit - -o json
    """
    body = _read(file)
    if timeout is not None and (not wait or timeout <= 0):
        stop(Exit.INVALID, "--timeout needs --wait, and a number of seconds above 0.")
    accepted: list[str] = []
    try:
        code = run(_submit(body, order_id, wait, timeout, output, accepted), output)
    except KeyboardInterrupt:
        code = detached(accepted[0]) if accepted else Exit.DETACHED
    raise typer.Exit(int(code))


async def _submit(
    body: bytes,
    order_id: str | None,
    wait: bool,
    timeout: float | None,
    output: Format,
    accepted: list[str],
) -> Exit:
    async with connected(load_settings()) as console:
        reply = await console.submit(body, order_id)
        _print(reply, output)
        if reply.status == "rejected":
            return Exit.INVALID
        accepted.append(reply.order_id or "")
        if not wait:
            return Exit.DONE
        return await watch(console, accepted[0], timeout, quiet=output is Format.JSON)


async def watch(console: Console, order_id: str, timeout: float | None, *, quiet: bool = False) -> Exit:
    """Show an order until its end; the exit code that says how it ended."""
    try:
        with watcher(order_id, quiet=quiet) as on_entry:
            async with asyncio.timeout(timeout):
                end: End = await wait_for_end(console, order_id, on_entry)
    except TimeoutError:
        print(f"The wait timed out; the order goes on. {_follow_again(order_id)}", file=sys.stderr)
        return Exit.TIMED_OUT
    if end == "failed":
        return Exit.FAILED
    if not quiet:
        await _say_where(console, order_id)
    return Exit.DONE


async def _say_where(console: Console, order_id: str) -> None:
    """What was ordered, and its addresses; an order that is done is done, whether this can be told or not."""
    with contextlib.suppress(StagewrightError):
        for line in views.addresses(await console.order(order_id)):
            print(line, flush=True)


def detached(order_id: str) -> Exit:
    """Ctrl-C: say that the order goes on, and how to follow it again."""
    print(f"\nDetached; the order goes on. {_follow_again(order_id)}", file=sys.stderr)
    return Exit.DETACHED


def _follow_again(order_id: str) -> str:
    return f"Follow it again: stagewright logs {order_id} --follow"


def _print(reply: SubmitReply, output: Format) -> None:
    if output is Format.JSON:
        print_json(reply)
    elif reply.status == "rejected":
        print(f"Rejected: {len(reply.errors)} error{'s' if len(reply.errors) != 1 else ''}.", file=sys.stderr)
        for error in reply.errors:
            print(f"  {error.field or 'the order'}: {error.message} [{error.code}]", file=sys.stderr)
    elif reply.status == "duplicate":
        since = f", first received at {reply.receipt.received_at}" if reply.receipt else ""
        print(f"Order {reply.order_id} is known{since}; nothing new was started.", flush=True)
    else:
        print(f"Order {reply.order_id} accepted.", flush=True)


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        return stop(Exit.INVALID, f"{file} cannot be read: {error.strerror or error}.")

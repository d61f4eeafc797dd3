"""Sending an order, and following it as the command was asked to."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

import typer
import yaml

from console.cli import views
from console.cli.common import Exit, Format, load_settings, print_json, run, stop
from console.cli.options import WaitFor
from console.client import Console, connected
from console.showing import watcher
from console.waiting import wait_for_end, wait_until_ready
from stagewright.contracts.order_events import EndStatus
from stagewright.contracts.orders import FieldError, SubmitReply
from stagewright.errors import StagewrightError


@dataclass(frozen=True)
class How:
    """How an order is sent: in whose name, under which id, and what is waited for."""

    by: str
    output: Format
    wait: WaitFor | None = None
    timeout: float | None = None
    order_id: str | None = None

    def check(self) -> None:
        """Exit 2 where the options do not go together."""
        if self.timeout is not None and (self.wait is None or self.timeout <= 0):
            stop(Exit.INVALID, "--timeout needs --wait, and a number of seconds above 0.")


def as_body(order: Mapping[str, object]) -> bytes:
    """An order that the command line writes itself."""
    return json.dumps(order, ensure_ascii=False).encode()


def send(body: bytes, how: How) -> NoReturn:
    """Submit the order, say what came of it, and exit with the code that tells it."""
    how.check()
    accepted: list[str] = []
    try:
        code = run(_send(body, how, accepted), how.output)
    except KeyboardInterrupt:
        code = detached(accepted[0]) if accepted else Exit.DETACHED
    raise typer.Exit(int(code))


async def _send(body: bytes, how: How, accepted: list[str]) -> Exit:
    async with connected(load_settings()) as console:
        reply = await console.submit(body, how.order_id, by=how.by)
        _print(reply, how.output)
        if reply.status == "rejected" or reply.order_id is None:
            return Exit.INVALID
        accepted.append(reply.order_id)
        if how.wait is None:
            return Exit.DONE
        return await watch(console, reply.order_id, how, action=_action(body))


async def watch(
    console: Console, order_id: str, how: How, *, action: str, known_end: str | None = None
) -> Exit:
    """Show an order until its end, or until its services are ready; the exit code that says how it ended."""
    quiet = how.output is Format.JSON
    left: tuple[str, ...] = ()
    try:
        with watcher(order_id, action=action, since=known_end, quiet=quiet) as on_entry:
            async with asyncio.timeout(how.timeout):
                end: EndStatus = await wait_for_end(console, order_id, on_entry, known_end=known_end)
                if end == "succeeded" and how.wait is WaitFor.READY:
                    left = await wait_until_ready(console, order_id, on_entry)
    except TimeoutError:
        print(f"The wait timed out; the order goes on. {_follow_again(order_id)}", file=sys.stderr)
        return Exit.TIMED_OUT
    if not quiet and end == "succeeded":
        await _say_where(console, order_id)
    if left:
        print(f"Not ready: {', '.join(left)}. Another order has the environment now.", file=sys.stderr)
    return Exit.DONE if end == "succeeded" and not left else Exit.FAILED


async def _say_where(console: Console, order_id: str) -> None:
    """What runs now, and where; an order that is done is done, whether this can be told or not."""
    with contextlib.suppress(StagewrightError):
        order = await console.order(order_id)
        for line in views.addresses(await console.environment(order.environment_id)):
            print(line, flush=True)


def detached(order_id: str) -> Exit:
    """Ctrl-C: say that the order goes on, and how to follow it again."""
    print(f"\nDetached; the order goes on. {_follow_again(order_id)}", file=sys.stderr)
    return Exit.DETACHED


def _follow_again(order_id: str) -> str:
    return f"Follow it again: stagewright logs {order_id} --follow"


def _action(body: bytes) -> str:
    """What an accepted order does: the live view shows other stages for a drop than for an update."""
    order = yaml.safe_load(body)
    return str(order.get("action")) if isinstance(order, dict) else ""


def _print(reply: SubmitReply, output: Format) -> None:
    if output is Format.JSON:
        print_json(reply)
    elif reply.status == "rejected":
        print_rejected(reply.errors)
    elif reply.status == "duplicate":
        since = f", first received at {reply.receipt.received_at}" if reply.receipt else ""
        print(f"Order {reply.order_id} is known{since}; nothing new was started.", flush=True)
    else:
        print(f"Order {reply.order_id} accepted.", flush=True)


def print_rejected(errors: tuple[FieldError, ...]) -> None:
    """Everything that is wrong with an order, on standard error."""
    print(f"Rejected: {len(errors)} error{'s' if len(errors) != 1 else ''}.", file=sys.stderr)
    for error in errors:
        print(f"  {error.field or 'the order'}: {error.message} [{error.code}]", file=sys.stderr)

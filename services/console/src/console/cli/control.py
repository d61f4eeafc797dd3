"""`stagewright orders approve|reject|cancel|pause|resume|retry`."""

import sys
from collections.abc import Mapping
from typing import Annotated

import typer
from pydantic import ValidationError

from console.cli.common import Exit, Format, OutputOption, error_text, load_settings, print_json, run, stop
from console.cli.completion import order_ids
from console.cli.options import ByOption, TimeoutOption, Waiting, WaitOption
from console.cli.sending import How, detached, watch
from console.client import Console, connected
from stagewright.contracts.control import ControlReply, ControlRequest, Verb

app = typer.Typer()
"""Its commands stand in `stagewright orders`."""

OrderArgument = Annotated[str, typer.Argument(metavar="ID", help="the order's id", autocompletion=order_ids)]
WhyOption = Annotated[str | None, typer.Option(metavar="TEXT", help="the reason; it stays in the log")]

_SAID: Mapping[Verb, str] = {
    "approve": "Order {id} is approved and goes on. Follow it: stagewright logs {id} --follow",
    "reject": "Order {id} is rejected; it ends as failed, and nothing of it was done.",
    "cancel": "Order {id} is cancelled; what runs of it is being stopped. Follow it: stagewright logs {id} "
    "--follow",
    "pause": "Order {id} is paused; what runs is finished, nothing new begins. Resume it: stagewright orders "
    "resume {id}",
    "resume": "Order {id} goes on. Follow it: stagewright logs {id} --follow",
    "retry": "Order {id} goes on from what failed. Follow it: stagewright logs {id} --follow",
}


@app.command("approve")
def approve(order_id: OrderArgument, by: ByOption, output: OutputOption = Format.TEXT) -> None:
    """Approve the plan of an order that waits for it. Somebody else than the submitter does this.

    \b
    Examples:
      stagewright orders show 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f
      stagewright orders approve 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f --by alice
    """
    _say("approve", _request(order_id, by), output)


@app.command("reject")
def reject(
    order_id: OrderArgument, by: ByOption, why: WhyOption = None, output: OutputOption = Format.TEXT
) -> None:
    """Reject the plan of an order that waits for approval; the order ends as failed.

    \b
    Examples:
      stagewright orders reject 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f --by alice --why "not on a Friday"
    """
    _say("reject", _request(order_id, by, why=why), output)


@app.command("cancel")
def cancel(
    order_id: OrderArgument, by: ByOption, why: WhyOption = None, output: OutputOption = Format.TEXT
) -> None:
    """Cancel an order: what runs of it is stopped, nothing new begins.

    What was done stays, or is reversed, as the order's `on_failure` says (`keep` or `revert`).

    \b
    Examples:
      stagewright orders cancel 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f
      stagewright orders cancel 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f --why "wrong branch"
    """
    _say("cancel", _request(order_id, by, why=why), output)


@app.command("pause")
def pause(order_id: OrderArgument, by: ByOption, output: OutputOption = Format.TEXT) -> None:
    """Hold an order: what runs of it is finished, nothing new begins. Restarts change nothing about it.

    \b
    Examples:
      stagewright orders pause 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f
    """
    _say("pause", _request(order_id, by), output)


@app.command("resume")
def resume(order_id: OrderArgument, by: ByOption, output: OutputOption = Format.TEXT) -> None:
    """Let an order go on that was paused.

    \b
    Examples:
      stagewright orders resume 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f
    """
    _say("resume", _request(order_id, by), output)


@app.command("retry", cls=Waiting)
def retry(
    order_id: OrderArgument,
    by: ByOption,
    service: Annotated[
        str | None, typer.Option(metavar="S", help="only this service; without it everything that failed")
    ] = None,
    wait: WaitOption = None,
    timeout: TimeoutOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Let an order that failed go on from what failed. Finished stages and services are not run again.

    \b
    Examples:
      stagewright orders retry 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f --wait
      stagewright orders retry 0198c1f2-7d5e-7c3a-9a51-0a1b2c3d4e5f --service 7
    """
    how = How(by, output, wait, timeout)
    how.check()
    request = _request(order_id, by, service=service)
    try:
        code = run(_retry(request, how), output)
    except KeyboardInterrupt:
        code = detached(order_id)
    raise typer.Exit(int(code))


async def _retry(request: ControlRequest, how: How) -> Exit:
    async with connected(load_settings()) as console:
        if how.wait is None:
            return await _ask(console, "retry", request, how.output)
        before = await console.order(request.order_id)
        code = await _ask(console, "retry", request, how.output)
        if code is not Exit.DONE:
            return code
        return await watch(console, request.order_id, how, action=before.action, known_end=before.finished_at)


def _request(order_id: str, by: str, *, why: str | None = None, service: str | None = None) -> ControlRequest:
    try:
        return ControlRequest(order_id=order_id, by=by, why=why, service=service)
    except ValidationError as error:
        lines = [
            f"{_OPTION[str(each['loc'][0])]}: {each['msg']}"
            for each in error.errors(include_input=False, include_url=False)
        ]
        return stop(Exit.INVALID, "\n".join(lines))


_OPTION = {"order_id": "ID", "by": "--by", "why": "--why", "service": "--service"}


def _say(verb: Verb, request: ControlRequest, output: Format) -> None:
    async def ask() -> Exit:
        async with connected(load_settings()) as console:
            return await _ask(console, verb, request, output)

    raise typer.Exit(int(run(ask(), output)))


async def _ask(console: Console, verb: Verb, request: ControlRequest, output: Format) -> Exit:
    reply = await console.control(verb, request)
    if output is Format.JSON:
        print_json(reply)
    else:
        _print(verb, reply)
    if reply.error is not None and reply.error.code == "order.unknown":
        return Exit.INVALID
    return Exit.DONE if reply.status == "done" else Exit.FAILED


def _print(verb: Verb, reply: ControlReply) -> None:
    if reply.status == "done":
        print(_SAID[verb].format(id=reply.order_id), flush=True)
        return
    refusal = error_text(reply.error) if reply.error else "no reason was given."
    print(f"Refused: {refusal}", file=sys.stderr)

"""Plans on the command line: made, shown, and agreed to before an order is sent."""

import asyncio
import sys

import typer

from console.cli.common import Exit, Format, error_text, load_settings, print_json, run, stop
from console.cli.plan_text import print_plan
from console.cli.saved import bound
from console.cli.sending import as_body, print_rejected
from console.client import connected
from console.planning import PlanNotMade, make_plan
from stagewright.contracts.queries import PlanReply, PlanView
from stagewright.errors import ErrorInfo

PLAN_TIMEOUT = 120.0
"""Seconds that a plan may take where nobody says it: repositories are asked for their commits."""


def planned(
    body: bytes, by: str, output: Format, *, offline: bool = False, timeout: float = PLAN_TIMEOUT
) -> PlanView:
    """The plan of an order; or what is wrong, and the exit code that says so."""
    try:
        found = run(_planned(body, by, offline=offline, timeout=timeout), output)
    except TimeoutError:
        stop(
            Exit.TIMED_OUT,
            f"No plan was made within {timeout:g} s. See `stagewright doctor`, then plan again.",
        )
    except PlanNotMade as error:
        if output is Format.JSON:
            print_json({"error": error.info.model_dump(mode="json")})
        stop(Exit.FAILED, error_text(error.info))
    if isinstance(found, PlanView):
        return found
    if output is Format.JSON:
        print_json(found)
    else:
        print_rejected(found.errors)
    raise typer.Exit(int(Exit.INVALID))


async def _planned(body: bytes, by: str, *, offline: bool, timeout: float) -> PlanView | PlanReply:
    async with asyncio.timeout(timeout), connected(load_settings()) as console:
        if not offline:
            return await make_plan(console, body, by=by, on_failure=_say_again)
        reply = await console.plan(body, by=by, offline=True)
        return reply.plan or reply


def _say_again(info: ErrorInfo) -> None:
    print(f"Trying again: {info.resource}: {info.reason} [{info.code}]", file=sys.stderr, flush=True)


def must_be_able_to_ask(output: Format) -> None:
    """Exit 2 where a question would reach nobody."""
    if output is Format.JSON or not sys.stdin.isatty():
        stop(Exit.INVALID, "Nobody can be asked here: give --yes to do it without a question.")


def agreed(body: bytes, plan: PlanView, question: str) -> bytes:
    """Show the plan and ask; the order bound to what was looked at. Exits where it changes nothing, or where
    the answer is no."""
    print_plan(plan)
    if not plan.changes:
        print("Nothing was submitted.")
        raise typer.Exit(int(Exit.DONE))
    if not typer.confirm(f"\n{question}"):
        stop(Exit.FAILED, "Nothing was submitted.")
    return as_body(bound(body, plan.plan_id or ""))

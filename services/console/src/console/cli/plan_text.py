"""A plan as people read it: a diff, in colour where a terminal shows it."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TextIO

from rich.console import Console as Terminal
from rich.text import Text

from console.times import when
from stagewright.contracts.order_events import Decision, EnvironmentDecision
from stagewright.contracts.queries import OrderView, PlanLine, PlanView

_SIGN = {
    "create": ("+", "green"),
    "update": ("~", "yellow"),
    "replace": ("±", "magenta"),
    "drop": ("-", "red"),
    "unchanged": ("=", "dim"),
}
_WHOLE = "environment"


def print_plan(view: PlanView, out: TextIO | None = None) -> None:
    """Print a plan that was made, or that the log alone gives."""
    _print(_plan(view), out)


def print_decisions(view: OrderView) -> None:
    """Print the plan that an order was carried out by."""
    if view.environment_plan:
        _print(_diff(view.environment_plan, view.plan), None)


def _print(lines: Iterator[Text], out: TextIO | None) -> None:
    terminal = Terminal(file=out or sys.stdout, highlight=False, soft_wrap=True)
    for line in lines:
        terminal.print(line)


def _plan(view: PlanView) -> Iterator[Text]:
    yield Text(f"Environment {view.environment_id}, action {view.action}", style="bold")
    yield Text()
    yield from _diff(view.environment, view.services)
    yield Text()
    yield _counts(view)
    if view.plan_id:
        yield Text(f"Plan {view.plan_id}, made on revision {view.revision} of the environment.", style="dim")
    else:
        yield Text(
            f"From the log alone, on revision {view.revision} of the environment; nothing was looked at.",
            style="dim",
        )


def _diff(whole: EnvironmentDecision, lines: Sequence[Decision]) -> Iterator[Text]:
    width = max(len(name) for name in (_WHOLE, *(line.service for line in lines)))
    bases = [_basis(line) for line in lines]
    room = max(map(len, bases), default=0)
    yield from _entry(_WHOLE.ljust(width), whole, " " * room)
    for line, basis in zip(lines, bases, strict=True):
        yield from _entry(line.service.ljust(width), line, basis.ljust(room))


def _entry(name: str, line: Decision | EnvironmentDecision, basis: str) -> Iterator[Text]:
    sign, style = _SIGN[line.decision]
    yield Text.assemble(
        (f"  {sign} {name}  {line.decision:<9}", style),
        (f"  {basis}" if basis else "", "dim"),
        f"  {'; '.join(line.reasons)}",
    )
    width = max(map(len, line.after), default=0)
    for field, after in line.after.items():
        yield Text.assemble(
            f"        {field:<{width}}  ",
            (_value(field, line.before.get(field), "none"), "red"),
            " → ",
            (_value(field, after, "none" if line.decision == "drop" else _unknown(field)), "green"),
        )


def _unknown(field: str) -> str:
    """A commit that is not known is one that a branch or tag was not resolved to."""
    return "not resolved yet" if field == "commit" else "none"


def _value(field: str, value: str | None, none: str) -> str:
    if not value:
        return none
    return value[:10] if field == "commit" else value


def _basis(line: Decision) -> str:
    if not isinstance(line, PlanLine):
        return ""
    word = "verified at" if line.basis == "verified" else "believed since"
    return f"{word} {when(line.as_of)}" if line.as_of else line.basis


def _counts(view: PlanView) -> Text:
    if not view.changes:
        return Text("No changes: everything is as the order wants it.", style="green")
    found = Counter(line.decision for line in view.services)
    words = [f"{found[name]} to {name}" for name in ("create", "update", "replace", "drop")]
    return Text(f"Services: {', '.join(words)}, {found['unchanged']} unchanged.", style="bold")

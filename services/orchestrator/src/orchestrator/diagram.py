"""`python -m orchestrator.diagram` prints docs/reference/saga.md: statuses of orders, stages of actions."""

from collections.abc import Iterator

from orchestrator.domain.reversal import REVERSAL
from orchestrator.domain.stages import PIPELINES
from orchestrator.domain.transitions import TRANSITIONS
from stagewright.contracts.base import CLEANING
from stagewright.contracts.queries import ENDED

_HEAD = """# The saga

Written by `python -m orchestrator.diagram`; a test holds the saga to it, in both directions.

## Statuses of an order

An arrow is named after the event that the log holds for it; `Command` is the first command of what follows.
An order that has ended goes on only when somebody retries it.
"""


def document() -> Iterator[str]:
    """The lines of the page."""
    yield from _HEAD.splitlines()
    yield ""
    yield "```mermaid"
    yield "stateDiagram-v2"
    for before, cause, after in sorted(TRANSITIONS, key=lambda row: (row[0] or "", row[2], row[1])):
        yield f"    {before or '[*]'} --> {after}: {cause}"
    for status in sorted(ENDED):
        yield f"    {status} --> [*]"
    yield "```"
    yield ""
    yield "## Stages of each action"
    yield ""
    yield "In this order; one that has nothing to do is passed over."
    yield ""
    yield "| action | stages |"
    yield "|---|---|"
    for action, stages in PIPELINES.items():
        yield f"| `{action}` | {', '.join(f'`{stage}`' for stage in stages)} |"
    yield ""
    yield "An order with `on_failure: revert` that fails, or is cancelled, takes back what it did, like this:"
    yield f"{', '.join(f'`{stage}`' for stage in REVERSAL)}."
    first = " or ".join(f"`{stage}`" for stage in sorted(CLEANING))
    yield f"From its first {first} on it is not reversed any more."


def main() -> None:
    """Print the page."""
    print("\n".join(document()))


if __name__ == "__main__":
    main()

"""`stagewright demo`."""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from console.cli.common import Exit, Format, OutputOption, print_json, reporting, stop, table
from console.demo import run as demonstration
from stagewright.errors import Terminal


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="leave the stack running, and say how to use it")
    ] = False,
    output: OutputOption = Format.TEXT,
) -> None:
    """Start a fresh one-machine stack, run the example order, prove the result by asking the real parts, run
    the same content again, prove that nothing changed, and stop. Exit 1 unless every proof holds.

    \b
    Examples:
      stagewright demo
      stagewright demo --keep
      stagewright demo -o json | jq '.proofs[] | select(.what == "secrets")'
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    data_dir = Path(os.environ.get("STAGEWRIGHT_DATA_DIR", ".stagewright")) / "demo"
    out = sys.stderr if output is Format.JSON else sys.stdout
    try:
        result = reporting(lambda: demonstration.run(data_dir, _examples(), out, keep=keep), output)
    except KeyboardInterrupt:
        stop(Exit.DETACHED, "Interrupted; the stack is stopped.")
    if output is Format.JSON:
        print_json(
            {
                "holds": result.holds,
                "seconds": result.seconds,
                "proofs": [vars(each) for each in result.proofs],
            }
        )
    else:
        _print(result, data_dir, keep=keep)
    raise typer.Exit(Exit.DONE if result.holds else Exit.FAILED)


def _print(result: demonstration.Result, data_dir: Path, *, keep: bool) -> None:
    if keep:
        print("\n".join(["", *demonstration.how_to_go_on(data_dir, result.settings)]))
    seconds = ", ".join(f"{name} {took:.1f} s" for name, took in result.seconds.items())
    print(f"\n{seconds}\n")
    print("\n".join(demonstration.table(result.proofs, table)))
    holding = sum(proof.holds for proof in result.proofs)
    print(f"\n{holding} of {len(result.proofs)} proofs hold.", flush=True)


def _examples() -> Path:
    """The folder `examples` in the working directory or beside the sources."""
    for folder in (Path.cwd(), *Path(__file__).parents):
        if (folder / "examples" / demonstration.ORDER).is_file():
            return folder / "examples"
    raise Terminal("demo.examples_missing", "examples", "there is no such folder.", "Run it in the project.")

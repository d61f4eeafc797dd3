"""`stagewright doctor`."""

from collections.abc import Iterator, Sequence

import typer

from console.cli.common import Exit, Format, OutputOption, load_settings, print_json, run, table
from console.doctor.connections import connections
from console.doctor.findings import Finding
from console.doctor.requirements import requirements
from console.doctor.settings import Setting, resolved
from stagewright.settings import Settings

_SIGN = {"ok": "ok", "warning": "warning", "failed": "FAILED"}


def doctor(output: OutputOption = Format.TEXT) -> None:
    """Print the resolved settings; check what is installed and what answers. Exit 1 if anything is wrong.

    \b
    Examples:
      stagewright doctor
      stagewright --data-dir /srv/stagewright doctor
      stagewright doctor -o json | jq '.connections[] | select(.state == "failed")'
    """
    settings = load_settings()
    known = resolved(settings)
    needed, reached = run(_check(settings), output)
    wrong = [finding for finding in (*needed, *reached) if finding.state == "failed"]
    if output is Format.JSON:
        print_json(
            {
                "ok": not wrong,
                "settings": [setting.as_json() for setting in known],
                "requirements": [finding.as_json() for finding in needed],
                "connections": [finding.as_json() for finding in reached],
            }
        )
    else:
        for line in _text(known, needed, reached):
            print(line)
    raise typer.Exit(Exit.FAILED if wrong else Exit.DONE)


async def _check(settings: Settings) -> tuple[list[Finding], list[Finding]]:
    return await requirements(settings), await connections(settings)


def _text(known: Sequence[Setting], needed: Sequence[Finding], reached: Sequence[Finding]) -> Iterator[str]:
    yield from table(("SETTING", "VALUE", "FROM"), ((each.name, each.value, each.source) for each in known))
    for title, findings in (("Installed", needed), ("Connections", reached)):
        yield ""
        yield title
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            yield f"  {_SIGN[finding.state]:<8} {finding.name:<{width}}  {finding.detail}"
            if finding.remedy:
                yield f"  {'':<8} {'':<{width}}  → {finding.remedy}"
    wrong = sum(finding.state == "failed" for finding in (*needed, *reached))
    yield ""
    yield "Everything needed is there." if not wrong else f"{wrong} to mend."

"""How a service is started: its program itself, never a shell or npm, so that signals reach it."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

from ansible.module_utils.stagewright.commands import Failure
from ansible.module_utils.stagewright.places import Place, read_json

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
"""What a service finds programs in, after its runtime: not whatever PATH this run happens to have."""
USUAL_MAINS = ("server.js", "index.js", "app.js", "main.js")


def node_command(release: Path, node_bin: str | None) -> list[str]:
    """From package.json: the script `start` (`node …`, or a program of a dependency), else `main`.

    Raises:
        Failure: neither names anything that is there.
    """
    node = str(node_of(node_bin))
    package = read_json(release / "package.json")
    start = _words((package.get("scripts") or {}).get("start"))
    if start:
        program, *arguments = start
        if program == "node":
            return [node, *arguments]
        if (release / "node_modules" / ".bin" / program).is_file():
            return [f"node_modules/.bin/{program}", *arguments]
        raise Failure(
            f"The script `start` runs {program}, which is neither node nor a program of a dependency.",
            "Write it as `node <file>`, without shell syntax.", resource="package.json",
        )  # fmt: skip
    for name in filter(None, (package.get("main"), *USUAL_MAINS)):
        if (release / name).is_file():
            return [node, name]
    raise Failure(
        "package.json names no `start` script and no `main` that exists.", "Add one.", resource="package.json"
    )


def node_of(node_bin: str | None) -> Path:
    """The node program: the server's setting decides, else PATH.

    Raises:
        Failure: there is none.
    """
    found = str(Path(node_bin) / "node") if node_bin else shutil.which("node")
    if not found or not Path(found).is_file():
        raise Failure(
            "There is no node on the server.", "Install Node, or set servers[].node_bin.", resource="node"
        )
    return Path(found)


def _words(start: Any) -> list[str]:
    try:
        return shlex.split(start) if isinstance(start, str) else []
    except ValueError:
        raise Failure(
            "The script `start` cannot be read.", "Close its quotes.", resource="package.json"
        ) from None


def python_command(release: Path) -> list[str]:
    """`python -m app`: the package or module `app` at the root of the repository.

    Raises:
        Failure: it is missing.
    """
    if not ((release / "app.py").is_file() or (release / "app" / "__main__.py").is_file()):
        raise Failure(
            "There is neither app.py nor app/__main__.py.", "Add one; it is started as `python -m app`.",
            resource="app",
        )  # fmt: skip
    return [".venv/bin/python", "-u", "-m", "app"]


def program_file(name: str, place: Place, command: list[str]) -> str:
    """The program's section for supervisord."""
    settings = {
        "command": " ".join(shlex.quote(word) for word in command),
        "directory": str(place.current),
        "autostart": "true",
        "autorestart": "true",
        "startsecs": "1",
        "startretries": "3",
        "stopsignal": "TERM",
        "stopwaitsecs": "10",
        "stopasgroup": "true",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": str(place.logs / "service.log"),
        "stdout_logfile_maxbytes": "5MB",
        "stdout_logfile_backups": "3",
    }
    # supervisord expands % in values.
    lines = [f"{key}={value.replace('%', '%%')}" for key, value in settings.items()]
    return "\n".join([f"[program:{name}]", *lines, ""])

"""A virtual environment of its own for each release of a Python service."""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path
from typing import Any

from ansible.module_utils.stagewright.commands import Failure, environment, run, tail
from ansible.module_utils.stagewright.places import Place, write

INSTALL_TIMEOUT_S = 600
NETWORK = re.compile(
    r"NewConnectionError|ConnectTimeout|ReadTimeout|Temporary failure in name resolution|timed out"
    r"|Connection (refused|reset)|HTTP error (429|5\d\d)",
    re.IGNORECASE,
)


def install(place: Place) -> dict[str, Any]:
    """`requirements.txt` into `.venv` of the release, once; without that file the environment stays empty.

    Raises:
        Failure: the index cannot be reached (retryable), or pip refuses.
    """
    requirements = place.release / "requirements.txt"
    wanted = requirements.read_bytes() if requirements.is_file() else b""
    marker = place.release / ".venv" / ".stagewright"
    digest = hashlib.sha256(wanted).hexdigest() + "\n"
    if marker.is_file() and marker.read_text() == digest:
        return {"changed": False}
    _command(place, [sys.executable, "-m", "venv", "--clear", ".venv"], "python -m venv")
    if wanted.strip():
        pip = [str(place.release / ".venv" / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        _command(place, [*pip, "install", "--no-input", "--quiet", "-r", "requirements.txt"], "pip install")
    write(marker, digest, 0o644)
    return {
        "changed": True,
        "detail": "installed from requirements.txt" if wanted.strip() else "no requirements",
    }


def _command(place: Place, arguments: list[str], name: str) -> None:
    variables = environment(None, PIP_CACHE_DIR=str(Path(place.home) / "cache" / "pip"))
    done = run(arguments, cwd=place.release, env=variables, timeout=INSTALL_TIMEOUT_S)
    if done.returncode:
        said = tail(done.stderr or done.stdout)
        network = bool(NETWORK.search(done.stderr))
        remedy = (
            "Check the network and pip's index." if network else "Mend requirements.txt, and order again."
        )
        raise Failure(f"{name} failed: {said}", remedy, resource=name, retryable=network)

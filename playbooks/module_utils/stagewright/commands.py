"""Running commands: argument vectors only, a small environment, a time limit, and words for failures."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_KEPT = (
    "HOME", "LANG", "TZ", "TMPDIR", "SSH_AUTH_SOCK",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE",
)  # fmt: skip
_KEPT_PREFIXES = ("PIP_", "npm_config_", "NPM_CONFIG_")
_CREDENTIALS = re.compile(r"(://)[^/@\s]+@")
_TAIL = 600


class Failure(Exception):  # noqa: N818 - answered to Ansible, which has its own word
    """A step failed: what a person reads, and whether time may heal it."""

    def __init__(self, reason: str, remedy: str, *, resource: str = "", retryable: bool = False) -> None:
        super().__init__(reason)
        self.answer = {
            "msg": _CREDENTIALS.sub(r"\1", reason),
            "remedy": remedy,
            "resource": resource,
            "retryable": retryable,
        }


def environment(path_first: str | None = None, **more: str) -> dict[str, str]:
    """The environment of a command: proxies, certificates, package settings, and what is given."""
    kept = {
        name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)
    }
    return {**kept, "PATH": search_path(path_first), **more}


def search_path(first: str | None = None) -> str:
    """PATH, with a directory of its own in front where one is given."""
    return os.pathsep.join(filter(None, (first, os.environ.get("PATH", os.defpath))))


def run(
    arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run to the end.

    Raises:
        Failure: the program is missing, or it took too long (retryable).
    """
    try:
        return subprocess.run(
            list(arguments), cwd=cwd, env=dict(env), timeout=timeout, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, errors="replace", check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise Failure(
            f"The program {arguments[0]} is missing on the server.", f"Install {arguments[0]} there.",
            resource=arguments[0],
        ) from None  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Failure(
            f"{arguments[0]} took longer than {timeout:.0f} s.", "Try again; see what it waits for.",
            resource=arguments[0], retryable=True,
        ) from None  # fmt: skip


def tail(text: str, hidden: Sequence[str] = ()) -> str:
    """The end of an output in one line, with values that must not be seen replaced."""
    for value in hidden:
        text = text.replace(value, "***")
    lines = [line.strip() for line in _CREDENTIALS.sub(r"\1", text).splitlines() if line.strip()]
    return " | ".join(lines)[-_TAIL:]

"""Start one service: `launch.py PATH_VALUE PROGRAM ARGUMENT…`, in the service's working directory.

Builds the process's whole environment from `.env` (nothing of the supervisor's own leaks in), asks the kernel
to end the process when the supervisor dies, and becomes the program, so that signals reach it directly.
"""

import ctypes
import os
import re
import signal
import sys

PR_SET_PDEATHSIG = 1
KEPT = ("HOME", "LANG", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS")
LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)")
ESCAPES = {"n": "\n", "r": "\r"}


def unquoted(text: str) -> str:
    """The value of one right side: bare, in single quotes as it stands, or in double quotes with escapes."""
    if text[:1] == "'":
        return text[1:-1]
    if text[:1] == '"':
        return re.sub(r"\\(.)", lambda match: ESCAPES.get(match[1], match[1]), text[1:-1])
    return text


def variables(path: str) -> "dict[str, str]":
    """The variables of a file of `NAME=value` lines."""
    with open(path, encoding="utf-8") as lines:  # noqa: PTH123 - no pathlib: this is every service's start-up time
        found = (LINE.fullmatch(line.rstrip("\n")) for line in lines)
        return {match[1]: unquoted(match[2]) for match in found if match}


def die_with_parent() -> None:
    """Linux only: elsewhere the supervisor's own end has to do."""
    parent = os.getppid()
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (OSError, AttributeError):
        return
    if os.getppid() != parent:
        sys.exit("the supervisor is gone")


def main(path: str, *command: str) -> None:
    """Become the command."""
    die_with_parent()
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment.update(variables(".env"))
    environment["PATH"] = path
    os.execvpe(command[0], command, environment)  # noqa: S606 - the point: no shell, and the program itself


if __name__ == "__main__":
    main(*sys.argv[1:])

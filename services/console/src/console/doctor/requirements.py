"""What must be installed: Python, git, and for the one-machine stack the servers and Node."""

import asyncio
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from console.doctor.findings import Finding, found
from stagewright.errors import Terminal
from stagewright.settings import Settings

_SETUP = "Run `make setup`, which installs everything from the lock into .venv."


async def requirements(settings: Settings) -> list[Finding]:
    """One finding for each program that this profile needs."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("python", _python),
        ("git", lambda: _program("git", "--version", "Install git with the system's package manager.")),
        ("ansible", lambda: _beside("ansible-playbook")),
    ]
    if settings.profile != "production":
        checks += _embedded()
    return [await _found(name, check) for name, check in checks]


async def _found(name: str, check: Callable[[], str]) -> Finding:
    async def ask() -> str:
        return await asyncio.to_thread(check)

    return await found(name, ask)


def _embedded() -> list[tuple[str, Callable[[], str]]]:
    try:
        from embedded import binaries  # noqa: PLC0415 - an installation without the stack has no such package
    except ImportError:
        return [("one-machine stack", _no_stack)]
    return [
        ("nats-server", lambda: str(binaries.beside_python("nats-server"))),
        ("openbao", lambda: str(binaries.openbao())),
        ("caddy", lambda: str(binaries.beside_python("caddy"))),
        ("postgresql", lambda: str(binaries.postgres_bin() / "postgres")),
        ("moto", lambda: _beside("moto_server")),
        ("seaweedfs", lambda: _beside("weed")),
        ("supervisord", lambda: _beside("supervisord")),
        ("node", lambda: _node(binaries.node_bin(), "node")),
        ("npm", lambda: _node(binaries.node_bin(), "npm")),
        ("make", lambda: _program("make", "--version", "Install make with the system's package manager.")),
    ]


def _no_stack() -> str:
    raise Terminal("doctor.missing", "embedded", "the one-machine stack is not installed.", _SETUP)


def _python() -> str:
    if sys.version_info < (3, 11):  # noqa: UP036 - a copied environment may run on an older one
        raise Terminal(
            "doctor.missing", "python", f"it is {platform.python_version()}.", "Install Python 3.11 or newer."
        )
    return f"{platform.python_version()} at {sys.executable}"


def _program(name: str, option: str, remedy: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise Terminal("doctor.missing", name, "it is not on the PATH.", remedy)
    return f"{_says(path, option)} at {path}"


def _beside(name: str) -> str:
    path = Path(sys.executable).parent / name
    if not path.is_file():
        raise Terminal("doctor.missing", name, f"it is not beside {sys.executable}.", _SETUP)
    return str(path)


def _node(directory: Path, name: str) -> str:
    path = directory / name
    if not path.exists():
        raise Terminal("doctor.missing", name, f"it is not in {directory}.", _SETUP)
    return str(path)


def _says(path: str, option: str) -> str:
    try:
        said = subprocess.run([path, option], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "there"
    return said.splitlines()[0] if said else "there"

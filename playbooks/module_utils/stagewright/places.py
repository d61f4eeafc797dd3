"""Where things are on a server, and writing them so that nobody ever sees half of one.

<home>/environments/<environment>/<service>/
    releases/<commit>/      the source, its dependencies, `.env`, `.discovery.json`
    current                 a link to the release that runs
    repository.git/         what was fetched so far
    logs/                   the process's output, rotated
    deployed.json           what runs: read by `inspect`
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,39}")
COMMIT = re.compile(r"[0-9a-f]{40,64}")
RELEASES_KEPT = 3

ARGUMENTS: dict[str, Any] = {
    "home": {"type": "str", "required": True},
    "environment_id": {"type": "str", "required": True},
    "service": {"type": "str", "required": True},
    "commit": {"type": "str", "required": True},
}
"""What every module takes that works in a service's place."""


class Place:
    """The directories of one service, and of one release of it.

    Raises:
        ValueError: an id or the commit is not plain; it would name another place.
    """

    def __init__(self, parameters: dict[str, Any]) -> None:
        environment, service = parameters["environment_id"], parameters["service"]
        if not (ID.fullmatch(environment) and ID.fullmatch(service)):
            raise ValueError("environment and service ids are letters, digits and hyphens")
        if not COMMIT.fullmatch(parameters["commit"]):
            raise ValueError("the commit is no full commit id")
        self.commit: str = parameters["commit"]
        self.home = Path(parameters["home"])
        self.root = self.home / "environments" / environment / service
        self.releases = self.root / "releases"
        self.release = self.releases / self.commit
        self.current = self.root / "current"
        self.logs = self.root / "logs"
        self.deployed = self.root / "deployed.json"

    def prune(self) -> int:
        """Remove the oldest releases but the last ones and the one that runs; how many went."""
        running = self.current.resolve()
        releases = [path for path in self.releases.iterdir() if path.is_dir()]
        releases.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        old = [path for path in releases[RELEASES_KEPT:] if path.resolve() != running]
        for path in old:
            shutil.rmtree(path, ignore_errors=True)
        return len(old)


def write(path: Path, text: str, mode: int) -> bool:
    """Make the file exactly this, atomically; True where it was not. The mode holds from the first byte."""
    if path.is_file() and path.read_text() == text and path.stat().st_mode & 0o777 == mode:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            os.fchmod(handle, mode)
            file.write(text)
            file.flush()
            os.fsync(handle)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return True


def link(path: Path, target: Path) -> bool:
    """Point a symbolic link at the target, atomically; True where it pointed elsewhere."""
    if path.is_symlink() and Path(os.readlink(path)) == target:  # noqa: PTH115 - runs on Python 3.8 too
        return False
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    aside.symlink_to(target)
    aside.replace(path)
    return True


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, empty where there is none that can be read."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

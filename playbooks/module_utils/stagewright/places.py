"""Where things are on a server, and writing them so that nobody ever sees half of one.

<home>/environments/<environment>/<service>/ of an API, <home>/fronts/<environment>/<service>/ of the builds
of a front: a service that moves to the other block leaves the one and does not touch the other.
    releases/<commit>/      the source, its dependencies, `.env`, `.discovery.json`; `.env.before` and
                            `.discovery.json.before` while nobody knows whether it runs with the new ones
    current                 a link to the release that runs
    repository.git/         what was fetched so far
    logs/                   the process's output, rotated
    deployed.json           what runs: read by `inspect`
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,39}")
COMMIT = re.compile(r"[0-9a-f]{40,64}")
SETTINGS = (".env", ".discovery.json")
"""What a release is told when it is deployed. The same release may be told something else later."""
RELEASES_KEPT = 3
_TREES = {"api": "environments", "front": "fronts"}

HOME_ARGUMENTS: dict[str, Any] = {
    "home": {"type": "str", "required": True},
    "environment_id": {"type": "str", "required": True},
    "service": {"type": "str", "required": True},
    "block": {"type": "str", "choices": ["api", "front"], "default": "api"},
}
"""What every module takes that works in a service's place."""
ARGUMENTS: dict[str, Any] = {**HOME_ARGUMENTS, "commit": {"type": "str", "required": True}}
"""The same, for those that work in one release."""


class Home:
    """The directories of one service, and the name of its process.

    Raises:
        ValueError: an id is not plain; it would name another place.
    """

    def __init__(self, parameters: dict[str, Any]) -> None:
        environment, service = parameters["environment_id"], parameters["service"]
        if not (ID.fullmatch(environment) and ID.fullmatch(service)):
            raise ValueError("environment and service ids are letters, digits and hyphens")
        # A hyphen in an id would make a-b + c and a + b-c one name; an underscore is in no id.
        separator = "_" if "-" in environment + service else "-"
        self.program = f"{environment}{separator}{service}"
        self.home = Path(parameters["home"])
        block = parameters.get("block", "api")
        self.runs = block == "api"
        """A front has no process."""
        self.root = self.home / _TREES[block] / environment / service
        self.releases = self.root / "releases"
        self.current = self.root / "current"
        self.logs = self.root / "logs"
        self.deployed = self.root / "deployed.json"

    def remove(self) -> bool:
        """Remove everything; False where nothing was.

        It is moved aside first: half a release must never look like a whole one to a later deployment.

        Raises:
            OSError: something in it cannot be removed.
        """
        aside = self.root.with_name(f".{self.root.name}.removed")
        there = [path for path in (aside, self.root) if path.exists()]
        for path in there:
            if path is self.root:
                path.rename(aside)
            shutil.rmtree(aside)
        if there:
            self._leave()
        return bool(there)

    def _leave(self) -> None:
        """The environment's own directory goes with the last service."""
        try:
            self.root.parent.rmdir()
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT}:
                raise


class Place(Home):
    """One release of one service.

    Raises:
        ValueError: as for `Home`; the commit is not plain.
    """

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        if not COMMIT.fullmatch(parameters["commit"]):
            raise ValueError("the commit is no full commit id")
        self.commit: str = parameters["commit"]
        self.release = self.releases / self.commit

    def exchange(self, name: str, text: str, mode: int) -> bool:
        """Write one of SETTINGS; what a process last ran with stays aside until `end_exchange`."""
        path = self.release / name
        before = _before(path)
        # One that is there already is older: what it was exchanged for has never been seen to run.
        if self.runs and path.is_file() and not before.exists() and path.read_text() != text:
            write(before, path.read_text(), 0o600)
        return write(path, text, mode)

    def end_exchange(self, *, back: bool = False) -> None:
        """The release runs with its SETTINGS; or `back` to those that it ran with before."""
        for path in (self.release / name for name in SETTINGS):
            before = _before(path)
            if back and before.exists():
                mode = path.stat().st_mode & 0o777
                before.replace(path)
                path.chmod(mode)
            before.unlink(missing_ok=True)

    def prune(self) -> int:
        """Remove the oldest releases but the last ones and the one that runs; how many went."""
        running = self.current.resolve()
        releases = [path for path in self.releases.iterdir() if path.is_dir()]
        releases.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        old = [path for path in releases[RELEASES_KEPT:] if path.resolve() != running]
        for path in old:
            shutil.rmtree(path, ignore_errors=True)
        return len(old)


def _before(path: Path) -> Path:
    return path.with_name(f"{path.name}.before")


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

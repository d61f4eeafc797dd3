"""Ansible module: a database as `pg_dump` writes it (custom format), in a directory or below `s3://…`.

A dump is written aside, and put in its place when it is whole; its name holds the moment and the order, so
that no dump ever takes another's place. `place` says where it is: also where the database is gone already,
because an earlier attempt of the same order had dumped and dropped it. Answers `problem` instead of failing,
because the task runs under `no_log`.
"""

from __future__ import annotations

import os
import re
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import psycopg
from ansible.module_utils.stagewright import step
from ansible.module_utils.stagewright.commands import Failure, environment, run, tail
from ansible.module_utils.stagewright.places import ID
from ansible.module_utils.stagewright.postgres import (
    bad_name,
    connect,
    exists,
    place_of,
    problem,
    unreachable,
)

ARGUMENT_SPEC: dict[str, Any] = {
    "server": {"type": "dict", "required": True},
    "administrator_password": {"type": "str", "required": True, "no_log": True},
    "database": {"type": "str", "required": True},
    "environment_id": {"type": "str", "required": True},
    "service": {"type": "str", "required": True},
    "order": {"type": "str", "required": True},
    "place": {"type": "str", "required": True},
    "aside": {"type": "str", "required": True},
    "s3": {"type": "dict", "default": {}},
}

ORDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
AWAY = re.compile(
    "connection to server|server closed the connection|terminating connection|connection not open"
    "|the database system is|could not receive data from server|could not send data to server"
    "|SSL SYSCALL error|SSL connection has been closed|no connection to the server"
)
"""What pg_dump says of a server that is away, or went away meanwhile."""
LONGEST_S = 86_400
"""The stage's own limit ends a dump long before."""
MOMENT = "????????T??????.??????Z"


def name_of(moment: str, order: str) -> str:
    """A dump's name, or with MOMENT the pattern of all of an order's. Later ones sort behind earlier ones."""
    return f"{moment}-{order}.dump"


class Directory:
    """Dumps in a directory of this machine, readable by its owner alone."""

    def __init__(self, place: str, folder: str) -> None:
        self._folder = self.aside = Path(place) / folder

    def find(self, order: str) -> str | None:
        """The last dump of an order."""
        return max(map(str, self._folder.glob(name_of(MOMENT, order))), default=None)

    def keep(self, file: Path, name: str) -> str:
        """Put a whole dump in its place."""
        target = self._folder / name
        file.rename(target)
        sync(self._folder)
        return str(target)


class Bucket:
    """Dumps below a prefix of a bucket."""

    def __init__(self, place: str, folder: str, aside: Path, s3: dict[str, Any]) -> None:
        from ansible.module_utils.stagewright import storage  # noqa: PLC0415 - boto3: heavy, and only needed here

        self.bucket, _, prefix = place[len("s3://") :].partition("/")
        self._prefix = "/".join(part for part in (prefix.strip("/"), folder) if part) + "/"
        self._storage, self._s3 = storage, storage.client(s3)
        self.aside = aside

    def find(self, order: str) -> str | None:
        """The last dump of an order."""
        try:
            found = self._storage.below(self._s3, self.bucket, self._prefix)
        except self._storage.ERRORS as error:
            raise self._storage.refused(error, self.bucket) from None
        keys = [key for key in found if fnmatchcase(key, self._prefix + name_of(MOMENT, order))]
        return f"s3://{self.bucket}/{max(keys)}" if keys else None

    def keep(self, file: Path, name: str) -> str:
        """Upload a whole dump, in parts where it is large; S3 shows it when it is complete."""
        try:
            self._s3.upload_file(str(file), self.bucket, self._prefix + name)
        except self._storage.ERRORS as error:
            raise self._storage.refused(error, self.bucket) from None
        return f"s3://{self.bucket}/{self._prefix}{name}"


def place_for(parameters: dict[str, Any]) -> Directory | Bucket:
    """Where the service's dumps are kept, and what is written `aside` on the way there."""
    folder = f"{parameters['environment_id']}/{parameters['service']}"
    place = parameters["place"]
    if place.startswith("s3://"):
        return Bucket(place, folder, Path(parameters["aside"]), parameters["s3"])
    return Directory(place, folder)


def sync(path: Path) -> None:
    """What is in this file or directory outlives a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def dump(parameters: dict[str, Any], file: Path) -> None:
    """Write the dump.

    Raises:
        Failure: pg_dump is missing or refuses.
    """
    server, password = parameters["server"], parameters["administrator_password"]
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.unlink(missing_ok=True)
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    program = str(Path(server["bin"]) / "pg_dump") if server.get("bin") else "pg_dump"
    done = run(
        [
            program, "--format=custom", "--no-password", f"--host={server['host']}",
            f"--port={server['port']}", f"--username={server['user']}",
            f"--dbname={parameters['database']}", f"--file={file}",
        ],
        cwd=file.parent, timeout=LONGEST_S,
        env=environment(PGPASSWORD=password, PGCONNECT_TIMEOUT="5", LC_ALL="C"),
    )  # fmt: skip
    if done.returncode:
        raise Failure(
            f"pg_dump failed: {tail(done.stderr, [password])}",
            "Mend what it says; database.bin names the directory of a pg_dump of the server's version.",
            resource=f"database {parameters['database']}", retryable=bool(AWAY.search(done.stderr)),
        )  # fmt: skip
    sync(file)


def dumped(parameters: dict[str, Any]) -> dict[str, Any]:
    """The answer for a database that may be dumped.

    Raises:
        Failure, OSError, psycopg.Error: it cannot be dumped, or the dump not be kept.
    """
    server, order = parameters["server"], parameters["order"]
    target = place_for(parameters)
    # Asked first: some S3 servers would make a bucket, open to whoever, for what is put into a missing one.
    earlier = target.find(order)
    with connect(server, server["user"], parameters["administrator_password"], "postgres") as connection:
        if not exists(connection, parameters["database"]):
            return {"changed": False, "place": earlier, "problem": None}
    file = target.aside / f".{parameters['database']}.partial"
    try:
        dump(parameters, file)
        moment = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")  # noqa: UP017 - Python 3.8 on servers
        return {"changed": True, "place": target.keep(file, name_of(moment, order)), "problem": None}
    finally:
        file.unlink(missing_ok=True)


def ensure(parameters: dict[str, Any]) -> dict[str, Any]:
    """The module's answer."""
    where = place_of(parameters["server"])
    said = bad_name(parameters["database"])
    ids = (parameters["environment_id"], parameters["service"])
    if not (all(ID.fullmatch(one) for one in ids) and ORDER.fullmatch(parameters["order"])):
        said = problem("dump", "An id is not plain.", "Use letters, digits, underscores and hyphens.")
    if not said:
        try:
            return dumped(parameters)
        except psycopg.Error as error:
            said = unreachable(where, error)
        except OSError as error:
            said = problem(
                str(error.filename), f"The dump cannot be kept: {error.strerror}.",
                "Give executor.dumps a directory of this user with room for it.",
            )  # fmt: skip
        except Failure as failure:
            answer = failure.answer
            said = problem(answer["resource"], answer["msg"], answer["remedy"], retryable=answer["retryable"])
    return {"changed": False, "place": None, "problem": said}


def main() -> None:
    """Entry point."""
    step.main(ARGUMENT_SPEC, ensure)


if __name__ == "__main__":
    main()

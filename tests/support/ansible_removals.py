"""A deployed API with a database that is to be removed, and what is left of it, asked of the servers."""

import socket
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from executor.adapters.hosts import LocalHosts, program_of
from stagewright.contracts.commands import DeployService
from stagewright.contracts.work import SecretRef
from tests.support.ansible_world import (
    AnsibleWorld,
    api_command,
)

SERVER = "require('http').createServer((_, r) => r.end('here')).listen(process.env.PORT, '127.0.0.1')"
ALL = (
    "Stop the process",
    "Dump the database",
    "Drop the database and its user",
    "Remove the files",
)


async def password(world: AnsibleWorld, service: str, database: str) -> tuple[SecretRef, ...]:
    path = f"environments/3/services/{service}/DB_PASSWORD"
    return (await world.secret(path, f"canary-pw-{uuid4().hex}"),)


async def deployed(world: AnsibleWorld, service: str) -> DeployService:
    """An API that runs, with a database that holds a row and a connection to it that stays open."""
    address, commit = world.repository(
        f"removed-{service}", {"package.json": '{"main": "index.js"}', "index.js": SERVER}
    )
    database = f"env_3_{service}"
    command = api_command(
        world, service=service, url=address, commit=commit, database=database,
        secrets=await password(world, service, database),
    )  # fmt: skip
    await world.run(command)
    with connection(world, database) as its:
        its.execute("CREATE TABLE things AS SELECT 'the row' AS name")
        its.execute(f"ALTER TABLE things OWNER TO {database}")
    return command


def connection(world: AnsibleWorld, database: str) -> psycopg.Connection[Any]:
    dsn = world.postgres.dsn.rsplit("/", 1)[0]
    return psycopg.connect(f"{dsn}/{database}", autocommit=True)


def in_postgres(world: AnsibleWorld, name: str) -> tuple[int, int]:
    """How many databases and how many users have the name."""
    with connection(world, "postgres") as its:
        found = its.execute(
            "SELECT (SELECT count(*) FROM pg_database WHERE datname = %(name)s),"
            " (SELECT count(*) FROM pg_roles WHERE rolname = %(name)s)",
            {"name": name},
        ).fetchone()
    assert found is not None
    return found


async def assert_gone(world: AnsibleWorld, command: DeployService) -> None:
    service = command.service.id
    assert command.allocation.port is not None
    assert not world.service_dir("3", service).exists()
    assert not list(world.service_dir("3", service).parent.glob(f".{service}.*"))
    programs = Path(str(world.server.supervisor)).parent / "conf.d"
    assert not (programs / f"{program_of('3', service)}.ini").exists()
    assert await LocalHosts().look(world.server, "3", service) is None
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", command.allocation.port)) != 0
    assert in_postgres(world, f"env_3_{service}") == (0, 0)


def restored_row(world: AnsibleWorld, dump: Path) -> str:
    """The row, after pg_restore into a database of its own."""
    name = f"restored_{uuid4().hex[:8]}"
    with connection(world, "postgres") as its:
        its.execute(f"CREATE DATABASE {name}")
    settings = world.settings.database
    subprocess.run(
        [
            f"{settings.bin}/pg_restore", "--no-owner", f"--host={settings.host}", f"--port={settings.port}",
            f"--username={settings.user}", f"--dbname={name}", str(dump),
        ],
        env={"PGPASSWORD": world.postgres.password}, check=True, timeout=60,
    )  # fmt: skip
    with connection(world, name) as its:
        (row,) = its.execute("SELECT name FROM things").fetchone() or ("",)
    return str(row)

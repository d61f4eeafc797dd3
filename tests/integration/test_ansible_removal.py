"""Removing services with the real playbooks: process, database and its dump, files; objects and builds."""

import socket
import stat
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from executor.adapters.hosts import LocalHosts, program_of
from stagewright.contracts.commands import DeployService
from stagewright.contracts.work import SecretRef
from stagewright.errors import Retryable, Terminal
from stagewright.settings import ExecutorSettings
from tests.support.ansible_world import (
    AnsibleWorld,
    api_command,
    front_command,
    get,
    read_json,
    run_by_hand,
    texts_below,
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


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def test_an_api_is_dumped_and_gone_and_a_second_removal_changes_nothing(
    ansible_world: AnsibleWorld,
) -> None:
    world = ansible_world
    command = await deployed(world, "90")
    held = connection(world, "env_3_90")
    done = await world.remove(command)
    assert done.changed == ALL
    await assert_gone(world, command)
    with suppress(psycopg.Error):
        held.close()
    assert done.dump is not None
    dump = Path(done.dump)
    assert dump.parent == world.settings.data_dir / "dumps" / "3" / "90"
    assert dump.name.endswith("Z-order-2.dump")
    assert (mode(dump), mode(dump.parent)) == (0o600, 0o700)
    assert restored_row(world, dump) == "the row"
    assert names(dump.parent) == [dump.name]

    again = await world.remove(command)
    assert (again.changed, again.dump) == ((), done.dump)
    assert (await world.remove(command, order_id="order-3")).dump is None
    assert names(dump.parent) == [dump.name]


async def test_no_password_is_left_in_what_a_removal_says(ansible_world: AnsibleWorld) -> None:
    world = ansible_world
    command = await deployed(world, "91")
    done = await world.remove(command)
    assert done.run is not None
    kept = Path(done.run.removeprefix("BAO_TOKEN=… ")).parent
    secret = world.postgres.password.encode()
    texts = texts_below(kept)
    assert {"variables.json", "tasks.json", "run.sh"} <= {path.name for path in texts}
    assert not [path for path, text in texts.items() if secret in text]
    assert world.postgres.password not in repr(world.tasks)

    token = await world.vault.short_lived_token("3", "91")
    by_hand = run_by_hand(
        kept / "run.sh", {"PATH": "/usr/bin:/bin", "HOME": str(world.work), "BAO_TOKEN": token}
    )
    assert by_hand.returncode == 0, by_hand.stdout + by_hand.stderr
    assert "changed=0" in by_hand.stdout


async def test_without_a_dump_there_is_none(ansible_world: AnsibleWorld) -> None:
    world = ansible_world
    command = await deployed(world, "92")
    done = await world.remove(command, dump=False)
    assert (done.dump, done.changed) == (None, tuple(step for step in ALL if not step.startswith("Dump")))
    await assert_gone(world, command)
    assert not (world.settings.data_dir / "dumps" / "3" / "92").exists()


@pytest.mark.parametrize("half", ["process", "database", "user", "files", "moved aside"])
async def test_a_removal_that_was_interrupted_is_finished(ansible_world: AnsibleWorld, half: str) -> None:
    world, service = ansible_world, f"93{half[0]}"
    command = await deployed(world, service)
    database, home = f"env_3_{service}", world.service_dir("3", service)
    match half:
        case "process":
            (Path(str(world.server.supervisor)).parent / "conf.d" / f"3-{service}.ini").unlink()
        case "database":
            with connection(world, "postgres") as its:
                its.execute(f"DROP DATABASE {database} WITH (FORCE)")
        case "user":
            with connection(world, "postgres") as its:
                its.execute(f"DROP DATABASE {database} WITH (FORCE)")
                its.execute(f"DROP ROLE {database}")
        case "files":
            (home / "deployed.json").unlink()
            (home / "current").unlink()
        case "moved aside":
            home.rename(home.with_name(f".{service}.removed"))
    done = await world.remove(command)
    await assert_gone(world, command)
    assert (done.dump is None) == (half in {"database", "user"})
    assert (await world.remove(command)).changed == ()


def a_file(world: AnsibleWorld) -> Path:
    """Where no directory can be made."""
    (world.work / "a-file").write_text("")
    return world.work / "a-file"


async def test_what_cannot_be_dumped_is_not_dropped(ansible_world: AnsibleWorld) -> None:
    world = ansible_world
    command = await deployed(world, "94")
    nowhere = a_file(world)
    settings = world.settings.model_copy(update={"executor": ExecutorSettings(dumps=str(nowhere / "dumps"))})
    with pytest.raises(Terminal) as raised:
        await replace(world, settings=settings).remove(command)
    assert "cannot be kept" in raised.value.info.reason
    database = world.settings.database.model_copy(update={"bin": "/nowhere"})
    settings = world.settings.model_copy(update={"database": database})
    with pytest.raises(Terminal) as raised:
        await replace(world, settings=settings).remove(command)
    assert "pg_dump" in raised.value.info.reason
    assert in_postgres(world, "env_3_94") == (1, 1)
    done = await world.remove(command)
    assert restored_row(world, Path(str(done.dump))) == "the row"


async def test_a_user_that_owns_something_elsewhere_is_for_a_person_and_the_dump_is_found_again(
    ansible_world: AnsibleWorld,
) -> None:
    world = ansible_world
    command = await deployed(world, "95")
    with connection(world, "postgres") as its:
        its.execute("CREATE TABLE elsewhere_95 (); ALTER TABLE elsewhere_95 OWNER TO env_3_95")
    with pytest.raises(Terminal) as raised:
        await world.remove(command)
    assert "REASSIGN OWNED BY env_3_95" in raised.value.info.remedy
    with connection(world, "postgres") as its:
        its.execute("DROP TABLE elsewhere_95")
    done = await world.remove(command)
    await assert_gone(world, command)
    assert restored_row(world, Path(str(done.dump))) == "the row"


async def test_a_database_server_that_is_away_is_retryable(ansible_world: AnsibleWorld) -> None:
    world = ansible_world
    command = await deployed(world, "96")
    database = world.settings.database.model_copy(update={"port": 9})
    settings = world.settings.model_copy(update={"database": database})
    with pytest.raises(Retryable) as raised:
        await replace(world, settings=settings).remove(command)
    assert raised.value.info.resource == "127.0.0.1:9"
    assert (await world.remove(command)).dump is not None


async def test_dumps_go_to_s3_where_settings_say_so(ansible_world: AnsibleWorld) -> None:
    world = ansible_world
    bucket = f"dumps-{uuid4().hex[:8]}"
    executor = world.settings.executor.model_copy(update={"dumps": f"s3://{bucket}/of/tests"})
    far = replace(world, settings=world.settings.model_copy(update={"executor": executor}))
    command = await deployed(world, "97")
    with pytest.raises(Terminal) as raised:
        await far.remove(command)
    assert raised.value.info.resource == f"bucket {bucket}"
    assert in_postgres(world, "env_3_97") == (1, 1)
    world.s3.create_bucket(Bucket=bucket)
    done = await far.remove(command)
    assert done.dump is not None
    prefix = f"s3://{bucket}/of/tests/3/97/"
    assert done.dump.startswith(prefix)
    local = world.work / "from-s3.dump"
    world.s3.download_file(bucket, done.dump.removeprefix(f"s3://{bucket}/"), str(local))
    assert restored_row(world, local) == "the row"
    assert (await far.remove(command)).dump == done.dump
    assert not list((world.settings.data_dir / "dumps").glob(".*"))


async def test_a_password_that_is_made_anew_becomes_the_users(ansible_world: AnsibleWorld) -> None:
    world = ansible_world
    command = await deployed(world, "98")
    (old,) = command.secrets
    await world.vault.delete(old.path, [old.version])
    (new,) = await password(world, "98", "env_3_98")
    assert new.version == old.version + 1
    result = await world.run(command.model_copy(update={"secrets": (new,)}))
    assert "Create the database and its user" in result.changed
    env = (world.service_dir("3", "98") / "current" / ".env").read_text()
    (value,) = [line.split("=", 1)[1] for line in env.splitlines() if line.startswith("DB_PASSWORD=")]
    settings = world.settings.database
    with psycopg.connect(
        host=settings.host, port=settings.port, user="env_3_98", password=value, dbname="env_3_98"
    ) as its:
        assert its.execute("SELECT name FROM things").fetchone() == ("the row",)
    await world.vault.undelete(old.path, [old.version])
    assert "Create the database and its user" in (await world.run(command)).changed
    assert (await world.remove(command)).changed == ALL


async def test_a_restart_starts_the_process_anew_and_nothing_else(ansible_world: AnsibleWorld) -> None:
    world = ansible_world
    command = await deployed(world, "99")
    port = command.allocation.port
    before = (await LocalHosts().listening(world.server))[port]
    assert (await world.run(command)).changed == ()
    assert (await LocalHosts().listening(world.server))[port] == before
    again = await world.run(command.model_copy(update={"restart": True}))
    assert again.changed == ("Start the process and ask for its health",)
    assert again.facts["health"] == "ready"
    assert (await LocalHosts().listening(world.server))[port] != before
    await world.remove(command)


def keys(world: AnsibleWorld, bucket: str) -> list[str]:
    return [one["Key"] for one in world.s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


async def test_a_service_of_both_blocks_leaves_the_one_and_keeps_the_other(
    ansible_world: AnsibleWorld,
) -> None:
    world = ansible_world
    bucket = f"stagewright-{uuid4().hex[:8]}"
    world.s3.create_bucket(Bucket=bucket)
    world.s3.put_object(Bucket=bucket, Key="front-80/neighbour.html", Body=b"mine")
    api = await deployed(world, "8")
    address, commit = world.repository("moving-front", {"index.html": "<h1>", "a.css": "a{}"})
    front = front_command(world, bucket, url=address, commit=commit, type_="static")
    await world.run(front)
    assert get(f"http://127.0.0.1:{api.allocation.port}/").text == "here"
    assert read_json(world.service_dir("3", "8") / "deployed.json")["commit"] == api.commit

    done = await world.remove(front)
    assert done.changed == ("Remove the front from its bucket", "Remove the builds")
    assert keys(world, bucket) == ["front-80/neighbour.html"]
    assert not (world.server.home / "fronts" / "3" / "8").exists()
    assert get(f"http://127.0.0.1:{api.allocation.port}/").text == "here"
    assert (await world.remove(front)).changed == ()

    await world.run(front)
    assert (await world.remove(api)).changed == ALL
    await assert_gone(world, api)
    assert "front-8/index.html" in keys(world, bucket)
    assert (await world.run(front)).changed == ()
    world.s3.delete_object(Bucket=bucket, Key="front-8/deployed.json")
    assert (await world.remove(front)).changed == (
        "Remove the front from its bucket",
        "Remove the builds",
    )
    assert keys(world, bucket) == ["front-80/neighbour.html"]


async def test_a_front_whose_bucket_is_gone_is_gone(ansible_world: AnsibleWorld) -> None:
    front = front_command(ansible_world, f"stagewright-{uuid4().hex[:8]}")
    assert (await ansible_world.remove(front)).changed == ()

"""Dumps of databases that are to be dropped: where they go, and what becomes of a database without one."""

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from stagewright.errors import Retryable, Terminal
from stagewright.settings import ExecutorSettings
from tests.support.ansible_removals import (
    ALL,
    assert_gone,
    connection,
    deployed,
    in_postgres,
    password,
    restored_row,
)
from tests.support.ansible_world import (
    AnsibleWorld,
)


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

"""Removing services with the real playbooks: process, database and its dump, files; objects and builds."""

import stat
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from executor.adapters.hosts import LocalHosts
from tests.support.ansible_removals import (
    ALL,
    assert_gone,
    connection,
    deployed,
    restored_row,
)
from tests.support.ansible_world import (
    AnsibleWorld,
    front_command,
    get,
    read_json,
    run_by_hand,
    texts_below,
)


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
    for other in ("order-3", "2"):
        assert (await world.remove(command, order_id=other)).dump is None
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

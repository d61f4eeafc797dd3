"""Publishing fronts with the real playbooks, a real npm and a real S3."""

from dataclasses import asdict
from typing import Any
from uuid import uuid4

import pytest

from stagewright.errors import Terminal
from tests.support.ansible_world import AnsibleWorld, front_command, texts_below

PAGE = "<!doctype html><title>{}</title>"


@pytest.fixture
def bucket(ansible_world: AnsibleWorld) -> str:
    name = f"stagewright-{uuid4().hex[:8]}"
    ansible_world.s3.create_bucket(Bucket=name)
    return name


def objects(world: AnsibleWorld, bucket: str) -> dict[str, dict[str, Any]]:
    listed = world.s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    return {one["Key"]: world.s3.get_object(Bucket=bucket, Key=one["Key"]) for one in listed}


async def test_a_front_is_built_and_published_once(ansible_world: AnsibleWorld, bucket: str) -> None:
    world = ansible_world
    secret = await world.secret("environments/3/services/8/CDN_PATH", f"{bucket}/front-8")
    command = front_command(world, bucket, secrets=(secret,))
    result = await world.run(command)
    assert result.facts["health"] == "ready"
    found = objects(world, bucket)
    page = found["front-8/index.html"]
    script = next(key for key in found if key.startswith("front-8/assets/main-") and key.endswith(".js"))
    assert script.removeprefix("front-8/") in page["Body"].read().decode()
    assert (page["ContentType"], page["CacheControl"]) == ("text/html; charset=utf-8", "no-cache")
    assert found[script]["ContentType"] == "text/javascript; charset=utf-8"
    assert "immutable" in found[script]["CacheControl"]
    assert f'"commit": "{command.commit}"' in found["front-8/deployed.json"]["Body"].read().decode()

    again = await world.run(command)
    assert again.changed == ()


async def test_what_is_old_goes_and_what_is_hidden_or_outside_never_comes(
    ansible_world: AnsibleWorld, bucket: str
) -> None:
    world = ansible_world
    files = {"index.html": PAGE.format("one"), "old.css": "a{}", ".env": "SECRET=1", "fonts/a.woff2": "x"}
    address, first = world.repository("plain-front", files)
    command = front_command(world, bucket, url=address, commit=first, type_="static")
    await world.run(command)
    assert set(objects(world, bucket)) == {
        f"front-8/{name}" for name in ("index.html", "old.css", "fonts/a.woff2", "deployed.json")
    }
    (world.work / "sources" / "plain-front" / "old.css").unlink()
    _, second = world.repository("plain-front", {"index.html": PAGE.format("two"), "new.css": "b{}"})
    result = await world.run(command.model_copy(update={"commit": second}))
    assert "Publish the front to its bucket" in result.changed
    found = objects(world, bucket)
    assert set(found) == {
        f"front-8/{name}" for name in ("index.html", "new.css", "fonts/a.woff2", "deployed.json")
    }
    assert b"two" in found["front-8/index.html"]["Body"].read()
    assert second.encode() in found["front-8/deployed.json"]["Body"].read()


async def test_a_build_that_fails_says_so_without_its_secrets(
    ansible_world: AnsibleWorld, bucket: str
) -> None:
    world = ansible_world
    build = "console.error('cannot find the style', process.env.API_KEY); process.exit(3)"
    package = '{"scripts": {"build": "node build.js"}}'
    address, commit = world.repository("broken-front", {"package.json": package, "build.js": build})
    secret = await world.secret("environments/3/services/8/API_KEY", "canary-of-the-build")
    command = front_command(world, bucket, url=address, commit=commit, secrets=(secret,))
    with pytest.raises(Terminal) as caught:
        await world.run(command)
    info = caught.value.info
    assert (info.code, info.resource) == ("playbook.failed", "npm run build")
    assert "cannot find the style" in info.reason
    assert "canary-of-the-build" not in str(caught.value)
    assert "canary-of-the-build" not in repr([asdict(task) for task in world.tasks])
    kept = world.settings.data_dir / "runs" / str(command.command_id)
    assert all(b"canary-of-the-build" not in text for text in texts_below(kept).values())
    assert objects(world, bucket) == {}


async def test_a_bucket_that_is_missing_is_said(ansible_world: AnsibleWorld) -> None:
    world = ansible_world
    address, commit = world.repository("nowhere-front", {"index.html": PAGE.format("nowhere")})
    command = front_command(world, "stagewright-nowhere", url=address, commit=commit, type_="static")
    with pytest.raises(Terminal) as caught:
        await world.run(command)
    assert caught.value.info.resource == "bucket stagewright-nowhere"
    assert "NoSuchBucket" in caught.value.info.reason

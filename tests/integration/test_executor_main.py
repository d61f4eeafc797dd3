"""The executor as a process, with its own rights on every real server: all stages but Ansible's, twice."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import hvac
import pytest
from nats.aio.client import Client

from executor.adapters.aws import make_clients
from stagewright import ids
from stagewright.contracts.commands import AllocateResources, Command, CreateVariables
from stagewright.contracts.events import Outcome
from stagewright.contracts.work import Allocation, Route
from stagewright.messaging import topology
from tests.support import executor_bus as make
from tests.support.eventually import eventually
from tests.support.executor_bus import Bus, executor_bus, git
from tests.support.parts import fresh_layout, run_nats

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment() -> str:
    return f"e{uuid4().hex[:8]}"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    where = tmp_path / "mirror" / "acme" / "7"
    where.mkdir(parents=True)
    git(where, "init", "--quiet")
    git(where, "commit", "--quiet", "--allow-empty", "-m", "one")
    return where


@pytest.fixture
def settings(openbao, moto, seaweed_s3, caddy, supervisord, sources: Path, tmp_path: Path) -> dict:
    aws = moto.model_copy(
        update={"s3_endpoint": seaweed_s3.s3_endpoint, "credentials_file": seaweed_s3.credentials_file}
    )
    return {
        "profile": "test",
        "data_dir": str(tmp_path / "data"),
        "vault": openbao.settings.model_dump(mode="json", exclude_none=True),
        "aws": aws.model_dump(mode="json", exclude_none=True),
        "proxy": caddy.model_dump(mode="json", exclude_none=True),
        "servers": [supervisord.model_dump(mode="json", exclude_none=True)],
        "git": {"mirrors": {"https://git.example.com/": f"{sources.parents[1]}/"}},
    }


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    with ExitStack() as stack:
        layout = stack.enter_context(fresh_layout())
        server = stack.enter_context(run_nats(layout, users=True))
        async with executor_bus(server) as found:
            yield found


@asynccontextmanager
async def executor(bus: Bus, settings: dict, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process, ready."""
    config = {**settings, "nats": bus.server.settings.model_dump(mode="json")}
    environment = {
        **os.environ,
        **{f"STAGEWRIGHT_{name.upper()}": _text(value) for name, value in config.items()},
    }
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "executor.main", cwd=ROOT, env=environment, stdout=out, stderr=out
        )
    try:
        await eventually(lambda: present(bus.client), timeout=20)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


async def present(client: Client) -> bool:
    try:
        await client.request("$SRV.PING.executor", b"", timeout=0.3)
    except Exception as error:
        raise AssertionError(type(error).__name__) from error
    return True


def commands(environment: str, order: str, port: int = 3999) -> list[Command]:
    """An order's commands in their order, deployments left out."""
    services = (make.deployable("7"), make.deployable("8", "angular"))
    front = Allocation(service="8", bucket=f"stagewright-{environment}", prefix="8")
    allocations = (Allocation(service="7", server="server-1", port=port, database=f"{environment}_7"), front)
    domains = (f"api.{environment}.example", f"www.{environment}.example")

    def base(stage) -> dict:
        name = ids.command_id(order, stage, None, 1)
        return {"command_id": name, "order_id": order, "environment": environment}

    return [
        make.inspect(order, environment, services=services[:1]),
        make.configure(order, environment, domains=domains),
        AllocateResources(**base(AllocateResources.stage), allocations=allocations),
        CreateVariables(**base(CreateVariables.stage), services=services, allocations=allocations),
        make.routes(
            order,
            environment,
            routes=(
                Route(domain=domains[0], path="/", service="7", server="server-1", port=port),
                Route(domain=domains[1], path="/", service="8", bucket=front.bucket, prefix="8"),
            ),
        ),
    ]


async def run(bus: Bus, sent: list[Command]) -> list[Outcome]:
    """Send one after the other, as a saga does; the outcomes."""
    for command in sent:
        before = len(await bus.outcomes())
        await bus.send(command)
        await eventually(bus.outcomes, until=lambda found, seen=before: len(found) > seen, timeout=20)
    return (await bus.outcomes())[-len(sent) :]


async def test_an_order_is_done_and_the_same_again_changes_nothing(
    bus: Bus, settings: dict, openbao, environment: str, sources: Path, tmp_path: Path
) -> None:
    log = tmp_path / "executor.log"
    async with executor(bus, settings, log) as process:
        first = await run(bus, commands(environment, "o-1"))
        second = await run(bus, commands(environment, "o-2"))
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0
    inspected, configured, allocated, created, routed = first
    assert inspected.services[0].commit == git(sources, "rev-parse", "HEAD")
    assert len(configured.changed) == 2
    assert allocated.changed == (f"bucket:stagewright-{environment}",)
    assert (len(created.changed), routed.changed) == (4, True)
    assert [getattr(outcome, "changed", ()) for outcome in second] == [(), (), (), (), False]
    assert second[3].services == created.services
    (name,) = {outcome.executor for outcome in (*first, *second)}
    assert f"-{process.pid}-" in name
    await no_value_leaked(bus, openbao, created, log.read_text())


async def no_value_leaked(bus: Bus, openbao, created, log: str) -> None:
    root = hvac.Client(url=openbao.settings.address, token=openbao.root_token)
    (path,) = [one for one in created.changed if one.endswith("DB_PASSWORD")]
    secret = root.secrets.kv.v2.read_secret_version(
        path, mount_point="stagewright", raise_on_deleted_version=True
    )
    value = secret["data"]["data"]["value"]
    for stream in make.STREAMS:
        for raw in await bus.stored(stream):
            assert value.encode() not in (raw.data or b"") + json.dumps(raw.headers).encode()
    assert value not in log


async def test_killed_at_every_stage_each_effect_is_there_once(
    bus: Bus, settings: dict, moto, environment: str, tmp_path: Path
) -> None:
    log = tmp_path / "executor.log"
    for command in commands(environment, "o-1"):
        before = len(await bus.outcomes())
        async with executor(bus, settings, log) as process:
            await bus.send(command)
            await eventually(bus.waiting, until=lambda seen: seen != (1, 0))
            process.kill()
            await process.wait()
        if (await bus.waiting())[0]:
            await bus.hurry()
        async with executor(bus, settings, log):
            await eventually(bus.waiting, until=lambda seen: seen == (0, 0), timeout=60)
        assert len(await bus.outcomes()) == before + 1
    async with executor(bus, settings, log):
        again = await run(bus, commands(environment, "o-2"))
    assert [getattr(outcome, "changed", ()) for outcome in again] == [(), (), (), (), False]
    pages = make_clients(moto).route53.get_paginator("list_hosted_zones").paginate()
    names = [zone["Name"] for page in pages for zone in page["HostedZones"]]
    assert names.count(f"{environment}.example.") == 1
    assert (await bus.js.stream_info(topology.DEAD)).state.messages == 0


async def test_invalid_settings_end_it_at_once_without_their_values(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "executor.main", cwd=tmp_path,
        env={**os.environ, "STAGEWRIGHT_EXECUTOR": '{"slots": "canary-value"}'},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, err = await process.communicate()
    assert process.returncode == 2
    assert b"slots" in err
    assert b"canary-value" not in err

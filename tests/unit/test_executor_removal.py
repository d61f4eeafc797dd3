"""The stages that take away or look again, over doubles: what they do, and that a repetition does no more."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from executor.handling import Context
from executor.operators.documents import removal_document
from executor.operators.ports import Running, SiteRoute, TaskProgress
from executor.operators.world import World
from executor.stages import handlers
from stagewright.contracts.commands import (
    AllocateResources,
    Command,
    CreateVariables,
    DeconfigureEnvironment,
    DeleteVariables,
    ProbeServices,
    ReleaseResources,
    RemoveService,
)
from stagewright.contracts.events import Outcome
from stagewright.contracts.work import Allocation, Deployed, DnsRecord, Route, SecretRef, ServiceSecrets
from stagewright.errors import Terminal
from stagewright.settings import ExecutorSettings, ProxySettings, ServerSettings, Settings
from tests.support import executor_bus as make
from tests.support.executor_doubles import MemoryHosts, MemoryPlaybooks, MemoryVault, memory_world

API = Allocation(service="7", server="server-1", port=3001, database="env_3_7")
FRONT = Allocation(service="8", bucket="stagewright-3", prefix="8")
SMTP = "environments/3/variables/SMTP"
PASSWORD = "environments/3/services/7/DB_PASSWORD"
SETTINGS = Settings(
    profile="test",
    data_dir="/var/lib/sw",
    servers=(ServerSettings(name="server-1", home="/srv/sw"),),
    proxy=ProxySettings(dns_target="192.0.2.10"),
)


def world(**ports: Any) -> World:
    return memory_world(SETTINGS, **ports)


async def run(where: World, command: Command, **more: Any) -> Outcome:
    return await handlers(where)[command.stage].run(command, Context(command, **more))


def the(kind: type[Command], **fields: Any) -> Any:
    return kind(command_id=uuid4(), order_id="o-1", environment="3", **fields)


def remove(service: Any, allocation: Allocation, **more: Any) -> RemoveService:
    found: RemoveService = the(RemoveService, service=service, allocation=allocation, **more)
    return found


@pytest.mark.parametrize(
    ("service", "place", "playbook"),
    [
        (make.deployable("7"), API, "remove_api"),
        (make.deployable("8", "static"), FRONT, "remove_front"),
        # What was a front and is an API now: the allocation says what is to go.
        (make.deployable("8", "node"), FRONT, "remove_front"),
    ],
)
async def test_the_allocation_decides_what_is_removed(service, place: Allocation, playbook: str) -> None:
    playbooks = MemoryPlaybooks(facts={"dump": "/dumps/3/7/x.dump"})
    command = remove(service, place)
    outcome = await run(world(playbooks=playbooks), command)
    assert (outcome.service, outcome.dump) == (service.id, "/dumps/3/7/x.dump")
    assert outcome.run == f"BAO_TOKEN=… /srv/runs/{command.command_id}/run.sh"
    (ran,) = playbooks.runs
    assert (ran.name, ran.variables["allocation"]) == (playbook, place.model_dump(exclude_none=True))


@pytest.mark.parametrize(
    ("place", "wanted", "dump", "said"),
    [
        (API, True, None, ["Dump the database"]),
        (API, True, "/dumps/3/7/x.dump", []),
        (API, False, None, []),
        (API.model_copy(update={"database": None}), True, None, []),
    ],
)
async def test_that_a_wanted_dump_is_nowhere_is_said(
    place: Allocation, wanted: bool, dump: str | None, said: list[str]
) -> None:
    lines: list[TaskProgress] = []
    where = world(playbooks=MemoryPlaybooks(facts={"dump": dump}))
    command = remove(make.deployable("7"), place, dump=wanted)
    outcome = await run(where, command, log=lambda _command, progress: lines.append(progress))
    assert outcome.dump == dump
    assert [line.task for line in lines if line.status == "skipped"] == said


@pytest.mark.parametrize("place", [Allocation(service="8", bucket="stagewright-3"), Allocation(service="7")])
async def test_a_place_that_is_not_the_services_own_is_never_removed(place: Allocation) -> None:
    playbooks = MemoryPlaybooks()
    with pytest.raises(Terminal) as raised:
        await run(world(playbooks=playbooks), remove(make.deployable(place.service), place))
    assert (raised.value.info.code, playbooks.runs) == ("allocation.incomplete", [])


def test_a_removal_is_told_where_dumps_go() -> None:
    document = removal_document(remove(make.deployable("7"), API, dump=False), SETTINGS)
    assert {key: document[key] for key in ("environment", "order_id", "service", "allocation", "dump")} == {
        "environment": "3",
        "order_id": "o-1",
        "service": {"id": "7"},
        "allocation": {"service": "7", "server": "server-1", "port": 3001, "database": "env_3_7"},
        "dump": False,
    }
    assert document["dumps"] == {"place": "/var/lib/sw/dumps", "aside": "/var/lib/sw/dumps"}
    for told, place in (("s3://dumps/sw", "s3://dumps/sw"), ("mine", str(Path.cwd() / "mine"))):
        settings = SETTINGS.model_copy(update={"executor": ExecutorSettings(dumps=told)})
        found = removal_document(remove(make.deployable("7"), API), settings)["dumps"]
        assert found == {"place": place, "aside": "/var/lib/sw/dumps"}


async def test_buckets_go_when_they_are_empty_and_what_stays_is_said() -> None:
    where, lines = world(), []
    await run(where, the(AllocateResources, allocations=(FRONT,)))
    where.buckets._client.put_object(Bucket="stagewright-3", Key="mine", Body=b"x")
    command = the(ReleaseResources, allocations=(FRONT,), buckets=("stagewright-3", "stagewright-4"))
    kept = await run(where, command, log=lambda _command, progress: lines.append(progress.task))
    assert (kept.changed, lines) == ((), ["Remove the bucket stagewright-3"])
    where.buckets._client.buckets["stagewright-3"]["objects"].clear()
    assert (await run(where, command)).changed == ("bucket:stagewright-3",)
    assert (await run(where, command)).changed == ()


async def test_secrets_are_deleted_softly_and_once() -> None:
    vault = MemoryVault({PASSWORD: ["one", "two"]}, deleted={(PASSWORD, 2)})
    command = the(DeleteVariables, paths=(PASSWORD, "environments/3/services/9/DB_PASSWORD"))
    where = world(vault=vault)
    assert (await run(where, command)).changed == (PASSWORD,)
    assert (await run(where, command)).changed == ()
    assert (vault.values, vault.deleted) == ({PASSWORD: ["one", "two"]}, {(PASSWORD, 1), (PASSWORD, 2)})


async def test_records_are_removed_as_they_were_written() -> None:
    where = world()
    records = (await run(where, make.configure())).records
    changed = DnsRecord(name="api.lab.example.com", type="A", value="192.0.2.11")
    assert (await run(where, the(DeconfigureEnvironment, records=(changed,)))).changed == ()
    command = the(DeconfigureEnvironment, records=records)
    assert (await run(where, command)).changed == ("api.lab.example.com",)
    assert (await run(where, command)).changed == ()


async def test_a_record_that_another_environment_uses_by_now_stays() -> None:
    where = world()
    records = (await run(where, make.configure())).records
    route = SiteRoute("api.lab.example.com", "/", "127.0.0.1:3001")
    await where.proxy.ensure("4", [route])
    command = the(DeconfigureEnvironment, records=records)
    assert (await run(where, command)).changed == ()
    await where.proxy.ensure("4", [])
    await where.proxy.ensure("3", [route])
    assert (await run(where, command)).changed == ("api.lab.example.com",)


def create(*services: Any, pins: tuple[ServiceSecrets, ...] = ()) -> CreateVariables:
    found: CreateVariables = the(CreateVariables, services=services, allocations=(API,), pins=pins)
    return found


def pin(service: str, path: str, version: int) -> ServiceSecrets:
    ref = SecretRef(name=path.rsplit("/", 1)[1], path=path, version=version)
    return ServiceSecrets(service=service, secrets=(ref,))


def versions(outcome: Outcome) -> dict[str, int]:
    return {ref.name: ref.version for ref in outcome.services[0].secrets}


async def test_pinned_versions_are_restored_and_used() -> None:
    vault = MemoryVault({PASSWORD: ["one", "two"], SMTP: ["a", "b"]}, deleted={(PASSWORD, 1), (SMTP, 2)})
    where = world(vault=vault)
    pins = (pin("7", PASSWORD, 1), pin("7", SMTP, 1), pin("9", "environments/3/variables/GONE", 1))
    command = create(make.deployable("7", variables=("SMTP",)), pins=pins)
    first = await run(where, command)
    assert versions(first) == {"DB_DATABASE": 1, "DB_USERNAME": 1, "DB_PASSWORD": 1, "SMTP": 1}
    assert PASSWORD in first.changed
    assert (PASSWORD, 1) not in vault.deleted
    second = await run(where, command)
    assert (second.services, second.changed) == (first.services, ())


@pytest.mark.parametrize("version", [2, 3])
async def test_a_version_that_is_no_more_is_told_before_anything_is_made(version: int) -> None:
    before = {PASSWORD: ["one", "two"], SMTP: ["a"]}
    vault = MemoryVault(dict(before), deleted={(SMTP, 1)}, destroyed={(PASSWORD, 2)})
    pins = (pin("7", PASSWORD, version), pin("7", SMTP, 1))
    with pytest.raises(Terminal) as raised:
        await run(world(vault=vault), create(make.deployable("7", variables=("SMTP",)), pins=pins))
    assert (raised.value.info.code, raised.value.info.resource) == ("variable.version_missing", PASSWORD)
    assert (vault.values, vault.deleted) == (before, {(SMTP, 1)})


async def test_what_one_service_pins_the_other_must_have() -> None:
    vault = MemoryVault({SMTP: ["a"]}, deleted={(SMTP, 1)})
    services = (make.deployable("7", variables=("SMTP",)), make.deployable("9", variables=("SMTP",)))
    with pytest.raises(Terminal) as raised:
        await run(world(vault=vault), create(*services, pins=(pin("7", SMTP, 1),)))
    assert raised.value.info.code == "variable.missing"


async def test_after_a_soft_delete_a_new_version_is_made() -> None:
    vault = MemoryVault()
    where = world(vault=vault)
    command = create(make.deployable("7"))
    paths = tuple(ref.path for ref in (await run(where, command)).services[0].secrets)
    await run(where, the(DeleteVariables, paths=paths))
    again = await run(where, command)
    assert (versions(again)["DB_PASSWORD"], set(again.changed)) == (2, set(paths))
    assert len(set(vault.values[PASSWORD])) == 2


@pytest.mark.parametrize(
    ("running", "healthy", "health"),
    [
        (Running("f" * 40, 3001, True), {3001}, "ready"),
        (Running("f" * 40, 3001, True), set(), "incomplete"),
        (Running("f" * 40, 3001, False), {3001}, "incomplete"),
        (None, set(), "incomplete"),
    ],
)
async def test_a_probe_says_how_services_are(running, healthy, health: str) -> None:
    hosts = MemoryHosts(running={"7": running} if running else {}, healthy=healthy)
    places = (API, FRONT)
    services = tuple(Deployed(service=one.service, commit="f" * 40, allocation=one) for one in places)
    outcome = await run(world(hosts=hosts), the(ProbeServices, services=services))
    assert [(one.service, one.health) for one in outcome.services] == [("7", health), ("8", "incomplete")]


async def test_inspect_is_not_troubled_by_services_that_the_order_no_longer_has() -> None:
    gone = Allocation(service="6", server="server-9", port=3006, database="env_3_6")
    deployed = tuple(Deployed(service=one.service, commit="f" * 40, allocation=one) for one in (gone, FRONT))
    outcome = await run(world(), make.inspect(deployed=deployed))
    assert [one.service for one in outcome.services] == ["7"]
    assert (await run(world(), make.inspect(services=(), deployed=deployed))).services == ()


async def test_no_routes_are_no_site_and_maintenance_is_a_site_of_its_own() -> None:
    where = world()
    routes = (Route(domain="a.example.com", path="/", service="7", server="server-1", port=3001),)
    changes = [
        (await run(where, make.routes(routes=given, maintenance=held))).changed
        for given, held in ((routes, False), (routes, True), (routes, True), (routes, False), ((), False))
    ]
    assert (changes, where.proxy.sites) == ([True, True, False, True, True], {})
    held = await run(where, make.routes(routes=routes, maintenance=True))
    assert (held.maintenance, where.proxy.maintenance) == (True, {"3"})
    again = await run(where, make.routes(routes=()))
    assert (again.routes, again.maintenance, again.changed) == ((), False, True)
    assert not (await run(where, make.routes(routes=()))).changed

"""Every stage over doubles: what it finds, what it changes, and that the second time changes nothing."""

import json
from typing import Any

import pytest

from executor.handling import Context
from executor.operators.documents import deployment_document
from executor.operators.domains import longest_zone, record_type
from executor.operators.ports import Running, SiteRoute, Zone
from executor.operators.world import World
from executor.stages import handlers
from stagewright import ids
from stagewright.contracts.base import Stage
from stagewright.contracts.commands import AllocateResources, Command, CreateVariables, RemoveService
from stagewright.contracts.events import Outcome
from stagewright.contracts.orders import Repository
from stagewright.contracts.work import Allocation, Deployed, Location, Route, SecretRef
from stagewright.errors import Retryable, Terminal
from stagewright.settings import (
    AwsSettings,
    GitSettings,
    ProxySettings,
    ServerSettings,
    Settings,
    VaultSettings,
)
from tests.support import executor_bus as make
from tests.support.executor_doubles import MemoryGit, MemoryHosts, MemoryPlaybooks, MemoryVault, memory_world

API = Allocation(service="7", server="server-1", port=3001, database="env3_7")
FRONT = Allocation(service="8", bucket="stagewright-3", prefix="8")
RUNS = "f" * 40


def settings() -> Settings:
    return Settings(
        profile="test",
        servers=(ServerSettings(name="server-1", home="/srv/sw", supervisor="/srv/sw/supervisord.conf"),),
        proxy=ProxySettings(dns_target="192.0.2.10"),
        git=GitSettings(mirrors={"https://github.com/": "/srv/mirrors/"}),
        aws=AwsSettings(s3_endpoint="http://127.0.0.1:8333"),
        vault=VaultSettings(role_id="role"),
    )


def world(**ports: Any) -> World:
    return memory_world(settings(), **ports)


async def run(where: World, command: Command) -> Outcome:
    return await handlers(where)[command.stage].run(command, Context(command))


def allocate(*allocations: Allocation) -> AllocateResources:
    stage = AllocateResources.stage
    return AllocateResources(
        command_id=ids.command_id("o-1", stage, None, 1),
        order_id="o-1",
        environment="3",
        allocations=allocations,
    )


def create(*services, allocations=(API, FRONT)) -> CreateVariables:
    return CreateVariables(
        command_id=ids.command_id("o-1", CreateVariables.stage, None, 1),
        order_id="o-1",
        environment="3",
        services=services,
        allocations=allocations,
    )


def test_every_stage_has_its_handler_and_what_only_looks_needs_no_lease() -> None:
    found = handlers(world())
    assert set(found) == set(Stage)
    assert [stage for stage in Stage if not found[stage].leased] == ["inspect", "probe_services"]


@pytest.mark.parametrize(
    ("running", "healthy", "seen"),
    [
        (None, set(), (None, None)),
        (Running(RUNS, 3001, True), {3001}, (RUNS, "ready")),
        (Running(RUNS, 3001, True), set(), (RUNS, "incomplete")),
        (Running(RUNS, 3001, False), set(), (None, None)),
        (Running(RUNS, 3002, True), {3001, 3002}, (None, None)),
        (Running(None, 3001, True), {3001}, (None, None)),
    ],
)
async def test_inspect_says_what_really_runs(running, healthy, seen) -> None:
    hosts = MemoryHosts(running={"7": running} if running else {}, healthy=healthy)
    deployed = (Deployed(service="7", commit=RUNS, allocation=API),)
    outcome = await run(world(hosts=hosts), make.inspect(deployed=deployed))
    (service,) = outcome.services
    assert (service.commit, (service.running, service.health)) == (make.COMMIT, seen)


async def test_inspect_looks_into_the_bucket_of_a_front() -> None:
    where = world()
    service = make.deployable("8", "angular")
    command = make.inspect(
        services=(service,), deployed=(Deployed(service="8", commit=RUNS, allocation=FRONT),)
    )
    assert (await run(where, command)).services[0].running is None
    await run(where, allocate(FRONT))
    marker = json.dumps({"commit": RUNS}).encode()
    where.buckets._client.put_object(Bucket="stagewright-3", Key="8/deployed.json", Body=marker)
    (found,) = (await run(where, command)).services
    assert (found.running, found.health) == (RUNS, "ready")


async def test_a_server_that_left_the_settings_runs_nothing_and_is_left_alone() -> None:
    gone = API.model_copy(update={"server": "server-9", "database": None})
    hosts = MemoryHosts(running={"7": Running(RUNS, 3001, True)})
    where = world(hosts=hosts)
    deployed = (Deployed(service="7", commit=RUNS, allocation=gone),)
    (found,) = (await run(where, make.inspect(deployed=deployed))).services
    assert (found.running, found.health) == (None, None)
    command = RemoveService(
        command_id=ids.command_id("o1", Stage.REMOVE_SERVICES, "7", 1),
        order_id="o1",
        environment="3",
        service=make.deployable(),
        allocation=gone,
    )
    removed = await run(where, command)
    assert (removed.changed, removed.run) == ((), None)


async def test_inspect_names_taken_ports_without_our_own() -> None:
    hosts = MemoryHosts(ports={80: 1, 3001: 2, 3005: None, 9999: 4, 10_000: 5})
    deployed = (Deployed(service="7", commit=RUNS, allocation=API),)
    outcome = await run(world(hosts=hosts), make.inspect(deployed=deployed))
    assert outcome.occupied_ports == (("server-1", 3005), ("server-1", 9999))


async def test_inspect_fails_with_what_a_person_must_mend() -> None:
    missing = make.deployable("9", repository=Repository(url="https://git.example.com/acme/missing"))
    with pytest.raises(Terminal) as raised:
        await run(world(git=MemoryGit()), make.inspect(services=(make.deployable(), missing)))
    assert raised.value.info.code == "repository.ref_not_found"


async def test_configure_writes_once() -> None:
    where = world()
    first = await run(where, make.configure())
    second = await run(where, make.configure(attempt=2))
    assert (first.changed, second.changed) == (("api.lab.example.com",), ())
    assert [(record.type, record.value) for record in second.records] == [("A", "192.0.2.10")]


@pytest.mark.parametrize(("owner", "refused"), [("7", False), ("9", True), (None, True)])
async def test_a_port_must_be_free_or_the_services_own(owner: str | None, refused: bool) -> None:
    hosts = MemoryHosts(ports={3001: 42}, owners={42: owner} if owner else {})
    if not refused:
        assert (await run(world(hosts=hosts), allocate(API))).changed == ()
        return
    with pytest.raises(Retryable) as raised:
        await run(world(hosts=hosts), allocate(API))
    assert (raised.value.info.code, raised.value.info.resource) == ("port.occupied", "server-1:3001")


async def test_a_port_of_a_process_that_nobody_can_see_is_occupied() -> None:
    with pytest.raises(Retryable):
        await run(world(hosts=MemoryHosts(ports={3001: None})), allocate(API))


async def test_allocate_makes_the_bucket_once() -> None:
    where = world()
    assert (await run(where, allocate(API, FRONT))).changed == ("bucket:stagewright-3",)
    assert (await run(where, allocate(API, FRONT))).changed == ()


async def test_variables_are_made_where_they_are_missing() -> None:
    vault = MemoryVault({"environments/3/variables/SMTP": ["x", "y"]})
    services = (make.deployable("7", variables=("SMTP",)), make.deployable("8", "angular"))
    where = world(vault=vault)
    first = await run(where, create(*services))
    second = await run(where, create(*services))
    assert [(ref.name, ref.version) for ref in first.services[0].secrets] == [
        ("DB_DATABASE", 1),
        ("DB_USERNAME", 1),
        ("DB_PASSWORD", 1),
        ("SMTP", 2),
    ]
    assert vault.values["environments/3/services/8/CDN_PATH"] == ["stagewright-3/8"]
    assert (second.services, second.changed) == (first.services, ())
    assert len(first.changed) == 4
    password = vault.values["environments/3/services/7/DB_PASSWORD"][0]
    assert password not in first.to_json().decode()


async def test_missing_variables_are_named_and_nothing_is_made() -> None:
    vault = MemoryVault({"environments/3/variables/SMTP": ["x"]})
    service = make.deployable("7", variables=("SMTP", "API_KEY", "TOKEN"))
    with pytest.raises(Terminal) as raised:
        await run(world(vault=vault), create(service))
    assert raised.value.info.code == "variable.missing"
    assert "API_KEY, TOKEN" in raised.value.info.reason
    assert list(vault.values) == ["environments/3/variables/SMTP"]


async def test_deploy_runs_the_playbook_of_the_type_and_logs_its_tasks() -> None:
    playbooks, lines = MemoryPlaybooks(), []
    where = world(playbooks=playbooks)
    command = make.deploy(allocation=API)
    context = Context(command, log=lambda of, progress: lines.append((of.target, progress.task)))
    outcome = await handlers(where)[command.stage].run(command, context)
    again = await run(where, command)
    assert (outcome.health, outcome.changed, again.changed) == ("ready", ("Check out the commit",), ())
    assert lines == [("7", "Check out the commit")]
    assert outcome.run == f"BAO_TOKEN=… /srv/runs/{command.command_id}/run.sh"
    (ran, _) = playbooks.runs
    assert (ran.name, ran.server.name, ran.run_id) == ("deploy_node", "server-1", str(command.command_id))


@pytest.mark.parametrize(("facts", "health"), [({"health": "incomplete"}, "incomplete"), ({}, "incomplete")])
async def test_an_api_that_does_not_say_ready_is_incomplete(facts, health: str) -> None:
    outcome = await run(world(playbooks=MemoryPlaybooks(facts=facts)), make.deploy())
    assert outcome.health == health


@pytest.mark.parametrize(
    ("resource", "code", "named"),
    [("port 3001", "port.occupied", "server-1:3001"), ("npm ci", "playbook.failed", "npm ci")],
)
async def test_a_port_that_was_taken_is_told_so_that_another_is_leased(resource, code, named) -> None:
    failure = Retryable("playbook.failed", resource, "It is taken.", "Wait.")
    command = make.deploy(allocation=Allocation(service="7", server="server-1", port=3001))
    with pytest.raises(Retryable) as caught:
        await run(world(playbooks=MemoryPlaybooks(failure=failure)), command)
    assert (caught.value.info.code, caught.value.info.resource) == (code, named)


def test_the_document_of_a_play_holds_references_and_places() -> None:
    command = make.deploy(
        allocation=API,
        secrets=(SecretRef(name="DB_PASSWORD", path="environments/3/services/7/DB_PASSWORD", version=1),),
        discovery=(Location(service="6", roles=("auth",), url="http://127.0.0.1:3000"),),
        domains=("api.example.com",),
    )
    assert deployment_document(command, settings()) == {
        "environment": "3",
        "commit": make.COMMIT,
        "service": {
            "id": "7",
            "block": "api",
            "path": "/",
            "type": "node",
            "repository": {"url": "https://git.example.com/acme/7"},
            "roles": [],
            "variables": [],
        },
        "allocation": {"service": "7", "server": "server-1", "port": 3001, "database": "env3_7"},
        "secrets": [{"name": "DB_PASSWORD", "path": "environments/3/services/7/DB_PASSWORD", "version": 1}],
        "discovery": [{"service": "6", "roles": ["auth"], "url": "http://127.0.0.1:3000"}],
        "domains": ["api.example.com"],
        "restart": False,
        "git_config": [["https://github.com/", "/srv/mirrors/"]],
        "server": {"address": "127.0.0.1", "home": "/srv/sw", "supervisor": "/srv/sw/supervisord.conf"},
        "database": {
            "host": "127.0.0.1",
            "port": 5432,
            "user": "postgres",
            "password_path": "platform/postgres",
        },
        "s3": {"endpoint": "http://127.0.0.1:8333", "region": "eu-west-1"},
        "vault": {"address": "http://127.0.0.1:8200", "mount": "stagewright"},
    }


async def test_a_server_that_nobody_knows_is_for_a_person() -> None:
    lost = Allocation(service="7", server="server-9", port=3001)
    for command in (make.deploy(allocation=lost), allocate(lost)):
        with pytest.raises(Terminal) as raised:
            await run(world(), command)
        assert raised.value.info.code == "server.unknown"


async def test_routes_become_sites_of_the_proxy() -> None:
    where = world()
    command = make.routes(
        routes=(
            Route(domain="api.example.com", path="/core", service="6", server="server-1", port=3000),
            Route(domain="www.example.com", path="/", service="8", bucket="stagewright-3", prefix="8"),
        )
    )
    assert ((await run(where, command)).changed, (await run(where, command)).changed) == (True, False)
    assert where.proxy.sites["3"] == [
        SiteRoute("api.example.com", "/core", upstream="127.0.0.1:3000"),
        SiteRoute("www.example.com", "/", bucket="stagewright-3", prefix="8"),
    ]


async def test_routes_that_lead_nowhere_are_refused() -> None:
    nowhere = Route(domain="a.example.com", path="/", service="6", server="server-1")
    with pytest.raises(Terminal) as raised:
        await run(world(), make.routes(routes=(nowhere,)))
    assert raised.value.info.code == "routes.incomplete"


async def test_in_production_a_missing_zone_is_for_a_person_to_make() -> None:
    external = settings().model_copy(update={"profile": "production"})
    with pytest.raises(Terminal) as caught:
        await run(memory_world(external), make.configure(domains=("api.example.co.uk",)))
    assert (caught.value.info.code, caught.value.info.resource) == ("dns.zone_missing", "api.example.co.uk")


def test_the_zone_of_a_domain_is_the_longest_that_holds_it() -> None:
    zones = [Zone("Z1", "example.com"), Zone("Z2", "lab.example.com"), Zone("Z3", "ample.com")]
    assert longest_zone("api.lab.example.com", zones) == zones[1]
    assert longest_zone("lab.example.com", zones) == zones[1]
    assert longest_zone("xlab.example.com", zones) == zones[0]
    assert longest_zone("other.net", zones) is None


def test_the_type_of_a_record_follows_from_its_target() -> None:
    assert (record_type("192.0.2.1"), record_type("proxy.example.net")) == ("A", "CNAME")
    with pytest.raises(Terminal):
        record_type("2001:db8::1")

"""What is true of an order on the whole stack, asked of the real parts: all is there, and nothing twice."""

import asyncio
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import orjson
import psutil
import psycopg

from console.client import Console
from console.demo.proving import PROVERS
from console.demo.scene import Scene
from console.probes import aws, database, processes, proxy
from console.probes.vault import vault_reader
from orchestrator.domain.facts import PortLeased, PortOccupied, PortReleased
from stagewright.contracts.commands import ALL_COMMANDS
from stagewright.contracts.events import ALL_OUTCOMES
from stagewright.contracts.queries import EventList
from stagewright.errors import Retryable
from tests.support.whole_stack import WholeStack

T = TypeVar("T")
PATIENCE = 30.0
"""Seconds."""
OF_ONE_ENVIRONMENT = ("https", "commits", "secrets", "dns", "processes", "bucket")
"""The demo's proofs that do not mind other environments beside theirs."""
_COMMANDS = {kind.ce_type for kind in ALL_COMMANDS}
_OUTCOMES = {kind.ce_type for kind in ALL_OUTCOMES}


async def everything_holds(whole: WholeStack, scene: Scene) -> None:
    """Every proof of the environment holds, nothing of it is there twice, and the log is sound."""
    await facts_hold(scene)
    log_holds(whole)


async def facts_hold(scene: Scene) -> None:
    """Every proof of the environment holds, and nothing of it is there twice."""
    found = await asyncio.gather(*(_asked(PROVERS[name], scene) for name in OF_ONE_ENVIRONMENT))
    failing = [proof for proofs in found for proof in proofs if not proof.holds]
    assert not failing, "proofs that do not hold: " + "; ".join(map(str, failing))
    checks = (_dns_once, _databases_once, _processes_once, _routes_once, _bucket_once)
    await asyncio.gather(*(_asked(check, scene) for check in checks))


async def _asked(question: Callable[[Scene], Awaitable[T]], scene: Scene) -> T:
    """The answer of a part; asked again while it does not answer, on a machine that does much else."""
    give_up = time.monotonic() + PATIENCE
    while True:
        try:
            return await question(scene)
        except Retryable:
            if time.monotonic() > give_up:
                raise
            await asyncio.sleep(0.2)


async def _dns_once(scene: Scene) -> None:
    zones = await asyncio.to_thread(_zones, scene)
    for domain in scene.order.domains:
        (zone,) = [records for name, records in zones if domain.endswith(f".{name}")] or [None]
        assert zone is not None, f"no hosted zone, or several, for {domain}: {[name for name, _ in zones]}"
        own = [record for record in zone if record["Name"].rstrip(".") == domain]
        assert len(own) == 1, f"not one record of {domain}: {own}"
        assert len(own[0]["ResourceRecords"]) == 1, own


def _zones(scene: Scene) -> list[tuple[str, list[Any]]]:
    client = aws.route53(scene.settings.aws)
    return [
        (
            zone["Name"].rstrip("."),
            client.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"],
        )
        for zone in client.list_hosted_zones()["HostedZones"]
    ]


async def _databases_once(scene: Scene) -> None:
    prefix = f"env_{scene.order.environment}_".lower()
    found = await database.databases(scene.settings.database, scene.settings.vault)
    own = {name: owner for name, owner in found.items() if name.startswith(prefix)}
    roles = [name for name in await _roles(scene) if name.startswith(prefix)]
    assert len(own) == len(scene.apis), f"not one database for each API: {own}"
    assert own == {name: name for name in roles}, f"databases {own}, roles {roles}"


async def _roles(scene: Scene) -> list[str]:
    settings = scene.settings.database
    async with vault_reader(scene.settings.vault) as vault:
        password = await vault.value(settings.password_path)
    async with await psycopg.AsyncConnection.connect(
        host=settings.host, port=settings.port, user=settings.user, password=password, dbname="postgres"
    ) as connection:
        rows = await (await connection.execute("SELECT rolname FROM pg_roles")).fetchall()
        return [str(name) for (name,) in rows]


async def _processes_once(scene: Scene) -> None:
    prefix = f"{scene.order.environment}-"
    named = [name for name in await processes.processes(scene.server) if name.startswith(prefix)]
    assert sorted(named) == sorted(scene.program(each.spec.id) for each in scene.apis)
    for service in scene.apis:
        home = str(scene.home(service.spec.id).resolve())
        working = [
            process for process in psutil.process_iter() if _cwd(process).startswith(f"{home}/releases/")
        ]
        assert len(working) == 1, f"not one process works in {home}: {working}"


def _cwd(process: psutil.Process) -> str:
    try:
        return process.cwd()
    except psutil.Error:
        return ""


async def _routes_once(scene: Scene) -> None:
    running = await proxy.configuration(scene.settings.proxy)
    servers = running.get("apps", {}).get("http", {}).get("servers", {})
    routes = [route for server in servers.values() for route in server.get("routes", [])]
    hosts = Counter(host for route in routes for match in route["match"] for host in match["host"])
    assert {domain: hosts[domain] for domain in scene.order.domains} == dict.fromkeys(scene.order.domains, 1)


async def _bucket_once(scene: Scene) -> None:
    buckets = await asyncio.to_thread(lambda: aws.s3(scene.settings.aws).list_buckets()["Buckets"])
    own = [bucket["Name"] for bucket in buckets if bucket["Name"].startswith(scene.bucket)]
    assert own == [scene.bucket]


def log_holds(whole: WholeStack) -> None:
    """The whole log: no gap in any stream, one outcome for each command, no port leased twice."""
    rows = log_rows(whole)
    versions: dict[str, list[int]] = defaultdict(list)
    for stream, version, _, _ in rows:
        versions[stream].append(version)
    gaps = {name: seen for name, seen in versions.items() if seen != list(range(1, len(seen) + 1))}
    assert not gaps, f"streams with gaps: {gaps}"
    outcomes = Counter(body["command_id"] for _, _, kind, body in rows if kind in _OUTCOMES)
    assert set(outcomes.values()) <= {1}, f"commands with several outcomes: {outcomes.most_common(3)}"
    tenants = Counter(leases(rows).values())
    assert set(tenants.values()) <= {1}, f"services with several ports: {tenants.most_common(3)}"


Row = tuple[str, int, str, dict[str, Any]]


def leases(rows: Sequence[Row]) -> dict[tuple[str, int], tuple[str, str]]:
    """(server, port) to (environment, service), as the log leaves them; no port is leased while it is held.

    A port that somebody else took in the meantime is given up, and another one leased.
    """
    held: dict[tuple[str, int], tuple[str, str]] = {}
    for _, _, kind, body in rows:
        if kind == PortLeased.ce_type:
            place = (body["server"], body["port"])
            assert place not in held, f"{place} is leased twice: to {held[place]} and by {body}"
            held[place] = (body["environment"], body["service"])
        elif kind in {PortReleased.ce_type, PortOccupied.ce_type}:
            held.pop((body["server"], body["port"]), None)
    return held


def log_rows(whole: WholeStack) -> list[Row]:
    """(stream, version, type, body) of every stored event, in order, from the SQLite file itself."""
    file = whole.stack.layout.root / "events.sqlite"
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)
    try:
        rows = connection.execute(
            "SELECT originator_id, originator_version, topic, state FROM stored_events ORDER BY rowid"
        ).fetchall()
    finally:
        connection.close()
    return [(stream, version, kind, orjson.loads(state)["body"]) for stream, version, kind, state in rows]


async def answered_once(console: Console, order_id: str) -> EventList:
    """Every command of an order has one outcome, and the log tells it once; returns what it tells."""
    found = await console.order_events(order_id)
    commands = Counter(each.body["command_id"] for each in found.events if each.type in _COMMANDS)
    outcomes = Counter(each.body["command_id"] for each in found.events if each.type in _OUTCOMES)
    assert set(commands.values()) == {1}, f"commands stored twice: {commands.most_common(3)}"
    assert outcomes == commands, f"commands {commands}, outcomes {outcomes}"
    return found

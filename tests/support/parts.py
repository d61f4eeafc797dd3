"""Single real servers for tests, from the same definitions as the one-machine stack's.

Each has a context manager (a fresh server in a directory) and a session-scoped fixture (one for the whole
run). All listen on free loopback ports and end with the test run, however it ends.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from embedded import binaries, credentials, ini, ports, running
from embedded.connection import (
    aws_settings,
    database_settings,
    proxy_settings,
    server_settings,
    vault_settings,
)
from embedded.layout import Layout
from embedded.parts import aws, caddy, nats, openbao, postgres, s3, server
from embedded.program import Program
from stagewright.settings import (
    AwsSettings,
    DatabaseServerSettings,
    NatsSettings,
    ProxySettings,
    ServerSettings,
    VaultSettings,
)
from tests.support.eventually import eventually_sync


@dataclass(frozen=True)
class NatsServer:
    """A bus. `credentials` holds `<user>.nk` for each user, None where it asks nobody who they are."""

    url: str
    credentials: Path | None
    pid: int
    layout: Layout

    @property
    def settings(self) -> NatsSettings:
        """As a service's settings."""
        return NatsSettings(url=self.url, credentials=self.credentials)


@dataclass(frozen=True)
class OpenBao:
    """A vault with the executor's role; `root_token` is for looking from outside, services never have one."""

    settings: VaultSettings
    root_token: str
    audit_log: Path


@dataclass(frozen=True)
class Postgres:
    """A database server; `dsn` holds the superuser's password."""

    settings: DatabaseServerSettings
    password: str
    dsn: str


@contextmanager
def fresh_layout(directory: Path | None = None) -> Iterator[Layout]:
    """A layout in a directory (a new one without), with a short private directory for its sockets."""
    root = directory or Path(tempfile.mkdtemp(prefix="sw-test-"))
    run = Path(tempfile.mkdtemp(prefix="sw-run-"))
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        yield Layout(root, run)
    finally:
        shutil.rmtree(run, ignore_errors=True)
        if directory is None:
            shutil.rmtree(root, ignore_errors=True)


@contextmanager
def run_nats(layout: Layout, *, users: bool = False) -> Iterator[NatsServer]:
    """A bus in this layout; started again in the same layout it has everything it had."""
    chosen = _ports(layout, nats.PORTS)
    keys = credentials.ensure(layout).nkeys if users else None
    with _running(layout, nats.program(layout, chosen, keys)) as process:
        url = f"nats://127.0.0.1:{chosen['nats']}"
        yield NatsServer(url, layout.credentials if users else None, process.pid, layout)


@contextmanager
def run_openbao(layout: Layout) -> Iterator[OpenBao]:
    """A vault with a KV v2 mount `stagewright` and the executor's AppRole."""
    made = _with_postgres_password(layout)
    token = _root_token(layout)
    chosen = _ports(layout, openbao.PORTS)
    extra = (openbao.request("token", "auth/token/create-orphan", id=token, policies=["root"]),)
    with _running(layout, openbao.program(layout, chosen, made, extra)):
        yield OpenBao(vault_settings(chosen, made), token, layout.part(openbao.NAME) / "audit.log")


@contextmanager
def run_caddy(layout: Layout) -> Iterator[ProxySettings]:
    """A proxy without a site."""
    before = ports.load(layout.ports)
    chosen = _ports(layout, (*caddy.PORTS, *s3.PORTS))
    with _running(layout, caddy.program(layout, chosen, before)):
        yield proxy_settings(layout, chosen)


@contextmanager
def run_moto(layout: Layout) -> Iterator[AwsSettings]:
    """Route 53 and S3 by moto, both at one address."""
    made = credentials.ensure(layout)
    chosen = _ports(layout, aws.PORTS)
    with _running(layout, aws.program(layout, chosen)):
        yield aws_settings({**chosen, "s3": chosen["aws"]}, made)


@contextmanager
def run_seaweed(layout: Layout) -> Iterator[AwsSettings]:
    """S3 by SeaweedFS; nothing answers for Route 53."""
    made = credentials.ensure(layout)
    chosen = _ports(layout, s3.PORTS)
    with _running(layout, s3.program(layout, chosen, made)):
        yield aws_settings({**chosen, "aws": chosen["s3"]}, made)


@contextmanager
def run_postgres(layout: Layout) -> Iterator[Postgres]:
    """A database server."""
    made = _with_postgres_password(layout)
    password = made.postgres_password_file.read_text()
    chosen = _ports(layout, postgres.PORTS)
    program = postgres.program(layout, chosen, made, root=os.getuid() == 0)
    with _running(layout, program):
        settings = database_settings(chosen)
        dsn = f"postgresql://{settings.user}:{password}@{settings.host}:{settings.port}/postgres"
        yield Postgres(settings, password, dsn)


@contextmanager
def run_supervisord(layout: Layout) -> Iterator[ServerSettings]:
    """The supervisor of a server that services are deployed on."""
    with _running(layout, server.program(layout)):
        yield server_settings(layout, binaries.node_bin())


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsServer]:
    """A bus that asks nobody who they are."""
    with fresh_layout() as layout, run_nats(layout) as found:
        yield found


@pytest.fixture(scope="session")
def nats_users_server() -> Iterator[NatsServer]:
    """A bus with the users and permissions of `stagewright.messaging.topology.USERS`."""
    with fresh_layout() as layout, run_nats(layout, users=True) as found:
        yield found


# The names that tests ask for are those of the servers.
def _fixture(name: str, run: object) -> object:
    @pytest.fixture(scope="session", name=name)
    def server_fixture() -> Iterator[object]:
        with fresh_layout() as layout, run(layout) as found:  # type: ignore[operator]
            yield found

    return server_fixture


openbao_fixture = _fixture("openbao", run_openbao)
caddy_fixture = _fixture("caddy", run_caddy)
moto_fixture = _fixture("moto", run_moto)
seaweed_fixture = _fixture("seaweed_s3", run_seaweed)
postgres_fixture = _fixture("postgres", run_postgres)
supervisord_fixture = _fixture("supervisord", run_supervisord)


def _running(layout: Layout, program: Program):
    return running.running(program, layout.logs / f"{program.name}.log")


def _ports(layout: Layout, names: tuple[str, ...]) -> dict[str, int]:
    kept = ports.load(layout.ports)
    chosen = ports.choose(names, kept)
    credentials.write_private(layout.ports, ports.dump({**kept, **chosen}))
    return chosen


def _with_postgres_password(layout: Layout) -> credentials.Credentials:
    made = credentials.ensure(layout)
    credentials.ensure_postgres_password(made)
    return made


def _root_token(layout: Layout) -> str:
    path = layout.credentials / "root-token-of-the-test"
    if not path.exists():
        credentials.write_private(path, f"test-{uuid4().hex}")
    return path.read_text()


def kill(pid: int) -> None:
    """SIGKILL."""
    os.kill(pid, signal.SIGKILL)


def assert_gone(*pids: int, timeout: float = 10) -> None:
    """All of these processes end within the time."""
    eventually_sync(
        lambda: [pid for pid in pids if _alive(pid)], timeout=timeout, until=lambda left: left == []
    )


def supervisor_pid(settings: ServerSettings) -> int:
    """The supervisor's own process."""
    return int(_supervisorctl(settings, "pid"))


def supervised(settings: ServerSettings, name: str, argv: list[str]) -> int:
    """Have the supervisor run a program, as a deployment does; returns its process."""
    section = {f"program:{name}": {"command": ini.command(argv), "autorestart": "true", "startsecs": "0"}}
    (settings.home / "conf.d" / f"{name}.ini").write_text(ini.render(section))
    _supervisorctl(settings, "update")
    return supervised_pid(settings, name)


def _supervisorctl(settings: ServerSettings, *arguments: str) -> str:
    command = [sys.executable, "-m", "supervisor.supervisorctl", "-c", settings.supervisor or "", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout.strip()


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def supervised_pid(settings: ServerSettings, name: str) -> int:
    """The process of a supervised program, as soon as it has one."""
    return eventually_sync(lambda: int(_supervisorctl(settings, "pid", name)))


@contextmanager
def listening(port: int) -> Iterator[None]:
    """Somebody else listens on this loopback port."""
    with socket.create_server(("127.0.0.1", port)):
        yield

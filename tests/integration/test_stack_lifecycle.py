"""The whole stack: start, look, fault, stop, start again with everything it had."""

import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import hvac
import nats
import psycopg
import pytest

from embedded.layout import LOOPBACK
from embedded.progress import Progress
from embedded.stack import Stack, running
from stagewright.errors import Terminal
from stagewright.messaging.connecting import connect
from stagewright.messaging.topology import ORCHESTRATOR
from stagewright.settings import Settings
from tests.support import parts, stacks
from tests.support.eventually import eventually_sync

PARTS = ["nats", "openbao", "postgres", "aws", "s3", "caddy", "server-1"]
LIGHT = ("nats", "openbao", "server-1")


def vault(settings: Settings) -> hvac.Client:
    client = hvac.Client(settings.vault.address)
    client.auth.approle.login(settings.vault.role_id, settings.vault.secret_id_file.read_text())
    return client


def database(settings: Settings) -> psycopg.Connection:
    kv = vault(settings).secrets.kv.v2
    path = {"path": "platform/postgres", "mount_point": "stagewright"}
    found = kv.read_secret_version(**path, raise_on_deleted_version=True)["data"]["data"]
    server = {"host": LOOPBACK, "port": settings.database.port, "user": settings.database.user}
    return psycopg.connect(**server, password=found["value"], dbname="postgres")


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[Stack]:
    """Every part below a closed directory, none of our services."""
    closed = tmp_path_factory.mktemp("closed")
    closed.chmod(0o700)
    with running(stacks.configuration(closed / "data")) as found:
        yield found


async def test_it_restarts_with_everything_it_had(tmp_path):
    stack = Stack(stacks.configuration(tmp_path / "data"))
    with running(stack.configuration):
        settings = stack.settings()
        await _leave_traces(settings)
        pid = parts.supervised(settings.servers[0], "sleeper", ["sleep", "1000"])
    parts.assert_gone(pid)
    began = time.monotonic()
    with running(stack.configuration):
        assert time.monotonic() - began < 20, "a warm start takes some 3 s where nothing else runs"
        assert stack.settings() == settings
        await _assert_traces(settings)
        assert parts.supervised_pid(settings.servers[0], "sleeper") not in {0, pid}
    assert not stack.running()


async def _leave_traces(settings: Settings) -> None:
    bus = await connect(settings.nats.url, ORCHESTRATOR, seed_file=settings.nats.seed("orchestrator"))
    await bus.jetstream().add_stream(name="COMMANDS", subjects=["commands.*.*.*"])
    await bus.jetstream().publish("commands.a.b.c", b"kept")
    await bus.close()
    secret = {"path": "environments/3/kept", "secret": {"value": "x"}, "mount_point": "stagewright"}
    vault(settings).secrets.kv.v2.create_or_update_secret(**secret)
    with database(settings) as connection:
        connection.execute("create table kept (n int)")


async def _assert_traces(settings: Settings) -> None:
    bus = await connect(settings.nats.url, ORCHESTRATOR, seed_file=settings.nats.seed("orchestrator"))
    assert (await bus.jetstream().get_msg("COMMANDS", 1)).data == b"kept"
    await bus.close()
    kv = vault(settings).secrets.kv.v2
    path = "environments/3/kept"
    assert kv.read_secret_version(path, mount_point="stagewright", raise_on_deleted_version=True)
    with database(settings) as connection:
        assert connection.execute("select count(*) from kept").fetchone() == (0,)


def test_everything_is_private_and_no_superuser_secret_stays(stack: Stack):
    for directory in (stack.layout.root, stack.layout.run, stack.layout.credentials):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    kept = sorted(path.name for path in stack.layout.credentials.iterdir())
    assert "postgres.password" not in kept
    assert {stat.S_IMODE((stack.layout.credentials / name).stat().st_mode) for name in kept} == {0o600}
    password = database(stack.settings()).info.password
    found = [path for path in stack.layout.root.rglob("*") if _holds(path, password)]
    assert found == []


def _holds(path, secret: str) -> bool:
    return path.is_file() and not path.is_symlink() and secret.encode() in path.read_bytes()


def test_two_stacks_run_side_by_side(tmp_path):
    first, second = (
        Stack(stacks.configuration(tmp_path / name, parts=LIGHT)) for name in ("first", "second")
    )
    with running(first.configuration), running(second.configuration):
        for stack in (first, second):
            assert [part.name for part in stack.status()] == list(LIGHT)
            assert all(part.ok for part in stack.status())
        assert first.settings().nats.url != second.settings().nats.url
        kv = vault(first.settings()).secrets.kv.v2
        kv.create_or_update_secret("environments/1/only-first", {"value": "x"}, mount_point="stagewright")
        with pytest.raises(hvac.exceptions.InvalidPath):
            vault(second.settings()).secrets.kv.v2.read_secret_version(
                "environments/1/only-first", mount_point="stagewright", raise_on_deleted_version=True
            )
        first.stop()
        assert second.running()
        assert httpx.get(f"{second.settings().vault.address}/v1/sys/health").status_code == 200


def test_it_is_found_by_who_has_another_runtime_directory(stack: Stack, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert Stack(stack.configuration).supervision.pid() == stack.supervision.pid()


def test_a_second_start_on_the_same_directory_is_refused(stack: Stack):
    pid = stack.supervision.pid()
    with pytest.raises(Terminal, match=r"stack\.already_running"):
        Stack(stack.configuration).start()
    assert stack.supervision.pid() == pid


def test_a_part_that_cannot_start_fails_the_start_with_its_log(tmp_path):
    said: list[Progress] = []
    stack = Stack(stacks.configuration(tmp_path / "data", "no-such-service", parts=("nats",)))
    with pytest.raises(Terminal) as raised:
        stack.start(said.append)
    assert raised.value.info.code == "stack.part_failed"
    assert raised.value.info.resource == "no-such-service"
    assert "No module named" in raised.value.info.reason
    assert not stack.running()
    assert said[-1].what == "stopped"


async def test_single_parts_stop_start_and_die(stack: Stack):
    before = stack.pid("nats")
    stack.restart_part("nats")
    assert stack.pid("nats") not in {0, before}
    stack.stop_part("openbao")
    assert stack.pid("openbao") == 0
    assert [part.name for part in stack.status() if not part.ok] == ["openbao"]
    stack.start_part("openbao")
    assert vault(stack.settings()).is_authenticated()
    killed = stack.kill_part("postgres")
    eventually_sync(lambda: stack.pid("postgres") not in {0, killed})
    stack.await_part("postgres")
    with pytest.raises(Terminal, match=r"stack\.no_such_part"):
        stack.pid("nothing")


def test_up_says_who_dies_and_comes_back_and_ctrl_c_stops_all(tmp_path):
    with stacks.foreground(tmp_path / "data") as up:
        killed = up.stack.kill_part("executor")
        died = up.says(part="executor", what="died")
        assert str(killed) in died["detail"]
        up.says(part="executor", what="restarted")
        up.stack.await_part("executor")
        family = up.family()
        assert len(family) > len(PARTS)
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(stacks.UP_TIMEOUT) == 0
        parts.assert_gone(*family, timeout=0)
    assert up.said[-1]["what"] == "stopped"


def test_nothing_survives_the_sigkill_of_up(tmp_path):
    with stacks.foreground(tmp_path / "data") as up:
        service = parts.supervised(up.stack.settings().servers[0], "sleeper", ["sleep", "1000"])
        family = up.family()
        assert service in family
        up.process.kill()
        parts.assert_gone(*family, timeout=40)


def test_nothing_survives_the_sigkill_of_the_supervisor(tmp_path):
    with stacks.foreground(tmp_path / "data") as up:
        service = parts.supervised(up.stack.settings().servers[0], "sleeper", ["sleep", "1000"])
        family = up.family()
        parts.kill(up.stack.supervision.pid())
        parts.assert_gone(*family, service)
        assert up.process.wait(20) == 1


def test_detached_commands_and_their_exit_codes(tmp_path):
    data = tmp_path / "data"
    assert stacks.call(data, "status").returncode == 4
    assert stacks.call(data, "down").returncode == 4
    assert stacks.call(data, "up", "--no-such-option").returncode == 2
    up = stacks.call(data, "up", "--detach")
    try:
        assert (up.returncode, up.stderr) == (0, "")
        assert all(f" {name} " in up.stdout for name in (*PARTS, "order-intake", "orchestrator", "executor"))
        again = stacks.call(data, "up", "--detach")
        assert again.returncode == 0
        assert "The stack runs" in again.stdout
        assert stacks.call(data, "status").returncode == 0
        Stack(stacks.configuration(data)).stop_part("aws")
        broken = stacks.call(data, "status", "-o", "json")
        assert broken.returncode == 1
        assert '"state": "STOPPED"' in broken.stdout
    finally:
        down = stacks.call(data, "down")
    assert down.returncode == 0
    assert stacks.call(data, "status").returncode == 4
    assert not Stack(stacks.configuration(data)).layout.run.exists()


def test_a_port_that_somebody_took_is_chosen_again(tmp_path):
    stack = Stack(stacks.configuration(tmp_path / "data", parts=LIGHT))
    with running(stack.configuration):
        before = stack.settings()
    port = int(before.nats.url.rpartition(":")[2])
    with parts.listening(port), running(stack.configuration):
        after = stack.settings()
        assert after.nats.url != before.nats.url
        assert after.vault.address == before.vault.address


@pytest.mark.root
def test_roots_stack_runs_the_database_unprivileged_below_a_closed_directory(stack: Stack):
    owners = {part.name: Path(f"/proc/{part.pid}").stat().st_uid for part in stack.status()}
    assert owners.pop("postgres") != 0
    assert set(owners.values()) == {0}


async def test_nobody_without_a_key_gets_onto_the_bus(stack: Stack):
    with pytest.raises(nats.errors.Error, match=r"(?i)authorization"):
        await nats.connect(stack.settings().nats.url, allow_reconnect=False, max_reconnect_attempts=0)

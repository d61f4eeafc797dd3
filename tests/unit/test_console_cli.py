"""What the command line does before it speaks to anybody."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from console.cli.main import COMMANDS, global_options_first
from console.client import Unreachable, connected
from console.demo.proofs.proof import Proof
from console.demo.proving import unchanged
from console.doctor.settings import masked, resolved
from stagewright.settings import NatsSettings, Settings

STAGEWRIGHT = Path(sys.executable).parent / "stagewright"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["orders", "list", "--data-dir", "x"], ["--data-dir", "x", "orders", "list"]),
        (["orders", "--data-dir=x", "list"], ["--data-dir=x", "orders", "list"]),
        (["submit", "--", "--data-dir"], ["submit", "--", "--data-dir"]),
        (["up", "--data-dir"], ["--data-dir", "up"]),
    ],
)
def test_the_data_directory_may_stand_anywhere(given: list[str], wanted: list[str]) -> None:
    assert global_options_first(given) == wanted


def test_help_lists_every_command_and_is_quick() -> None:
    best = 9.0
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run([STAGEWRIGHT, "--help"], capture_output=True, text=True, check=True)
        best = min(best, time.perf_counter() - began)
    assert all(name in done.stdout for name in COMMANDS)
    assert best < 0.4


@pytest.mark.parametrize(
    "command",
    [
        "plan",
        "submit",
        "orders list",
        "orders show",
        "orders events",
        "orders approve",
        "orders reject",
        "orders cancel",
        "orders pause",
        "orders resume",
        "orders retry",
        "rollback",
        "environments show",
        "environments drop",
        "environments redeploy",
        "environments maintenance",
        "logs",
        "up",
        "down",
        "status",
        "demo",
        "doctor",
    ],
)
def test_every_command_has_help_with_examples_and_speaks_json(command: str) -> None:
    done = subprocess.run(
        [STAGEWRIGHT, *command.split(), "--help"], capture_output=True, text=True, check=True
    )
    assert "Examples:" in done.stdout
    assert "--output" in done.stdout


def test_an_unknown_command_is_usage() -> None:
    done = subprocess.run([STAGEWRIGHT, "ordes"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "orders" in done.stderr


def test_settings_name_their_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stagewright.toml").write_text('[nats]\nurl = "nats://here:1"\n')
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "connection.toml").write_text(
        '[[servers]]\nname = "server-1"\n[git.mirrors]\n"https://github.com/a/b" = "file:///srv/b.git"\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STAGEWRIGHT_DATA_DIR", "data")
    monkeypatch.setenv("STAGEWRIGHT_VAULT__ADDRESS", "http://there")
    found = {each.name: each.source for each in resolved(Settings())}
    assert found["nats.url"] == "stagewright.toml"
    assert found["servers[0].name"] == "data/connection.toml"
    assert found["git.mirrors.https://github.com/a/b"] == "data/connection.toml"
    assert found["vault.address"] == "STAGEWRIGHT_VAULT__ADDRESS"
    assert found["proxy.https_port"] == "default"


async def test_a_bus_that_is_away_is_named_without_its_password() -> None:
    settings = Settings(nats=NatsSettings(url="nats://me:hunter2@127.0.0.1:1"))
    with pytest.raises(Unreachable) as raised:
        async with connected(settings):
            raise AssertionError("nobody listens there")
    assert raised.value.info.resource == "nats://me:•••@127.0.0.1:1"
    assert "hunter2" not in str(raised.value)


def test_secrets_are_masked() -> None:
    assert "hunter2" not in masked("event_store", "postgresql://me:hunter2@db/stagewright")
    assert "postgresql://me:" in masked("event_store", "postgresql://me:hunter2@db/stagewright")
    assert "4711" not in masked("vault.role_id", "4711")
    assert masked("nats.url", "nats://127.0.0.1:4222") == "nats://127.0.0.1:4222"
    mirror = masked("git.mirrors.https://github.com/", "https://ghp_token@git.internal/mirror/")
    assert mirror == "https://•••@git.internal/mirror/"
    assert masked("git.mirrors.x", "ssh://git@git.internal/mirror/") == "ssh://git@git.internal/mirror/"


def test_a_change_between_two_proofs_is_named() -> None:
    before = [Proof("process", "3-6", True, "running, pid 1"), Proof("dns", "a", True, "A 127.0.0.1")]
    after = [Proof("process", "3-6", True, "running, pid 2"), Proof("dns", "a", True, "A 127.0.0.1")]
    assert unchanged(before, before).holds
    assert not unchanged(before, after).holds
    assert "process 3-6" in unchanged(before, after).detail
    assert not unchanged(before, [*before, Proof("dns", "b", True, "new")]).holds

"""A deployment that fails never leaves the version before down: files, links and a supervisor's answers."""

import errno
import io
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

STEP = runpy.run_path(str(Path(__file__).parents[2] / "playbooks" / "action_plugins" / "step.py"))
OLD, NEW = "a" * 40, "b" * 40
SETTINGS = {".env": "TOKEN=old\n", ".discovery.json": "[]\n"}


class Supervised:
    """A supervisor that starts what it is told to; `falls` says whether it stays up."""

    def __init__(self, programs: Path, falls: Callable[["Supervised"], bool]) -> None:
        self.programs = programs
        self.current = programs.parent / "environments/e/s/current"
        self.running: tuple[str, str, str] | None = None
        self.calls: list[str] = []
        self._falls = falls

    def state(self, _name: str) -> str | None:
        return "FATAL" if self.running and self._falls(self) else self.running and "RUNNING"

    def remove(self, _name: str) -> None:
        self.calls.append("remove")
        self.running = None

    def add(self, name: str) -> None:
        self.calls.append("add")
        program = (self.programs / f"{name}.ini").read_text()
        self.running = program, self.current.resolve().name, (self.current / ".env").read_text()


class Server:
    """A home in which the old release runs."""

    def __init__(self, home: Path, process: ModuleType, files: ModuleType) -> None:
        self.home, self.process, self.files = home, process, files
        self.root = home / "environments/e/s"
        for commit in (OLD, NEW):
            release = self.root / "releases" / commit
            release.mkdir(parents=True)
            (release / "package.json").write_text('{"main": "server.js"}')
            (release / "server.js").touch()
            for name, text in SETTINGS.items():
                (release / name).write_text(text)
        (self.root / "current").symlink_to(Path("releases") / OLD)
        (home / "conf.d").mkdir()
        (home / "conf.d/e-s.ini").write_text("the old program")
        self.supervisor = Supervised(
            home / "conf.d", lambda one: bool(one.running and self.falls(one.running))
        )
        self.supervisor.running = self.before = ("the old program", OLD, SETTINGS[".env"])

    def falls(self, running: tuple[str, str, str]) -> bool:
        _, commit, env = running
        return commit == NEW or "bad" in env

    def write(self, commit: str, token: str) -> None:
        deployment = {
            "environment": "e",
            "service": {"id": "s", "path": "/", "type": "node"},
            "allocation": {},
            "discovery": [{"token": token}],
        }
        self.files.ensure({**self.place(commit), "deployment": deployment, "secrets": {"TOKEN": token}})

    def deploy(self, commit: str) -> Any:
        more = {"type": "node", "address": "127.0.0.1", "port": 1, "supervisor": "x", "node_bin": None}
        return self.process.ensure({**self.place(commit), **more, "launcher": "x", "restart": False})

    def place(self, commit: str) -> dict[str, Any]:
        return {
            "home": str(self.home),
            "environment_id": "e",
            "service": "s",
            "block": "api",
            "commit": commit,
        }

    def text(self, name: str) -> str:
        return (self.root / "releases" / OLD / name).read_text()

    def set_aside(self) -> list[str]:
        return sorted(path.name for path in self.root.rglob("*.before"))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    process, files = STEP["load"]("service_process"), STEP["load"]("release_files")
    made = Server(tmp_path, process, files)
    monkeypatch.setattr(process, "supervisor_of", lambda _configuration: made.supervisor)
    monkeypatch.setattr(process.starting, "node_of", lambda _bin: Path("/usr/bin/node"))
    monkeypatch.setattr(process, "SETTLE_S", 0.0)
    return made


def test_what_cannot_be_written_stops_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    write = server.process.write

    def full(path: Path, text: str, mode: int) -> bool:
        if path.suffix == ".ini" and text != path.read_text():
            raise OSError(errno.ENOSPC, "No space left on device")
        return bool(write(path, text, mode))

    monkeypatch.setattr(server.process, "write", full)
    with pytest.raises(OSError, match="No space"):
        server.deploy(NEW)
    assert server.supervisor.calls == []
    assert server.supervisor.running == server.before
    assert (server.root / "current").resolve().name == OLD


def test_the_version_before_runs_again_after_one_that_falls(server: Server) -> None:
    with pytest.raises(Exception, match="does not stay up"):
        server.deploy(NEW)
    assert server.supervisor.running == server.before


def test_an_attempt_that_was_cut_off_is_not_what_to_go_back_to(server: Server) -> None:
    server.write(OLD, "good")
    server.deploy(OLD)
    before = server.supervisor.running
    (server.root / "current").unlink()
    (server.root / "current").symlink_to(Path("releases") / NEW)
    (server.home / "conf.d/e-s.ini").write_text("the new program")
    (server.root / ".running").unlink()
    server.supervisor.running = None
    with pytest.raises(Exception, match="does not stay up"):
        server.deploy(NEW)
    assert server.supervisor.running == before


def test_a_foreign_listener_leaves_the_version_before_running(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.process.socket, "create_connection", lambda *_arguments: io.BytesIO())
    with pytest.raises(Exception, match="Another process listens"):
        server.deploy(NEW)
    assert server.supervisor.running == server.before


def test_any_error_after_the_stop_starts_the_version_before(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.process.Process, "health", lambda _process: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        server.deploy(NEW)
    assert server.supervisor.running == server.before


def test_the_same_release_gets_the_settings_back_that_it_ran_with(server: Server) -> None:
    discovery = SETTINGS[".discovery.json"]
    server.write(OLD, "bad first")
    assert server.set_aside() == [".discovery.json.before", ".env.before"]
    aside = server.root / "releases" / OLD / ".env.before"
    assert aside.stat().st_mode & 0o777 == 0o600
    server.write(OLD, "bad second")  # the first one's attempt ended without a word
    with pytest.raises(Exception, match="does not stay up"):
        server.deploy(OLD)
    assert (server.text(".env"), server.text(".discovery.json")) == (SETTINGS[".env"], discovery)
    assert server.supervisor.running == server.before
    assert server.set_aside() == []


def test_settings_of_before_go_once_the_new_ones_run(server: Server) -> None:
    server.write(OLD, "good")
    assert ".env.before" in server.set_aside()
    assert server.deploy(OLD)["changed"]
    assert server.set_aside() == []
    assert "TOKEN='good'" in server.text(".env") or "TOKEN=good" in server.text(".env")


def test_that_the_version_before_does_not_come_back_is_said(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = sys.modules["ansible.module_utils.stagewright.commands"].Failure
    add = server.supervisor.add

    def refuse(name: str) -> None:
        if len(server.supervisor.calls) > 2:
            raise failure("supervisord is gone", "")
        add(name)

    monkeypatch.setattr(server.supervisor, "add", refuse)
    with pytest.raises(failure) as caught:
        server.deploy(NEW)
    assert "does not stay up" in caught.value.answer["msg"]
    assert "supervisord is gone" in caught.value.answer["msg"]

"""What the builders of the stack's parts return: values, compared as values."""

import configparser
import json
import shlex
from pathlib import Path

import pytest

from embedded import doctor, ini, ports, supervision
from embedded.aws_endpoint import Recorded
from embedded.layout import Layout, layout, make_private
from embedded.parts import caddy, nats, server
from embedded.program import Program
from embedded.progress import Progress
from embedded.supervision import Supervised
from embedded.watching import Watcher
from stagewright.errors import Terminal
from stagewright.messaging.topology import INTAKE, USERS

HERE = Layout(Path("/data dir/50%"), Path("/run/x"))
PORTS = {"nats": 4222, "nats-monitor": 8222, "https": 20443, "http": 20080}


def test_the_bus_syncs_always_and_gives_each_user_its_own_subjects():
    config = nats.configuration(HERE, PORTS, {user.name: f"U{user.name}" for user in USERS})
    assert config["jetstream"]["sync_interval"] == "always"
    intake = config["authorization"]["users"][0]
    assert intake["nkey"] == "Uintake"
    assert intake["permissions"]["publish"] == {"allow": list(INTAKE.publish)}
    assert intake["permissions"]["allow_responses"] == {"max": 1, "expires": "1m"}
    assert "authorization" not in nats.configuration(HERE, PORTS, None)


def test_a_saved_proxy_configuration_moves_to_new_ports_and_keeps_its_routes():
    saved = {
        "admin": {"listen": "unix//old.sock"},
        "apps": {
            "http": {
                "https_port": 1,
                "servers": {"s": {"listen": ["127.0.0.1:1"], "routes": [{"dial": "127.0.0.1:9"}]}},
            },
            "tls": {"kept": True},
        },
    }
    now = PORTS | {"s3": 20009}
    moved = caddy.rebased(saved, HERE, now, {"https": 1, "s3": 9})
    assert moved["admin"] == {"listen": "unix//run/x/caddy.sock|0600"}
    assert moved["apps"]["http"]["https_port"] == 20443
    assert moved["apps"]["http"]["servers"]["s"] == {
        "listen": ["127.0.0.1:20443"],
        "routes": [{"dial": "127.0.0.1:20009"}],
    }
    assert moved["apps"]["tls"] == {"kept": True}


def test_the_supervisors_file_gives_back_what_went_in():
    program = Program(
        name="a",
        argv=("/bin/x", "two words", "50%"),
        ready=lambda: True,
        endpoint="",
        environment={"KEY": 'say "50%", twice'},
    )
    text = supervision.configuration(HERE, [program])
    parsed = configparser.ConfigParser()
    parsed.read_string(text)
    section = parsed["program:a"]
    assert shlex.split(section["command"]) == list(program.argv)
    assert "KEY='say \"50%\", twice'" in section["environment"]
    assert section["autostart"] == "false"
    assert parsed["group:parts"]["programs"] == "a"


def test_a_variable_that_the_file_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="KEY"):
        ini.environment({"KEY": "both \" and '"})
    with pytest.raises(ValueError, match="KEY"):
        ini.environment({"KEY": "line\nbreak"})


def test_the_servers_supervisor_takes_every_file_of_a_deployment(tmp_path):
    found = server.program(Layout(tmp_path, tmp_path))
    parsed = configparser.RawConfigParser()
    parsed.read_string(found.files[server.configuration_file(Layout(tmp_path, tmp_path))])
    assert parsed["include"]["files"] == "conf.d/*.ini"
    assert parsed["supervisorctl"]["serverurl"] == f"unix://{tmp_path}/server-1.sock"


def test_ports_are_kept_and_distinct():
    first = ports.choose(["a", "b", "c"])
    assert len(set(first.values())) == 3
    assert all(port in ports.RANGE for port in first.values())
    assert ports.choose(["c", "b", "a"], first) == first


def test_sockets_stay_short_however_deep_the_data_lies(tmp_path):
    deep = tmp_path.joinpath(*["a-rather-long-directory-name"] * 8)
    assert len(str(layout(deep).socket("supervisor"))) <= 107
    assert layout(deep).run != layout(tmp_path).run


def test_a_directory_of_others_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(Terminal, match=r"stack\.directory_not_private"):
        make_private(tmp_path / "link")


def _part(pid: int, state: str = "RUNNING", status: int = 0) -> Supervised:
    return Supervised("bus", state, pid, 1.0, status, "")


@pytest.mark.parametrize(
    ("looks", "said"),
    [
        ([_part(1), _part(1)], []),
        ([_part(1), _part(2, status=-1)], ["died", "restarted"]),
        ([_part(1), _part(0, "EXITED"), _part(0, "BACKOFF"), _part(3)], ["died", "restarted"]),
        ([_part(1), _part(0, "FATAL"), _part(0, "FATAL")], ["died", "failed"]),
        ([_part(1), _part(0, "FATAL"), _part(4), _part(4)], ["died", "failed", "restarted"]),
    ],
)
def test_the_watcher_says_each_change_once(looks: list[Supervised], said: list[str]):
    heard: list[Progress] = []
    watcher = Watcher(heard.append)
    for look in looks:
        watcher.look({look.name: look})
    assert [progress.what for progress in heard] == said


@pytest.mark.parametrize(
    ("state", "status", "said"),
    [
        ("RUNNING", 0, "process 1 ended"),
        ("BACKOFF", -1, "process 1 ended (killed by a signal)"),
        ("EXITED", 3, "process 1 ended (status 3)"),
    ],
)
def test_an_end_is_told_as_far_as_it_is_known(state: str, status: int, said: str):
    heard: list[Progress] = []
    watcher = Watcher(heard.append)
    for look in (_part(1), _part(2, state, status)):
        watcher.look({look.name: look})
    assert heard[0].detail == said


def test_a_recording_that_was_cut_short_loses_only_its_last_line(tmp_path):
    applied = []

    def app(environ, start_response):
        applied.append(environ["PATH_INFO"])
        start_response("200 OK", [])
        return [b""]

    recording = tmp_path / "recording"
    entry = {"method": "POST", "path": "/one", "query": "", "headers": {}, "body": ""}
    line = json.dumps(entry).encode()
    recording.write_bytes(line + b"\n" + line[:20])
    Recorded(app, recording).replay()
    assert applied == ["/one"]
    assert recording.read_bytes() == line + b"\n"


def test_the_doctor_finds_everything_that_the_lock_installs():
    found = {finding.name: finding for finding in doctor.checks()}
    assert all(finding.ok or finding.remedy for finding in found.values())
    for name in ("nats-server", "openbao", "caddy", "seaweedfs", "postgresql", "node", "moto", "supervisord"):
        assert found[name].ok, found[name]

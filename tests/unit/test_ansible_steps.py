"""What the playbooks' modules decide, without a server: names, files, commands, words."""

import json
import os
import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.adapters import ansible_child, ansible_directory
from executor.operators.ports import Playbook
from stagewright.settings import ServerSettings

PLAYBOOKS = Path(__file__).parents[2] / "playbooks"
LAUNCH = runpy.run_path(str(PLAYBOOKS / "roles" / "api" / "files" / "launch.py"))
STEP = runpy.run_path(str(PLAYBOOKS / "action_plugins" / "step.py"))
COMMIT = "0123456789" * 4


def load(name: str) -> ModuleType:
    module: ModuleType = STEP["load"](name)
    return module


def shared(name: str) -> Any:
    load("release_source")
    return sys.modules[f"ansible.module_utils.stagewright.{name}"]


@pytest.fixture(autouse=True, scope="module")
def _modules() -> None:
    for name in ("service_process", "front_build"):
        load(name)


TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=60)


@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,10}", fullmatch=True), TEXT, max_size=4))
def test_a_launched_service_gets_exactly_the_values_that_were_written(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, str]
) -> None:
    file = tmp_path_factory.mktemp("env") / ".env"
    file.write_bytes(shared("dotenv").render(values).encode())
    assert LAUNCH["variables"](str(file)) == values
    assert shared("dotenv").parse(file) == values


def test_values_that_everybody_knows_are_not_hidden_from_logs(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(
        shared("dotenv").render({"DOMAINS": "api.example.com", "KEY": "long-enough", "SHORT": "ab"})
    )
    assert shared("dotenv").secrets(file) == ["long-enough"]


def test_each_line_of_a_secret_stays_out_of_an_output_that_begins_in_its_middle(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    key = ["-----BEGIN KEY-----", *(f"line-{number}-of-the-key" for number in range(20)), "-----END KEY-----"]
    file.write_text(shared("dotenv").render({"SIGNING_KEY": "\n".join(key)}))
    said = shared("commands").tail("\n".join(key[-12:]), shared("dotenv").secrets(file))
    assert "of-the-key" not in said
    whole = shared("commands").tail("\n".join(["key:", *key]), shared("dotenv").secrets(file))
    assert whole == "key: | ***"


@pytest.mark.parametrize(
    ("package", "files", "command"),
    [
        (
            {"scripts": {"start": "node --enable-source-maps a.js x"}},
            (),
            ["--enable-source-maps", "a.js", "x"],
        ),
        ({"main": "lib/a.js"}, ("lib/a.js",), ["lib/a.js"]),
        ({}, ("index.js",), ["index.js"]),
    ],
)
def test_node_is_started_itself(
    tmp_path: Path, package: dict[str, Any], files: tuple[str, ...], command: list[str]
) -> None:
    node = tmp_path / "bin" / "node"
    for path in (node, *(tmp_path / name for name in files)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (tmp_path / "package.json").write_text(json.dumps(package))
    assert shared("starting").node_command(tmp_path, str(node.parent)) == [str(node), *command]


@pytest.mark.parametrize("start", ["NODE_ENV=x node a.js", "next start", "node 'a.js"])
def test_what_only_a_shell_could_start_is_refused(tmp_path: Path, start: str) -> None:
    (tmp_path / "node").write_text("")
    (tmp_path / "package.json").write_text(json.dumps({"scripts": {"start": start}}))
    with pytest.raises(shared("commands").Failure, match="start"):
        shared("starting").node_command(tmp_path, str(tmp_path))


@pytest.mark.parametrize(
    ("key", "value"), [("environment_id", ".."), ("service", "a/b"), ("commit", "main"), ("commit", "../x")]
)
def test_a_place_outside_its_service_cannot_be_named(key: str, value: str) -> None:
    parameters = {"home": "/srv", "environment_id": "3", "service": "6", "commit": COMMIT, key: value}
    with pytest.raises(ValueError):
        shared("places").Place(parameters)


def test_the_last_releases_and_the_running_one_are_kept(tmp_path: Path) -> None:
    commits = [f"{number}" * 40 for number in range(5)]
    place = shared("places").Place(
        {"home": str(tmp_path), "environment_id": "3", "service": "6", "commit": commits[0]}
    )
    for number, commit in enumerate(commits):
        (place.releases / commit).mkdir(parents=True)
        os.utime(place.releases / commit, (number, number))
    shared("places").link(place.current, Path("releases") / commits[0])
    assert place.prune() == 1
    assert sorted(path.name for path in place.releases.iterdir()) == sorted(
        [commits[0], commits[2], commits[3], commits[4]]
    )


@pytest.mark.parametrize(
    ("said", "network"),
    [
        ("npm error code ENOTFOUND registry", True),
        ("npm error 503 code E503", True),
        ("npm error code ERESOLVE", False),
        ("npm error code E404 not found", False),
    ],
)
def test_only_what_the_network_did_is_tried_again(said: str, network: bool) -> None:
    load("release_dependencies")
    assert bool(shared("npm").NETWORK.search(said)) is network


def test_credentials_in_addresses_are_never_repeated() -> None:
    failure = shared("commands").Failure("fatal: https://me:pw@host/x", "")
    assert failure.answer["msg"] == "fatal: https://host/x"
    assert shared("commands").tail("a\n\nssh://git:pw@host/x secret", ["secret"]) == "a | ssh://host/x ***"


def test_secret_paths_stay_under_their_mount() -> None:
    vault = runpy.run_path(str(PLAYBOOKS / "action_plugins" / "vault_secrets.py"))
    for path in ("../../sys/seal", "a/../b", "a//b", "", "/a", "a?b", "a%2e"):
        with pytest.raises(vault["Problem"]):
            vault["plain_path"](path)
    assert vault["plain_path"]("environments/3/services/6/DB_PASSWORD")


def test_files_of_a_front_are_named_typed_and_cached() -> None:
    headers = load("bucket_publish").headers
    assert headers("index.html") == {"ContentType": "text/html; charset=utf-8", "CacheControl": "no-cache"}
    assert "immutable" in headers("assets/main-2B5RGODV.js")["CacheControl"]
    assert headers("robots.txt")["CacheControl"] == "no-cache"
    assert headers("logo.png")["ContentType"] == "image/png"


def test_a_front_never_publishes_hidden_files_or_what_links_lead_to(tmp_path: Path) -> None:
    root = tmp_path / "dist"
    (root / "node_modules").mkdir(parents=True)
    for name in ("index.html", ".env", "node_modules/a.js"):
        (root / name).write_text("x")
    (tmp_path / "outside").write_text("secret")
    (root / "inside.txt").symlink_to(tmp_path / "outside")
    assert set(load("bucket_publish").files(root)) == {"index.html"}


def test_what_a_hidden_task_said_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = ansible_child.Reporter()
    hidden = {"task": "Hidden", "res": {"_ansible_no_log": True, "msg": "canary", "result": {"a": "canary"}}}
    for event in ("runner_on_ok", "runner_on_failed"):
        reporter.handle(
            {"event": event, "event_data": hidden, "created": "2026-01-01T00:00:00", "stdout": ""}
        )
    reporter.end("failed", 2)
    assert "canary" not in capsys.readouterr().out
    assert reporter.failure is not None
    assert reporter.failure["task"] == "Hidden"


def test_the_childs_environment_is_small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STAGEWRIGHT_EVENT_STORE", "canary")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("npm_config_registry", "https://mirror.example.com")
    found = ansible_directory.environment(tmp_path, tmp_path / "ansible.cfg")
    assert "canary" not in found.values()
    assert found["npm_config_registry"] == "https://mirror.example.com"


def test_what_another_executor_swept_meanwhile_is_no_ones_trouble(tmp_path: Path) -> None:
    left = tmp_path / "stagewright-run-99999999-left"
    left.mkdir()
    # As it looks when it is gone between being listed and being looked at.
    (tmp_path / "stagewright-run-99999999-gone").symlink_to(tmp_path / "nowhere")
    with ansible_directory.private_directory(tmp_path) as directory:
        assert directory.is_dir()
        assert not left.exists()
    assert not directory.exists()


def test_extra_variables_are_paths_and_the_token_is_a_file_of_its_own(tmp_path: Path) -> None:
    server = ServerSettings(name="far", address="203.0.113.7", connection="ssh")
    playbook = Playbook("deploy_node", server, {"description": "{{ 1 }}"}, 10, "run")
    ansible_directory.prepare(tmp_path, playbook, Path("/p/deploy_node.yml"), "token-value")
    order = json.loads((tmp_path / "run.json").read_text())
    assert order["extra"] == {"variables_file": str(tmp_path / "variables.json")}
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    others = [path.read_text() for path in tmp_path.iterdir() if path.name != "token"]
    assert all("token-value" not in text for text in others)
    hosts = json.loads((tmp_path / "inventory.json").read_text())["all"]["hosts"]
    assert hosts["target"] == {"ansible_connection": "ssh", "ansible_host": "203.0.113.7"}
    assert hosts["builder"]["ansible_connection"] == "local"

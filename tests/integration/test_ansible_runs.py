"""How plays are run: nothing is left of them, secrets are nowhere, and ending one ends all of it."""

import asyncio
import contextlib
import os
import shutil
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from executor.adapters import ansible_process
from executor.adapters.ansible import AnsiblePlaybooks
from executor.adapters.ansible_directory import private_directory
from executor.operators.ports import Playbook, TaskProgress
from executor.tenure import TENURE, Tenure
from stagewright.errors import Retryable, Terminal
from stagewright.settings import ExecutorSettings, ServerSettings, Settings
from tests.support.ansible_world import AnsibleWorld, api_command, read_json, texts_below
from tests.support.eventually import eventually
from tests.support.parts import assert_gone

CANARY = "canary-7f3a-of-the-vault"

SLEEPER = """
- hosts: target
  gather_facts: false
  tasks:
    - name: Sleep
      ansible.builtin.command:
        argv:
          - {python}
          - -c
          - "import os, time; open({started!r}, 'w').write('x'); os.setsid(); time.sleep(60)"
          - {mark}
"""
TASKS = """
- hosts: target
  gather_facts: false
  tasks:
    - name: Say something
      ansible.builtin.debug:
        msg: said
    - name: Hidden
      ansible.builtin.command:
        argv: ["false", "{canary}"]
      no_log: true
"""
COUNTING = """
- hosts: target
  gather_facts: false
  tasks:
    - name: Count
      ansible.builtin.shell: echo x >> {file}
    - name: Fail
      ansible.builtin.fail:
        msg: it is so
"""
UNREACHABLE = """
- hosts: target
  gather_facts: false
  tasks:
    - name: Reach it
      ansible.builtin.ping:
"""


class Bench:
    """A directory of playbooks with an adapter over them."""

    def __init__(self, directory: Path, *, namespace: bool = True) -> None:
        self.directory = directory
        self.playbooks = directory / "playbooks"
        self.playbooks.mkdir()
        (self.playbooks / "ansible.cfg").write_text("[defaults]\npipelining = True\n")
        settings = Settings(
            profile="test",
            data_dir=directory / "data",
            executor=ExecutorSettings(run_dir=directory / "private"),
        )
        self.adapter = AnsiblePlaybooks(settings, self.token, self.playbooks)
        self.seen: list[TaskProgress] = []
        if not namespace:
            self.adapter._namespace = asyncio.get_running_loop().create_future()
            self.adapter._namespace.set_result(None)

    async def token(self, environment: str, service: str) -> str:
        return f"token-of-{environment}-{service}"

    async def on_task(self, progress: TaskProgress) -> None:
        self.seen.append(progress)

    def play(self, name: str, text: str, *, timeout: float = 60, **server: object) -> Playbook:
        (self.playbooks / f"{name}.yml").write_text(text)
        return Playbook(
            name=name,
            server=ServerSettings(name="here", home=self.directory, **server),
            variables={"environment": "3", "service": {"id": "6"}},
            timeout=timeout,
            run_id="run-1",
        )

    def sleeper(self, **options: float) -> tuple[Playbook, str]:
        mark = f"sleeper-{self.directory.name}-{os.getpid()}"
        text = SLEEPER.format(python=sys.executable, started=str(self.directory / "started"), mark=mark)
        return self.play("sleep", text, **options), mark

    async def sleeping(self, mark: str) -> list[int]:
        """The processes of the sleeper, once it sleeps."""
        await eventually((self.directory / "started").exists, timeout=20)
        return await eventually(lambda: processes_with(mark))


def processes_with(mark: str) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if mark in process.cmdline():
                found.append(process.pid)
    return found


def left_in(directory: Path) -> list[Path]:
    return list((directory / "private").iterdir())


@pytest.mark.parametrize("namespace", [True, False])
async def test_cancelling_ends_every_process_within_seconds(tmp_path: Path, namespace: bool) -> None:
    bench = Bench(tmp_path, namespace=namespace)
    playbook, mark = bench.sleeper()
    run = asyncio.create_task(bench.adapter.run(playbook, bench.on_task))
    pids = await bench.sleeping(mark)
    run.cancel()
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await run
    assert_gone(*pids, timeout=1)
    assert processes_with(mark) == []
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("namespace", [True, False])
async def test_a_timeout_ends_every_process_and_is_worth_another_try(tmp_path: Path, namespace: bool) -> None:
    bench = Bench(tmp_path, namespace=namespace)
    playbook, mark = bench.sleeper(timeout=8)
    with pytest.raises(Retryable) as caught:
        await bench.adapter.run(playbook, bench.on_task)
    assert caught.value.info.code == "playbook.timeout"
    assert (tmp_path / "started").exists()
    assert processes_with(mark) == []
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("namespace", [True, False])
async def test_a_run_ends_with_its_executor_however_that_ends(tmp_path: Path, namespace: bool) -> None:
    bench = Bench(tmp_path, namespace=namespace)
    _, mark = bench.sleeper()
    script = tmp_path / "victim.py"
    script.write_text(
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from tests.integration.test_ansible_runs import Bench\n"
        "Path(sys.argv[1], 'elsewhere').mkdir()\n"
        "async def main():\n"
        "    bench = Bench(Path(sys.argv[1], 'elsewhere'), namespace=sys.argv[3] == 'True')\n"
        f"    play = bench.play('sleep', {(bench.playbooks / 'sleep.yml').read_text()!r})\n"
        "    await bench.adapter.run(play, bench.on_task)\n"
        "asyncio.run(main())\n"
    )
    executor = await asyncio.create_subprocess_exec(
        sys.executable, str(script), str(tmp_path), mark, str(namespace),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    # The mark is an argument of the executor itself too: the sleeper is another process.
    await eventually((tmp_path / "started").exists, timeout=20)
    pids = await eventually(lambda: [pid for pid in processes_with(mark) if pid != executor.pid])
    executor.kill()
    await executor.wait()
    assert_gone(*pids, timeout=10)
    await eventually(lambda: processes_with(mark) == [])
    # The private directory of the killed one goes with the next run.
    elsewhere = tmp_path / "elsewhere"
    assert len(left_in(elsewhere)) == 1
    with private_directory(elsewhere / "private") as fresh:
        assert left_in(elsewhere) == [fresh]


@pytest.mark.parametrize("namespace", [True, False])
async def test_a_run_whose_tenure_is_over_ends_with_every_process(tmp_path: Path, namespace: bool) -> None:
    bench = Bench(tmp_path, namespace=namespace)
    playbook, mark = bench.sleeper()
    await bench.adapter._prefix()
    tenure = Tenure(time.monotonic() + 3)
    token = TENURE.set(tenure)
    run = asyncio.create_task(bench.adapter.run(playbook, bench.on_task))
    TENURE.reset(token)
    pids = await bench.sleeping(mark)
    # Longer than it had at first: each renewal is more time, and the last one is the end.
    tenure.extend(time.monotonic() + 2)
    tenure.extend(last := time.monotonic() + 4)
    await eventually(lambda: time.monotonic() > last - 0.5)
    assert processes_with(mark) == pids
    assert_gone(*pids, timeout=2)
    with pytest.raises(Retryable) as caught:
        await run
    assert caught.value.info.code == "playbook.died"
    assert processes_with(mark) == []
    (kept,) = (tmp_path / "data" / "runs").iterdir()
    assert "not renewed in time" in (kept / "errors.log").read_text()
    assert [task["status"] for task in read_json(kept / "tasks.json")] == []
    assert read_json(kept / "result.json") is None


async def test_a_run_without_a_lease_has_no_end_of_its_own(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    fine = TASKS.split("    - name: Hidden", maxsplit=1)[0]
    assert TENURE.get() is None
    result = await bench.adapter.run(bench.play("fine", fine), bench.on_task)
    assert result.changed == ()


async def test_a_process_that_dies_is_worth_another_try(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    playbook, mark = bench.sleeper()
    run = asyncio.create_task(bench.adapter.run(playbook, bench.on_task))
    await bench.sleeping(mark)
    for child in psutil.Process().children():
        if str(tmp_path) in " ".join(child.cmdline()):
            child.kill()
    with pytest.raises(Retryable) as caught:
        await run
    assert caught.value.info.code == "playbook.died"
    assert processes_with(mark) == []


async def test_a_task_that_holds_secrets_fails_by_its_name_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with pytest.raises(Terminal) as caught:
        await bench.adapter.run(bench.play("hidden", TASKS.format(canary=CANARY)), bench.on_task)
    info = caught.value.info
    assert (info.code, info.resource) == ("playbook.failed", "Hidden")
    assert CANARY not in str(caught.value)
    assert [(seen.task, seen.status) for seen in bench.seen] == [
        ("Say something", "started"),
        ("Say something", "ok"),
        ("Hidden", "started"),
        ("Hidden", "failed"),
    ]
    assert all(CANARY not in repr(seen) for seen in bench.seen)


@pytest.mark.parametrize(("times", "name"), [(1, "run-1"), (2, "run-1-2")])
async def test_a_failure_says_how_to_run_it_again_and_what_it_left_is_all_there(
    tmp_path: Path, times: int, name: str
) -> None:
    bench = Bench(tmp_path)
    playbook = bench.play("counting", COUNTING.format(file=tmp_path / "count"))
    for _ in range(times):
        with pytest.raises(Terminal) as caught:
            await bench.adapter.run(playbook, bench.on_task)
    kept = tmp_path / "data" / "runs" / name
    assert caught.value.run == f"BAO_TOKEN=… {kept}/run.sh"
    told = [(task["task"], task["status"]) for task in read_json(kept / "tasks.json")]
    assert told == [("Count", "changed"), ("Fail", "failed")]
    assert all(task["duration_s"] is not None and task["at"] for task in read_json(kept / "tasks.json"))
    ended = read_json(kept / "result.json")
    assert (ended["failure"]["task"], ended["failure"]["msg"]) == ("Fail", "it is so")
    assert ended["changed"] == ["Count"]
    assert "it is so" in (kept / "output.log").read_text()
    # What is printed is what a shell takes, with a token in the place of the dots.
    shell = caught.value.run.replace("…", "of-mine")
    again = await asyncio.create_subprocess_shell(shell, stdout=asyncio.subprocess.PIPE)
    said, _ = await again.communicate()
    assert again.returncode == 2
    assert b"it is so" in said
    assert (tmp_path / "count").read_text() == "x\n" * (times + 1)


async def test_a_run_that_takes_too_long_says_how_to_run_it_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    playbook, _ = bench.sleeper(timeout=0.5)
    with pytest.raises(Retryable) as caught:
        await bench.adapter.run(playbook, bench.on_task)
    assert caught.value.info.code == "playbook.timeout"
    assert caught.value.run == f"BAO_TOKEN=… {tmp_path}/data/runs/run-1/run.sh"


async def test_a_server_that_cannot_be_reached_is_worth_another_try(tmp_path: Path) -> None:
    if not shutil.which("ssh"):
        pytest.skip("there is no ssh client on this machine")
    bench = Bench(tmp_path)
    playbook = bench.play("reach", UNREACHABLE, connection="ssh", address="127.0.0.254")
    with pytest.raises(Retryable) as caught:
        await bench.adapter.run(playbook, bench.on_task)
    assert (caught.value.info.code, caught.value.info.resource) == ("playbook.unreachable", "Reach it")


async def test_a_playbook_that_is_not_there_is_said(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    playbook = replace(bench.play("here", TASKS), name="../elsewhere")
    with pytest.raises(Terminal) as caught:
        await bench.adapter.run(playbook, bench.on_task)
    assert caught.value.info.code == "playbook.unknown"


async def test_a_playbook_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with pytest.raises(Terminal) as caught:
        await bench.adapter.run(bench.play("broken", "- hosts: [\n"), bench.on_task)
    assert "[ERROR]" in caught.value.info.reason


async def test_kept_copies_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executor.adapters.ansible_directory.RUNS_KEPT", 2)
    bench = Bench(tmp_path)
    playbook = bench.play("fine", TASKS.split("    - name: Hidden", maxsplit=1)[0])
    for number in range(3):
        await bench.adapter.run(replace(playbook, run_id=f"run-{number}"), bench.on_task)
    assert sorted(path.name for path in (tmp_path / "data" / "runs").iterdir()) == ["run-1", "run-2"]


async def test_a_secret_is_in_the_service_and_nowhere_else(ansible_world: AnsibleWorld) -> None:
    world = ansible_world
    secret = await world.secret("environments/3/services/81/CANARY", CANARY)
    result = await world.run(api_command(world, service="81", secrets=(secret,)))
    assert result.kept is not None
    place = world.service_dir("3", "81")
    holders = {path for path, text in texts_below(place).items() if CANARY.encode() in text}
    assert holders == {(place / "current" / ".env").resolve()}
    kept = texts_below(result.kept)
    assert {path.name for path in kept} >= {
        "inventory.json", "output.log", "result.json", "run.sh", "tasks.json", "variables.json"
    }  # fmt: skip
    token = (await world.vault.short_lived_token("3", "81")).encode()[:4]
    assert all(CANARY.encode() not in text and token not in text for text in kept.values())
    assert CANARY not in repr([asdict(task) for task in world.tasks])
    assert CANARY not in repr(result)
    assert list((world.work / "private").iterdir()) == []


async def test_a_secret_that_is_missing_is_named(ansible_world: AnsibleWorld) -> None:
    world = ansible_world
    secret = await world.secret("environments/3/services/82/THERE", "there")
    gone = secret.model_copy(update={"version": 7})
    with pytest.raises(Terminal) as caught:
        await world.run(api_command(world, service="82", secrets=(gone,)))
    info = caught.value.info
    assert (info.code, info.resource) == ("playbook.failed", "environments/3/services/82/THERE")
    assert "version 7" in info.reason


async def test_this_machine_is_asked_for_a_namespace_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    first, second = await asyncio.gather(bench.adapter._prefix(), bench.adapter._prefix())
    assert first is second
    assert (first is None) or first[0] == "unshare"


async def test_without_unshare_there_is_no_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ansible_process.shutil, "which", lambda _name: None)
    assert await ansible_process.namespace() is None

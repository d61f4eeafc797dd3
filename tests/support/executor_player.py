"""An executor of its own process that plays, to be frozen: `… executor_player URL SEED DIR NAME [--guard]`.

Its play writes the moment (of the monotonic clock) to DIR/NAME.ticks every 100 ms until DIR/go is there, and
then makes its effect where nobody made it yet: NAME as a line of DIR/effects. With `--guard` it does without
a PID namespace.
"""

import asyncio
import sys
from pathlib import Path

from executor.adapters.ansible import AnsiblePlaybooks
from executor.handling import Context, Handler
from executor.leases import Leases
from executor.operators.ports import Playbook
from executor.worker import Worker
from stagewright.contracts.base import Stage
from stagewright.contracts.commands import Command
from stagewright.contracts.events import ServiceDeployed
from stagewright.messaging import topology
from stagewright.messaging.connecting import connect
from stagewright.settings import ExecutorSettings, ServerSettings, Settings
from tests.support.executor_bus import COMMIT

LEASE = 3.0
"""Seconds: short, so that tests need not wait long for a frozen holder."""
_PLAY = """
- hosts: target
  gather_facts: false
  tasks:
    - name: Tick
      ansible.builtin.command:
        argv: [{python}, {script}, {directory}, {name}]
"""
_SCRIPT = """
import pathlib, sys, time
directory, name = pathlib.Path(sys.argv[1]), sys.argv[2]
while not (directory / "go").exists():
    with (directory / f"{name}.ticks").open("a") as file:
        file.write(f"{time.monotonic()}\\n")
    time.sleep(0.1)
if not (directory / "effects").exists():
    with (directory / "effects").open("a") as file:
        file.write(f"{name}\\n")
"""


async def _token(_environment: str, _service: str) -> str:
    return "token"


def _adapter(directory: Path, name: str, guard: bool) -> AnsiblePlaybooks:
    own = directory / name
    playbooks = own / "playbooks"
    playbooks.mkdir(parents=True)
    (playbooks / "ansible.cfg").write_text("[defaults]\npipelining = True\n")
    script = own / "tick.py"
    script.write_text(_SCRIPT)
    play = _PLAY.format(python=sys.executable, script=script, directory=directory, name=name)
    (playbooks / "tick.yml").write_text(play)
    executor = ExecutorSettings(run_dir=own / "private")
    settings = Settings(profile="test", data_dir=directory / "data", executor=executor)
    adapter = AnsiblePlaybooks(settings, _token, playbooks)
    if guard:
        adapter._namespace = asyncio.get_running_loop().create_future()
        adapter._namespace.set_result(None)
    return adapter


async def main(url: str, seed: str, directory: Path, name: str, guard: bool) -> None:
    """Work until killed."""
    adapter = _adapter(directory, name, guard)

    async def deploy(command: Command, context: Context) -> ServiceDeployed:
        variables = {"environment": command.environment, "service": {"id": command.target}}
        server = ServerSettings(name="here", home=directory)
        playbook = Playbook("tick", server, variables, 60, str(command.command_id))
        done = await adapter.run(playbook, context.on_task)
        return context.answer(
            ServiceDeployed, service=command.target, commit=COMMIT, health="ready", run=done.command
        )

    client = await connect(url, topology.EXECUTOR, seed_file=Path(seed))
    leases = Leases(client.jetstream(), ttl=LEASE)
    handlers = {Stage.DEPLOY_SERVICES: Handler(deploy)}
    await Worker(client, handlers, slots=1, name=name, leases=leases).run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4], "--guard" in sys.argv))

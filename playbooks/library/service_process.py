"""Ansible module: one release as a supervised process: switched to, started, asked for its health.

`result` says `health`: `ready` (the health page answers 2xx, or there is none), or `incomplete` (the process
is up, and says or seems that something it needs is missing). A process that does not stay up is a failure;
the release that ran before is then started again.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible.module_utils.stagewright import dotenv, starting, step
from ansible.module_utils.stagewright.commands import Failure, tail
from ansible.module_utils.stagewright.places import ARGUMENTS, SETTINGS, Place, link, read_json, write
from ansible.module_utils.stagewright.supervision import supervisor_of

ARGUMENT_SPEC: dict[str, Any] = {
    **ARGUMENTS,
    "type": {"type": "str", "required": True, "choices": ["node", "python"]},
    "address": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
    "supervisor": {"type": "str"},
    "node_bin": {"type": "str"},
    "launcher": {"type": "str", "required": True},
    "restart": {"type": "bool", "default": False},
}

ANSWER_S = 10.0
"""How long a process may stay silent before it counts as incomplete."""
COMPLETE_S = 3.0
"""How long a process that says it is incomplete is waited for: it may be a matter of a moment."""
SETTLE_S = 20.0
STEP_S = 0.1
UP = frozenset({"STARTING", "RUNNING"})


class Process:
    """The process of one release under one supervisor."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.parameters = parameters
        self.place = Place(parameters)
        self.name = self.place.program
        self.supervisor = supervisor_of(parameters["supervisor"])
        self.program = self.supervisor.programs / f"{self.name}.ini"
        self.fingerprint = self.place.root / ".running"
        self.stopped = False

    def program_text(self) -> str:
        """The program as this release wants it."""
        release, node_bin = self.place.release, self.parameters["node_bin"]
        python = self.parameters["type"] == "python"
        command = starting.python_command(release) if python else starting.node_command(release, node_bin)
        first = release / ".venv" / "bin" if python else starting.node_of(node_bin).parent
        path = f"{first}:{starting.SYSTEM_PATH}"
        launcher = [sys.executable, str(self.place.home / "bin" / "launch.py"), path]
        return starting.program_file(self.name, self.place, [*launcher, *command])

    def digest(self, program: str) -> str:
        """What is to run: another digest means that it must be started anew."""
        files = [(self.place.release / name).read_bytes() for name in SETTINGS]
        launcher = self.parameters["launcher"].encode()
        text = b"\0".join([self.place.commit.encode(), program.encode(), launcher, *files])
        return hashlib.sha256(text).hexdigest() + "\n"

    def start(self, program: str) -> None:
        """Switch, stop what runs, and start this release. What can fail for want of room comes first."""
        write(self.place.home / "bin" / "launch.py", self.parameters["launcher"], 0o755)
        self.place.logs.mkdir(parents=True, exist_ok=True)
        link(self.place.current, Path("releases") / self.place.commit)
        write(self.program, program, 0o600)
        self.stopped = True
        self.supervisor.remove(self.name)
        self.refuse_foreign_listener()
        self.supervisor.add(self.name)

    def refuse_foreign_listener(self) -> None:
        """Somebody else's answer on our port must not pass for our health."""
        try:
            socket.create_connection((self.parameters["address"], self.parameters["port"]), 1).close()
        except OSError:
            return
        raise Failure(
            f"Another process listens on port {self.parameters['port']}.",
            "Stop it, or take the port out of the range for services.",
            resource=f"port {self.parameters['port']}",
            retryable=True,  # it may be on its way out
        )

    def ask(self) -> int | None:
        """The status of the health page; None while nothing answers."""
        address, port = self.parameters["address"], self.parameters["port"]
        connection = http.client.HTTPConnection(address, port, timeout=2)
        try:
            connection.request("GET", "/health", headers={"Connection": "close"})
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def health(self) -> str:
        """Wait until it is ready, or long enough.

        Raises:
            Failure: the process does not stay up.
        """
        begun = time.monotonic()
        answered: float | None = None
        while True:
            state, status = self.supervisor.state(self.name), self.ask()
            now = time.monotonic()
            if state in {"FATAL", None}:
                raise self.fallen()
            if state in UP and status is not None and (status < 300 or status == 404):
                return "ready"
            if status is not None and answered is None:
                answered = now
            waited_for_answer = state in UP and now - begun > ANSWER_S
            waited_for_others = state in UP and answered is not None and now - answered > COMPLETE_S
            if waited_for_answer or waited_for_others or now - begun > SETTLE_S:
                return "incomplete"
            time.sleep(STEP_S)

    def fallen(self) -> Failure:
        """The failure, with the last thing that the process said, less its secrets."""
        log = self.place.logs / "service.log"
        try:
            text = log.read_text(errors="replace")[-8192:]
        except OSError:
            text = ""
        last = tail("\n".join(text.splitlines()[-12:]), dotenv.secrets(self.place.release / ".env"))
        return Failure(
            f"The process does not stay up. It said last: {last or 'nothing'}",
            f"Mend the service; its log is {log}.", resource=f"process {self.name}",
        )  # fmt: skip

    def record(self) -> bool:
        """Write what runs, once it does."""
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")  # noqa: UP017 - Python 3.8 on servers
        new = {
            "commit": self.place.commit,
            "service": self.parameters["service"],
            "type": self.parameters["type"],
            "port": self.parameters["port"],
            "program": self.name,
        }
        old = read_json(self.place.deployed)
        if {key: old.get(key) for key in new} == new:
            return False
        return write(self.place.deployed, json.dumps({**new, "deployed_at": now}) + "\n", 0o644)


class Before:
    """What ran before, to go back to."""

    def __init__(self, process: Process) -> None:
        self.process = process
        current = process.place.current
        self.target = Path(os.readlink(current)) if current.is_symlink() else None  # noqa: PTH115
        self.program = process.program.read_text() if process.program.is_file() else None
        deployed = read_json(process.place.deployed)
        last = deployed.get("commit")
        if self.target and last != self.target.name and last and (process.place.releases / last).is_dir():
            # An attempt was cut off after its switch: what it switched to has never been seen to run.
            earlier = Process({**process.parameters, "commit": last, "type": deployed["type"]})
            self.target, self.program = Path("releases") / last, earlier.program_text()

    def restore(self) -> bool:
        """Have the version before run again, as it was; False where there was none."""
        process = self.process
        process.place.end_exchange(back=True)
        if self.target is None or self.program is None:
            return False
        link(process.place.current, self.target)
        write(process.program, self.program, 0o600)
        # Where it was not stopped yet it has not even noticed.
        if process.supervisor.state(process.name) != "RUNNING" or process.stopped:
            process.supervisor.remove(process.name)
            process.supervisor.add(process.name)
        return True


def ensure(parameters: dict[str, Any]) -> dict[str, Any]:
    """The module's answer."""
    process = Process(parameters)
    program = process.program_text()
    digest = process.digest(program)
    runs = process.supervisor.state(process.name) in UP
    same = runs and process.fingerprint.is_file() and process.fingerprint.read_text() == digest
    if parameters["restart"] or not same:
        return started(process, program, digest)
    process.place.end_exchange()
    changed = process.record()
    return {"changed": changed, "result": {"health": process.health(), "process": process.name}}


def started(process: Process, program: str, digest: str) -> dict[str, Any]:
    """Start anew, and go back where that fails."""
    before = Before(process)
    process.fingerprint.unlink(missing_ok=True)
    try:
        process.start(program)
        health = process.health()
    except BaseException as error:
        go_back(before, error)
        raise
    process.place.end_exchange()
    write(process.fingerprint, digest, 0o600)
    process.record()
    process.place.prune()
    return {
        "changed": True,
        "detail": health,
        "result": {"health": health, "process": process.name},
    }


def go_back(before: Before, error: BaseException) -> None:
    """Have the version before run again; where that fails too, the error says so."""
    try:
        before.restore()
    except (Failure, OSError) as again:
        if not isinstance(error, Failure):
            raise
        error.answer["msg"] += f" The version before could not be started again: {again}"


def main() -> None:
    """Entry point."""
    step.main(ARGUMENT_SPEC, ensure)


if __name__ == "__main__":
    main()

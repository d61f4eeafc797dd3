"""The supervised processes."""

import asyncio
import re
import time

from console.demo.proofs.proof import Proof
from console.demo.scene import Scene
from console.probes import processes
from stagewright.settings import ServerSettings

PATIENCE = 20.0
"""Seconds: a process that answers at once is still called starting for its first second."""
_PID = re.compile(r"^RUNNING pid (\d+)")


async def prove(scene: Scene) -> list[Proof]:
    """One proof for each API."""
    found = await settled(scene.server)
    names = [scene.program(service.spec.id) for service in scene.apis]
    return [_proof(name, found.get(name, "not there")) for name in names]


async def settled(server: ServerSettings) -> dict[str, str]:
    """What the supervisor says of each process, once it calls none of them starting any more."""
    give_up = time.monotonic() + PATIENCE
    while True:
        found = await processes.processes(server)
        if time.monotonic() > give_up or not any(state.startswith("STARTING") for state in found.values()):
            return found
        await asyncio.sleep(0.1)


def pid_of(state: str) -> int | None:
    """The process id in what the supervisor says, None where it does not run."""
    match = _PID.match(state)
    return int(match.group(1)) if match else None


def _proof(name: str, state: str) -> Proof:
    pid = pid_of(state)
    return Proof("process", name, pid is not None, f"running, pid {pid}" if pid else state)

"""Which commit runs: the directory that the process works in, or the marker in the bucket, against git."""

import asyncio
import json
from pathlib import Path

import psutil

from console.demo.proofs.processes import pid_of, settled
from console.demo.proofs.proof import Proof
from console.demo.scene import Scene
from console.probes import aws
from stagewright.contracts.orders import OrderedService


async def prove(scene: Scene) -> list[Proof]:
    """One proof for each service."""
    running = await settled(scene.server)
    proofs = [await _api(scene, service, running) for service in scene.apis]
    return proofs + [await _front(scene, service) for service in scene.fronts]


async def _api(scene: Scene, service: OrderedService, running: dict[str, str]) -> Proof:
    wanted = await scene.source_commit(service)
    home = scene.home(service.spec.id)
    marker = json.loads((home / "deployed.json").read_text())["commit"]
    directory = _directory(pid_of(running.get(scene.program(service.spec.id), "")))
    there = (home / "releases" / marker).resolve() in {directory, *directory.parents}
    works = "the process works in its checkout" if there else f"but the process works in {directory}"
    return _proof(service, marker, wanted, works, there=there)


async def _front(scene: Scene, service: OrderedService) -> Proof:
    wanted = await scene.source_commit(service)
    key = f"{service.spec.id}/deployed.json"
    text = await asyncio.to_thread(aws.read, scene.settings.aws, scene.bucket, key)
    marker = json.loads(text)["commit"]
    return _proof(service, marker, wanted, "in its bucket", there=True)


def _proof(service: OrderedService, marker: str, wanted: str, where: str, *, there: bool) -> Proof:
    detail = f"{marker}, {where}" if marker == wanted else f"{marker}, while git says {wanted or 'nothing'}"
    return Proof("commit", f"service {service.spec.id}", bool(wanted) and marker == wanted and there, detail)


def _directory(pid: int | None) -> Path:
    """Where the process or, if a launcher stands before it, its child works."""
    if pid is None:
        return Path("/nowhere")
    process = psutil.Process(pid)
    return Path(next(iter(process.children()), process).cwd()).resolve()

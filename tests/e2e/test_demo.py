"""The demo as it is: a fresh stack, the example order to the letter, and proofs that ask the real parts."""

import asyncio
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from console.client import connected
from console.demo.proofs.proof import Proof
from console.demo.proving import PROVERS, prove
from console.demo.scene import Scene, scene
from console.probes.aws import route53
from console.waiting import wait_for_end
from embedded.stack import Configuration, Stack

STAGEWRIGHT = Path(sys.executable).parent / "stagewright"
ORDER = Path("examples/orders/environment-3.yml")
EXAMPLES = Path("examples").resolve()
README = Path("README.md").read_text()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory; the stack's sockets go to a directory of their own, whose path must be short."""
    with tempfile.TemporaryDirectory(prefix="sw-") as sockets, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", sockets)
        yield tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def report(data_dir: Path) -> Iterator[dict[str, Any]]:
    """What `stagewright demo --keep -o json` printed; its stack runs until the module is done."""
    try:
        done = subprocess.run(
            [STAGEWRIGHT, "--data-dir", data_dir, "demo", "--keep", "-o", "json"],
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-6000:]
        yield json.loads(done.stdout)
    finally:
        Stack(Configuration(data_dir / "demo")).stop()


@pytest.fixture
def ground(report: dict[str, Any], data_dir: Path) -> Scene:
    return scene(ORDER.read_bytes(), Stack(Configuration(data_dir / "demo")).settings())


def named(proofs: list[Proof], what: str) -> list[Proof]:
    found = [proof for proof in proofs if proof.what == what]
    assert found
    return found


def test_every_proof_holds(report: dict[str, Any]) -> None:
    assert report["holds"]
    kinds = {proof["what"] for proof in report["proofs"]}
    assert {"order", "https", "commit", "secrets", "dns", "process", "databases", "bucket", "routes"} <= kinds
    urls = [proof["subject"] for proof in report["proofs"] if proof["what"] == "https"]
    assert urls == [
        "https://manager-api.lab.makeitsaas.com/core/health",
        "https://manager-api.lab.makeitsaas.com/health",
        "https://manager-angular.lab.makeitsaas.com/",
    ]


def test_the_same_order_again_changes_nothing_and_is_quick(report: dict[str, Any]) -> None:
    (unchanged,) = [proof for proof in report["proofs"] if proof["what"] == "unchanged"]
    assert unchanged["holds"]
    assert report["seconds"]["same order again"] < 1.5


async def test_a_stopped_process_fails_its_proofs(ground: Scene) -> None:
    assert all(proof.holds for proof in await PROVERS["processes"](ground))
    await control(ground, "stop", ground.program("6"))
    try:
        proofs = await PROVERS["processes"](ground)
        assert [proof.holds for proof in proofs] == [False, True]
        assert [proof.holds for proof in await PROVERS["commits"](ground)] == [False, True, True]
    finally:
        await control(ground, "start", ground.program("6"))
    assert all(proof.holds for proof in await PROVERS["https"](ground))


async def test_a_foreign_record_fails_its_proof(ground: Scene) -> None:
    domain = ground.order.domains[0]
    await asyncio.to_thread(point, ground, domain, "192.0.2.1")
    try:
        proofs = {proof.subject: proof.holds for proof in named(await prove(ground), "dns")}
        assert proofs == {domain: False, ground.order.domains[1]: True}
    finally:
        await asyncio.to_thread(point, ground, domain, ground.settings.proxy.dns_target)


async def test_a_part_that_does_not_answer_proves_nothing(ground: Scene) -> None:
    nowhere = ground.settings.model_copy(
        update={"vault": ground.settings.vault.model_copy(update={"address": "http://127.0.0.1:9"})}
    )
    (secrets,) = named(await prove(Scene(ground.order, nowhere)), "secrets")
    assert not secrets.holds
    assert "does not answer" in secrets.detail


async def test_the_readme_s_six_lines_submit_an_order(ground: Scene, data_dir: Path, tmp_path: Path) -> None:
    (lines,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(lines.splitlines()) == 6
    (tmp_path / ".stagewright").symlink_to(data_dir / "demo")
    (tmp_path / "examples").symlink_to(EXAMPLES)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", lines, cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    reply = json.loads(out)
    assert reply["status"] == "accepted"
    async with connected(ground.settings) as console:
        assert await wait_for_end(console, reply["order_id"], lambda _entry: None) == "succeeded"


def test_the_kept_stack_answers_the_console_and_then_stops_whole(
    report: dict[str, Any], ground: Scene, data_dir: Path
) -> None:
    where = ("--data-dir", str(data_dir / "demo"))
    doctor = subprocess.run([STAGEWRIGHT, *where, "doctor"], capture_output=True, text=True, check=False)
    assert doctor.returncode == 0, doctor.stdout
    shown = subprocess.run(
        [STAGEWRIGHT, *where, "environments", "show", "3", "-o", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    services = {service["id"]: service for service in json.loads(shown.stdout)["services"]}
    assert set(services) == {"6", "7", "8"}
    assert [secret["name"] for secret in services["8"]["secrets"]] == ["CDN_PATH"]
    pids = [int(proof["detail"].split()[-1]) for proof in report["proofs"] if proof["what"] == "process"]
    assert pids
    subprocess.run([STAGEWRIGHT, *where, "down"], check=True, capture_output=True)
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def control(ground: Scene, *words: str) -> None:
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).parent / "supervisorctl",
        *("-c", str(ground.server.supervisor), *words),
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == 0


def point(ground: Scene, domain: str, address: str) -> None:
    client = route53(ground.settings.aws)
    zone = next(
        zone["Id"]
        for zone in client.list_hosted_zones()["HostedZones"]
        if domain.endswith(zone["Name"].rstrip("."))
    )
    record = {"Name": domain, "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": address}]}
    client.change_resource_record_sets(
        HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]}
    )

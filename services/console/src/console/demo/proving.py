"""All proofs together, and what changed between two times."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import httpx
import psutil
from botocore.exceptions import BotoCoreError, ClientError

from console.demo.proofs import bucket, commits, databases, dns, https, processes, routes, secrets
from console.demo.proofs.proof import Proof
from console.demo.scene import Scene
from stagewright.errors import StagewrightError

Prover = Callable[[Scene], Awaitable[list[Proof]]]
PROVERS: dict[str, Prover] = {
    "https": https.prove,
    "commits": commits.prove,
    "secrets": secrets.prove,
    "dns": dns.prove,
    "processes": processes.prove,
    "databases": databases.prove,
    "bucket": bucket.prove,
    "routes": routes.prove,
}


async def prove(scene: Scene) -> list[Proof]:
    """Ask every part at once. A part that does not answer proves nothing: its proof does not hold."""
    found = await asyncio.gather(*(_asked(name, prover, scene) for name, prover in PROVERS.items()))
    return [proof for each in found for proof in each]


async def _asked(name: str, prover: Prover, scene: Scene) -> list[Proof]:
    try:
        return await prover(scene)
    except StagewrightError as error:
        said = f"{error.info.resource}: {error.info.reason}"
    except (
        httpx.HTTPError,
        OSError,
        BotoCoreError,
        ClientError,
        psutil.Error,
        ValueError,
        KeyError,
    ) as error:
        said = f"{type(error).__name__}: {error}"
    return [Proof(name, "could not be asked", False, said)]


def unchanged(before: Sequence[Proof], after: Sequence[Proof]) -> Proof:
    """Whether everything that was proven is as it was: versions, process ids, digests, records."""
    then = {(proof.what, proof.subject): proof.detail for proof in before}
    now = {(proof.what, proof.subject): proof.detail for proof in after}
    differing = [
        f"{what} {subject}" for what, subject in then if now.get((what, subject)) != then[what, subject]
    ]
    detail = f"all {len(then)} facts as before" if not differing else f"changed: {', '.join(differing)}"
    return Proof("unchanged", "the same order again", not differing and len(then) == len(now), detail)

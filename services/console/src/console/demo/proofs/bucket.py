"""What is in the environment's bucket, asked of S3."""

import asyncio
import hashlib

from console.demo.proofs.proof import Proof
from console.demo.scene import Scene
from console.probes import aws


async def prove(scene: Scene) -> list[Proof]:
    """One proof for each front: its page is there; the digest covers every key and ETag."""
    return [await _front(scene, service.spec.id) for service in scene.fronts]


async def _front(scene: Scene, service: str) -> Proof:
    found = await asyncio.to_thread(aws.objects, scene.settings.aws, scene.bucket, f"{service}/")
    digest = hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()[:12]
    good = f"{service}/index.html" in found
    return Proof("bucket", f"s3://{scene.bucket}/{service}", good, f"{len(found)} objects, digest {digest}")

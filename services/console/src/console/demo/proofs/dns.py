"""Which DNS records are set, asked of Route 53."""

import asyncio

from console.demo.proofs.proof import Proof
from console.demo.scene import Scene
from console.probes import aws


async def prove(scene: Scene) -> list[Proof]:
    """One proof for each domain: exactly one record, and it points at the proxy."""
    records = await asyncio.to_thread(aws.records, scene.settings.aws)
    target = scene.settings.proxy.dns_target
    proofs = []
    for domain in scene.order.domains:
        own = [record for record in records if record.name == domain]
        detail = ", ".join(f"{record.type} {record.value}" for record in own) or "no record"
        proofs.append(
            Proof("dns", domain, len(own) == 1 and own[0].value.rstrip(".") == target.rstrip("."), detail)
        )
    return proofs

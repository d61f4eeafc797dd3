"""Which secrets exist: names and versions from the vault's metadata, no value."""

from console.demo.proofs.proof import Proof
from console.demo.scene import Scene
from console.probes.vault import vault_reader

OF_APIS = ("DB_DATABASE", "DB_PASSWORD", "DB_USERNAME")
OF_FRONTS = ("CDN_PATH",)


async def prove(scene: Scene) -> list[Proof]:
    """One proof for each service: exactly its secrets are there, each in its first version."""
    async with vault_reader(scene.settings.vault) as vault:
        found = await vault.secrets(f"environments/{scene.order.environment}/services")
    proofs = []
    for block, spec in scene.order.services:
        own = [each for each in found if each.path.split("/")[3] == spec.id]
        names = sorted(each.path.rsplit("/", 1)[1] for each in own)
        good = names == sorted(OF_APIS if block == "api" else OF_FRONTS) and all(s.version == 1 for s in own)
        listed = ", ".join(f"{each.path.rsplit('/', 1)[1]} v{each.version}" for each in own)
        proofs.append(Proof("secrets", f"service {spec.id}", good, listed or "none"))
    return proofs

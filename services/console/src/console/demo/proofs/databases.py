"""Which databases exist, and who owns them, asked of PostgreSQL."""

from console.demo.proofs.proof import Proof
from console.demo.scene import Scene
from console.probes import database


async def prove(scene: Scene) -> list[Proof]:
    """One database for each API, owned by a user of the same name and not by the server's own user."""
    settings = scene.settings
    found = await database.databases(settings.database, settings.vault)
    good = len(found) == len(scene.apis) and all(name == owner for name, owner in found.items())
    detail = ", ".join(f"{name} of user {owner}" for name, owner in found.items()) or "none"
    return [Proof("databases", f"{settings.database.host}:{settings.database.port}", good, detail)]

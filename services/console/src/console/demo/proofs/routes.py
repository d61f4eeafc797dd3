"""What the proxy is configured to serve, asked of its admin endpoint."""

import hashlib
import json

from console.demo.proofs.proof import Proof
from console.demo.scene import Scene
from console.probes.proxy import configuration


async def prove(scene: Scene) -> list[Proof]:
    """The route names exactly the order's domains; the digest covers the proxy's whole configuration."""
    running = await configuration(scene.settings.proxy)
    servers = running.get("apps", {}).get("http", {}).get("servers", {})
    hosts = {
        host
        for server in servers.values()
        for route in server.get("routes", [])
        for match in route.get("match", [])
        for host in match.get("host", [])
    }
    digest = hashlib.sha256(json.dumps(running, sort_keys=True).encode()).hexdigest()[:12]
    good = hosts == set(scene.order.domains)
    return [Proof("routes", "proxy", good, f"{len(hosts)} domains, configuration {digest}")]

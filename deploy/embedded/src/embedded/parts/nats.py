"""The bus: nats-server with JetStream on file, one NKey user per service, nothing more than it needs."""

import json
from collections.abc import Mapping
from typing import Any

from embedded import binaries, probes
from embedded.layout import LOOPBACK, Layout
from embedded.ports import Ports
from embedded.program import Program
from stagewright.messaging.topology import CONSOLE, USERS, User

NAME = "nats"
PORTS = ("nats", "nats-monitor")
MAX_FILE = 10 * 1024**3
"""Bytes; above the sum of the streams' own limits, which the server reserves."""


def program(layout: Layout, ports: Ports, nkeys: Mapping[str, str] | None) -> Program:
    """The server; without `nkeys` (public keys by user) it asks nobody who they are, as tests want."""
    home = layout.part(NAME)
    config = home / "nats.json"
    return Program(
        name=NAME,
        argv=(str(binaries.beside_python("nats-server")), "--config", str(config)),
        ready=probes.succeeds(
            probes.banner(ports["nats"], b"INFO "),
            probes.http_get(ports["nats-monitor"], "/healthz?js-enabled-only=true"),
        ),
        endpoint=f"nats://{LOOPBACK}:{ports['nats']}",
        files={config: json.dumps(configuration(layout, ports, nkeys), indent=1)},
        directories=(home / "jetstream",),
        stop_signal="INT",
    )


def configuration(layout: Layout, ports: Ports, nkeys: Mapping[str, str] | None) -> dict[str, Any]:
    """The server's configuration; its format is a superset of JSON."""
    users = {"authorization": {"users": [_user(user, nkeys[user.name]) for user in USERS]}} if nkeys else {}
    return {
        "server_name": "stagewright",
        "host": LOOPBACK,
        "port": ports["nats"],
        "http": f"{LOOPBACK}:{ports['nats-monitor']}",
        # An acknowledged message is on disk; the default would sync every two minutes.
        "jetstream": {
            "store_dir": str(layout.part(NAME) / "jetstream"),
            "max_file": MAX_FILE,
            "max_mem": 1024**3,
            "sync_interval": "always",
        },
        "ping_interval": "20s",
        **users,
    }


def _user(user: User, public_key: str) -> dict[str, Any]:
    permissions: dict[str, Any] = {
        "publish": {"allow": list(user.publish)},
        "subscribe": {"allow": list(user.subscriptions)},
    }
    if user is not CONSOLE:
        # Services answer requests; each answer once, to the subject that the request named.
        permissions["allow_responses"] = {"max": 1, "expires": "1m"}
    return {"nkey": public_key, "permissions": permissions}

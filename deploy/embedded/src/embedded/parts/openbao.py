"""Secrets: OpenBao on raft storage with a static seal, an audit device, and no root token left.

The server initialises itself on its first start from what is declared here ("self-initialization" in
OpenBao's manual); the token that it uses for that is revoked before it listens.
"""

import json
from pathlib import Path
from typing import Any

from embedded import binaries, probes
from embedded.credentials import Credentials
from embedded.layout import LOOPBACK, Layout
from embedded.ports import Ports
from embedded.program import Program

NAME = "openbao"
PORTS = ("openbao", "openbao-cluster")
MOUNT = "stagewright"
EXECUTOR = "executor"
TOKEN_TTL = "1h"  # noqa: S105 - a duration

POLICY = f"""
path "{MOUNT}/data/environments/*" {{ capabilities = ["create", "read", "update"] }}
path "{MOUNT}/metadata/environments/*" {{ capabilities = ["read", "list"] }}
path "{MOUNT}/delete/environments/*" {{ capabilities = ["update"] }}
path "{MOUNT}/undelete/environments/*" {{ capabilities = ["update"] }}
path "{MOUNT}/data/platform/*" {{ capabilities = ["read"] }}
"""
"""What an executor may: the secrets of environments, but not destroy them, and read the platform's own.

Who may write metadata may set how many versions are kept, which destroys the others.
"""


def program(
    layout: Layout, ports: Ports, credentials: Credentials, extra: tuple[dict[str, Any], ...] = ()
) -> Program:
    """The server; `extra` are more requests for its first start (tests ask for a token that way)."""
    home = layout.part(NAME)
    config = home / "openbao.json"
    return Program(
        name=NAME,
        argv=(str(binaries.openbao()), "server", f"-config={config}"),
        ready=probes.http_get(ports["openbao"], "/v1/sys/health"),
        endpoint=f"http://{LOOPBACK}:{ports['openbao']}",
        files={config: json.dumps(configuration(layout, ports, credentials, extra), indent=1)},
        directories=(home / "raft",),
    )


def configuration(
    layout: Layout, ports: Ports, credentials: Credentials, extra: tuple[dict[str, Any], ...] = ()
) -> dict[str, Any]:
    """The server's configuration. Secret values are read from their files, none is in here."""
    home = layout.part(NAME)
    return {
        "api_addr": f"http://{LOOPBACK}:{ports['openbao']}",
        "cluster_addr": f"https://{LOOPBACK}:{ports['openbao-cluster']}",
        "listener": [{"tcp": {"address": f"{LOOPBACK}:{ports['openbao']}", "tls_disable": True}}],
        # The only voter wins its election at once; a multiplier of 1 keeps it from waiting for others first.
        "storage": {
            "raft": {"path": str(home / "raft"), "node_id": "stagewright", "performance_multiplier": "1"}
        },
        "seal": {"static": {"current_key_id": "1", "current_key": f"file://{credentials.seal_key_file}"}},
        "audit": [{"file": {"file": _audit(home / "audit.log")}}],
        "initialize": [{"stagewright": {"request": [*_requests(credentials), *extra]}}],
    }


def _audit(path: Path) -> dict[str, Any]:
    # Without the description the parser takes `options` for one more label of the block.
    return {"description": "every request", "options": {"file_path": str(path), "mode": "0600"}}


def request(name: str, path: str, **data: Any) -> dict[str, Any]:
    """One request of the first start."""
    return {name: {"operation": "update", "path": path, "data": data}}


def _requests(credentials: Credentials) -> list[dict[str, Any]]:
    role = f"auth/approle/role/{EXECUTOR}"
    return [
        request("secrets", f"sys/mounts/{MOUNT}", type="kv", options={"version": "2"}),
        request("approle", "sys/auth/approle", type="approle"),
        request("policy", f"sys/policies/acl/{EXECUTOR}", policy=POLICY),
        request("role", role, token_policies=[EXECUTOR], token_ttl=TOKEN_TTL),
        request("role_id", f"{role}/role-id", role_id=credentials.vault_role_id),
        request("secret_id", f"{role}/custom-secret-id", secret_id=_file(credentials.vault_secret_id_file)),
        request(
            "postgres",
            f"{MOUNT}/data/platform/postgres",
            data={"value": _file(credentials.postgres_password_file)},
        ),
    ]


def _file(path: Path) -> dict[str, str]:
    return {"eval_type": "string", "eval_source": "file", "path": str(path)}

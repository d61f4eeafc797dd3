"""The connection file: what the stack tells every service and command, as `stagewright.settings` reads it."""

from pathlib import Path
from typing import Any
from zlib import crc32

import tomlkit
from pydantic import BaseModel

from embedded import binaries
from embedded.credentials import Credentials
from embedded.layout import LOOPBACK, SERVER, Layout
from embedded.parts import caddy, openbao, postgres, s3, server
from embedded.ports import Ports
from stagewright.settings import (
    AwsSettings,
    DatabaseServerSettings,
    NatsSettings,
    ProxySettings,
    ServerSettings,
    VaultSettings,
)


def nats_settings(layout: Layout, ports: Ports) -> NatsSettings:
    """The bus."""
    return NatsSettings(url=f"nats://{LOOPBACK}:{ports['nats']}", credentials=layout.credentials)


def vault_settings(ports: Ports, credentials: Credentials) -> VaultSettings:
    """The vault and the executor's role in it."""
    return VaultSettings(
        address=f"http://{LOOPBACK}:{ports['openbao']}",
        mount=openbao.MOUNT,
        role_id=credentials.vault_role_id,
        secret_id_file=credentials.vault_secret_id_file,
    )


def aws_settings(ports: Ports, credentials: Credentials) -> AwsSettings:
    """Route 53 and S3."""
    return AwsSettings(
        route53_endpoint=f"http://{LOOPBACK}:{ports['aws']}",
        s3_endpoint=f"http://{LOOPBACK}:{ports['s3']}",
        credentials_file=credentials.aws_file,
        bucket_prefix=s3.BUCKET_PREFIX,
    )


def proxy_settings(layout: Layout, ports: Ports) -> ProxySettings:
    """The proxy, which gets the fronts from S3."""
    return ProxySettings(
        admin=f"unix/{layout.socket(caddy.NAME)}",
        dns_target=LOOPBACK,
        https_port=ports["https"],
        listen=LOOPBACK,
        root_ca=caddy.root_ca(layout),
        s3_upstream=f"{LOOPBACK}:{ports['s3']}",
    )


def database_settings(ports: Ports) -> DatabaseServerSettings:
    """The database server for services."""
    return DatabaseServerSettings(
        host=LOOPBACK, port=ports["postgres"], user=postgres.USER, bin=str(binaries.postgres_bin())
    )


_FIRST_PORT, _PORTS = 3000, 6000
"""Stacks of one machine share its ports, not their leases: each begins elsewhere, by its directory's name."""


def server_settings(layout: Layout, node_bin: Path) -> ServerSettings:
    """This machine as the server that services are deployed on."""
    return ServerSettings(
        name=SERVER,
        address=LOOPBACK,
        connection="local",
        home=layout.server_home,
        supervisor=str(server.configuration_file(layout)),
        first_port=_FIRST_PORT + crc32(str(layout.root).encode()) % _PORTS,
        node_bin=str(node_bin),
    )


def connection_file(
    layout: Layout, ports: Ports, credentials: Credentials, *, node_bin: Path, mirrors: dict[str, str]
) -> str:
    """The whole file. It names the files of secrets and holds none."""
    parts: dict[str, BaseModel] = {
        "nats": nats_settings(layout, ports),
        "vault": vault_settings(ports, credentials),
        "aws": aws_settings(ports, credentials),
        "proxy": proxy_settings(layout, ports),
        "database": database_settings(ports),
    }
    content: dict[str, Any] = {
        "profile": "local",
        "data_dir": str(layout.root),
        **{name: _plain(part) for name, part in parts.items()},
        "git": {"mirrors": mirrors},
        "servers": [_plain(server_settings(layout, node_bin))],
    }
    return (
        "# Written by `stagewright up`; settings of your own belong in stagewright.toml.\n"
        + tomlkit.dumps(content)
    )


def _plain(part: BaseModel) -> dict[str, Any]:
    return part.model_dump(mode="json", exclude_none=True)

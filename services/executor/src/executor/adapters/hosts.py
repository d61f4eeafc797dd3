"""What can be seen on a server: markers that playbooks leave, supervised processes, listening ports, health.

Only local servers so far: one with another connection raises `server.connection_unsupported`.
"""

import asyncio
import configparser
import json
import ssl
import xmlrpc.client
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil
from supervisor.xmlrpc import SupervisorTransport

from executor.operators.ports import Running
from stagewright.errors import Retryable, Terminal
from stagewright.settings import ServerSettings

MARKER = "deployed.json"
_UP = {"RUNNING", "STARTING"}
_HEALTH_TIMEOUT = 2.0
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For plain HTTP: without it each client reads all certificate authorities, in 20 ms."""


def home_of(server: ServerSettings, environment: str, service: str) -> Path:
    """The directory of one service on its server: `<home>/environments/<environment>/<service>`."""
    return server.home / "environments" / environment / service


def program_of(environment: str, service: str) -> str:
    """The name that playbooks give a service's process: ids hold hyphens, and never an underscore."""
    separator = "_" if "-" in environment + service else "-"
    return f"{environment}{separator}{service}"


class LocalHosts:
    """The `Hosts` port for servers whose connection is `local`."""

    async def look(self, server: ServerSettings, environment: str, service: str) -> Running | None:
        """See `Hosts.look`."""
        return await asyncio.to_thread(self._look, _local(server), environment, service)

    async def listening(self, server: ServerSettings) -> Mapping[int, int | None]:
        """See `Hosts.listening`."""
        _local(server)
        return await asyncio.to_thread(_listening)

    async def owns(self, server: ServerSettings, environment: str, service: str, pid: int | None) -> bool:
        """See `Hosts.owns`."""
        if pid is None:
            return False
        return await asyncio.to_thread(_owns, _local(server), program_of(environment, service), pid)

    async def answers(self, server: ServerSettings, port: int) -> bool:
        """See `Hosts.answers`."""
        try:
            async with httpx.AsyncClient(timeout=_HEALTH_TIMEOUT, trust_env=False, verify=_NO_TLS) as client:
                reply = await client.get(f"http://{server.address}:{port}/health")
        except httpx.HTTPError:
            return False
        return reply.is_success

    def _look(self, server: ServerSettings, environment: str, service: str) -> Running | None:
        marker = _marker(home_of(server, environment, service) / MARKER)
        if marker is None:
            return None
        state = _process(server, str(marker.get("program") or program_of(environment, service)))
        port = marker.get("port")
        return Running(
            commit=str(marker["commit"]) if marker.get("commit") else None,
            port=port if isinstance(port, int) else None,
            supervised=state.get("statename") in _UP,
        )


def _local(server: ServerSettings) -> ServerSettings:
    if server.connection != "local":
        raise Terminal(
            "server.connection_unsupported",
            f"settings.servers[{server.name}]",
            f"looking at a server by {server.connection} is not built yet.",
            "Run all executors there, name no other server in the settings, and set its connection to local.",
        )
    return server


def _marker(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _process(server: ServerSettings, program: str) -> Mapping[str, Any]:
    """supervisord's process info; empty where the program is unknown or supervisord is down."""
    address = _supervisor_address(server)
    if address is None:
        return {}
    transport = SupervisorTransport(None, None, serverurl=address)
    try:
        proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
        info = proxy.supervisor.getProcessInfo(program)
    except (xmlrpc.client.Fault, ConnectionRefusedError, FileNotFoundError):
        return {}
    except (TimeoutError, OSError, xmlrpc.client.ProtocolError) as error:
        raise _unreachable(server, type(error).__name__) from error
    finally:
        transport.close()
    return info if isinstance(info, dict) else {}


def _supervisor_address(server: ServerSettings) -> str | None:
    """`unix://<socket>` or `http://<host:port>` from supervisord's configuration file."""
    if server.supervisor is None:
        return None
    file = Path(server.supervisor)
    config = configparser.RawConfigParser(inline_comment_prefixes=(" ;", "\t;"), strict=False)
    try:
        config.read_string(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    address = config.get("supervisorctl", "serverurl", fallback=None)
    if address is None and config.has_option("unix_http_server", "file"):
        address = f"unix://{config.get('unix_http_server', 'file')}"
    return address.replace("%(here)s", str(file.parent)) if address else None


def _listening() -> dict[int, int | None]:
    found: dict[int, int | None] = {}
    for connection in psutil.net_connections(kind="tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr:
            port = connection.laddr.port
            found[port] = connection.pid or found.get(port)
    return found


def _owns(server: ServerSettings, program: str, pid: int) -> bool:
    supervised = _process(server, program).get("pid")
    if not supervised:
        return False
    try:
        process = psutil.Process(pid)
        return supervised in {process.pid, *(parent.pid for parent in process.parents())}
    except psutil.Error:
        return False


def _unreachable(server: ServerSettings, said: str) -> Retryable:
    return Retryable(
        "server.unreachable",
        server.name,
        f"supervisord did not answer ({said}).",
        "Check supervisord on that server.",
        retry_after=2.0,
    )

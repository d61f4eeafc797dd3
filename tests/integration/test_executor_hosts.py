"""What is seen on a server: markers, supervised processes, ports and health, on a real supervisord."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from executor.adapters.hosts import LocalHosts, home_of, program_of
from stagewright.errors import Terminal
from stagewright.settings import ServerSettings
from tests.support.eventually import eventually


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def supervisorctl(server: ServerSettings, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "supervisor.supervisorctl", "-c", server.supervisor, *arguments,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    return out.decode()


SERVICE = """
import http.server, sys
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Health).serve_forever()
"""


@pytest.fixture
async def service(supervisord: ServerSettings) -> AsyncIterator[tuple[ServerSettings, str, int]]:
    """A supervised process with its marker, in an environment of its own."""
    environment, port = f"e{uuid4().hex[:8]}", free_port()
    program = program_of(environment, "7")
    home = home_of(supervisord, environment, "7")
    home.mkdir(parents=True)
    (home / "service.py").write_text(SERVICE)
    config = Path(supervisord.supervisor).parent / "conf.d" / f"{program}.ini"
    command = f"{sys.executable} {home / 'service.py'} {port}"
    config.write_text(f"[program:{program}]\ncommand={command}\nstartsecs=0\n")
    await supervisorctl(supervisord, "update", program)
    marker = {"commit": "a" * 40, "port": port, "type": "python", "program": program}
    (home / "deployed.json").write_text(json.dumps(marker))
    yield supervisord, environment, port
    config.unlink()
    await supervisorctl(supervisord, "update")


async def test_a_running_service_is_seen_with_its_port_and_health(service) -> None:
    server, environment, port = service
    hosts = LocalHosts()
    found = await eventually(
        lambda: hosts.look(server, environment, "7"), until=lambda seen: seen is not None and seen.supervised
    )
    assert (found.commit, found.port) == ("a" * 40, port)
    assert await eventually(lambda: hosts.answers(server, port))
    listening = await hosts.listening(server)
    assert port in listening
    assert await hosts.owns(server, environment, "7", listening[port])
    assert not await hosts.owns(server, environment, "7", os.getpid())
    assert not await hosts.owns(server, environment, "8", listening[port])


async def test_a_stopped_service_is_not_supervised(service) -> None:
    server, environment, port = service
    await supervisorctl(server, "stop", program_of(environment, "7"))
    hosts = LocalHosts()
    found = await eventually(
        lambda: hosts.look(server, environment, "7"), until=lambda seen: not seen.supervised
    )
    assert found.commit == "a" * 40
    assert not await hosts.answers(server, port)


async def test_nothing_deployed_is_nothing(supervisord: ServerSettings) -> None:
    assert await LocalHosts().look(supervisord, "nowhere", "7") is None


async def test_half_a_marker_is_nothing(supervisord: ServerSettings) -> None:
    home = home_of(supervisord, f"e{uuid4().hex[:8]}", "7")
    home.mkdir(parents=True)
    (home / "deployed.json").write_text('{"commit": ')
    assert await LocalHosts().look(supervisord, home.parent.name, "7") is None


async def test_a_server_behind_ssh_says_that_it_cannot_be_looked_at_yet(supervisord: ServerSettings) -> None:
    remote = supervisord.model_copy(update={"connection": "ssh"})
    with pytest.raises(Terminal) as raised:
        await LocalHosts().listening(remote)
    assert raised.value.info.code == "server.connection_unsupported"

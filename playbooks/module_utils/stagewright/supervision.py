"""supervisord over its own XML-RPC: what `supervisorctl` does, with answers instead of text."""

from __future__ import annotations

import base64
import configparser
import http.client
import socket
import time
import xmlrpc.client
from pathlib import Path
from typing import Any

from ansible.module_utils.stagewright.commands import Failure

BAD_NAME, NOT_RUNNING, STILL_RUNNING, CANT_REREAD = 10, 70, 91, 92
GONE_S = 15.0
"""How long a process may take to be gone: supervisord kills it after `stopwaitsecs`, which are fewer."""
STEP_S = 0.1
_TIMEOUT_S = 30


class _UnixConnection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(self.host)


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: str, login: str | None) -> None:
        super().__init__()
        self._path = path
        self._login = login

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _UnixConnection(self._path)

    def send_headers(self, connection: http.client.HTTPConnection, headers: list[tuple[str, str]]) -> None:
        if self._login:
            headers = [*headers, ("Authorization", f"Basic {self._login}")]
        super().send_headers(connection, headers)


def _connect(configuration: Path) -> Any:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    if not parser.read(configuration):
        raise Failure(
            f"supervisord's configuration {configuration} is missing.", "Set servers[].supervisor to it.",
            resource="supervisor",
        )  # fmt: skip
    control = parser["supervisorctl"] if parser.has_section("supervisorctl") else {}
    address = control.get("serverurl", "").replace("%(here)s", str(configuration.parent))
    login = f"{control.get('username', '')}:{control.get('password', '')}"
    encoded = base64.b64encode(login.encode()).decode() if login != ":" else None
    if address.startswith("unix://"):
        return xmlrpc.client.ServerProxy(
            "http://127.0.0.1", transport=_Transport(address[len("unix://") :], encoded)
        )
    return xmlrpc.client.ServerProxy(f"{address}/RPC2" if encoded is None else _with_login(address, login))


def _with_login(address: str, login: str) -> str:
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{login}@{rest}/RPC2"


class Supervisor:
    """The groups of one supervisord.

    Raises:
        Failure: it cannot be reached (retryable), or refuses the configuration.
    """

    def __init__(self, configuration: Path) -> None:
        self.programs = configuration.parent / "conf.d"
        self._server = _connect(configuration).supervisor

    def _call(self, name: str, *arguments: Any, ignored: tuple[int, ...] = ()) -> Any:
        try:
            return getattr(self._server, name)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode in ignored:
                return None
            raise Failure(
                f"supervisord refused {name}: {fault.faultString}", "See supervisord's log.",
                resource="supervisor",
            ) from None  # fmt: skip
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise Failure(
                f"supervisord does not answer ({type(error).__name__}).", "See that supervisord runs.",
                resource="supervisor", retryable=True,
            ) from None  # fmt: skip

    def state(self, name: str) -> str | None:
        """`RUNNING`, `STARTING`, `BACKOFF`, `FATAL` …; None where it knows no such program."""
        found = self._call("getProcessInfo", f"{name}:{name}", ignored=(BAD_NAME,))
        return str(found["statename"]) if found else None

    def remove(self, name: str) -> None:
        """Stop a program, wait until it is gone, and forget it."""
        end = time.monotonic() + GONE_S
        while self.state(name) is not None:
            self._call("stopProcessGroup", name, ignored=(BAD_NAME, NOT_RUNNING))
            # It may be stopping since an attempt that was killed: then stopping it again waits for nothing.
            if self._call("removeProcessGroup", name, ignored=(BAD_NAME, STILL_RUNNING)):
                return
            if time.monotonic() > end:
                raise Failure(
                    f"The process {name} does not end.", "See what it waits for, or kill it.",
                    resource=f"process {name}", retryable=True,
                )  # fmt: skip
            time.sleep(STEP_S)

    def add(self, name: str) -> None:
        """Read the program files again and start this one."""
        self._call("reloadConfig")
        self._call("addProcessGroup", name)

    def forget(self, name: str) -> bool:
        """Stop a program for good: no start of supervisord brings it back. False where it knew none."""
        program = self.programs / f"{name}.ini"
        known = program.exists() or self.state(name) is not None
        program.unlink(missing_ok=True)
        self.remove(name)
        # What cannot be read again is another program's file, and its deployment's to mend.
        self._call("reloadConfig", ignored=(CANT_REREAD,))
        return known


def supervisor_of(configuration: str | None) -> Supervisor:
    """The server's supervisor.

    Raises:
        Failure: it has none.
    """
    if configuration:
        return Supervisor(Path(configuration))
    raise Failure(
        "The server has no supervisor.", "Set servers[].supervisor to supervisord's configuration.",
        resource="supervisor",
    )  # fmt: skip

"""supervisord as this stack uses it: its configuration, and its XML-RPC over a unix socket."""

import http.client
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from embedded import ini
from embedded.layout import Layout
from embedded.program import Program
from embedded.running import environment
from embedded.unixhttp import UnixConnection
from stagewright.errors import Terminal

GROUPS = {"parts": 10, "services": 20}
"""By priority: services stop first, each group all at once."""
SOCKET = "supervisor"
_TIMEOUT = 60.0
_SHUTTING_DOWN, _NOT_RUNNING, _ALREADY_STARTED = 6, 70, 60  # supervisor.xmlrpc.Faults


def configuration(layout: Layout, programs: Sequence[Program]) -> str:
    """supervisord's configuration; nothing starts by itself, the stack knows the order."""
    sections: dict[str, Mapping[str, str]] = {
        "unix_http_server": {"file": str(layout.socket(SOCKET)), "chmod": "0600"},
        "supervisord": {
            "logfile": str(layout.logs / "supervisord.log"),
            "logfile_maxbytes": "5MB",
            "logfile_backups": "3",
            "pidfile": str(layout.run / "supervisord.pid"),
            "childlogdir": str(layout.logs),
            "identifier": "stagewright",
            "umask": "077",
        },
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
        "supervisorctl": {"serverurl": f"unix://{layout.socket(SOCKET)}"},
    }
    for group, priority in GROUPS.items():
        members = [program for program in programs if program.group == group]
        if members:
            names = ",".join(program.name for program in members)
            sections[f"group:{group}"] = {"programs": names, "priority": str(priority)}
            sections |= {f"program:{program.name}": _program(layout, program) for program in members}
    return ini.render(sections)


def _program(layout: Layout, program: Program) -> dict[str, str]:
    return {
        "command": ini.command(program.argv),
        "directory": str(program.cwd or layout.root),
        "environment": ini.environment(environment(program)),
        "autostart": "false",
        "autorestart": "true",
        "startsecs": "1",
        # It never gives up: a part that was killed several times in a row must come back all the same.
        # supervisord waits one second longer before each further try.
        "startretries": "1000",
        "umask": "077",
        "stopsignal": program.stop_signal,
        "stopwaitsecs": str(program.stop_seconds),
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": str(layout.logs / f"{program.name}.log"),
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": "3",
    }


@dataclass(frozen=True)
class Supervised:
    """A part as supervisord sees it. `state` is its word for it: RUNNING, STARTING, BACKOFF, FATAL…"""

    name: str
    state: str
    pid: int
    """0 where there is no process."""
    uptime: float
    """Seconds."""
    exit_status: int
    detail: str

    @property
    def alive(self) -> bool:
        """A process is there."""
        return self.pid > 0


class Supervision:
    """The supervisor of one stack. Every call raises OSError where it does not run, or not for long."""

    def __init__(self, layout: Layout) -> None:
        self._path = layout.socket(SOCKET)

    def alive(self) -> bool:
        """Whether it answers."""
        try:
            self.pid()
        except OSError:
            return False
        return True

    def pid(self) -> int:
        """supervisord's own process."""
        return cast("int", self._call("getPID"))

    def parts(self) -> dict[str, Supervised]:
        """Every part by name."""
        found = cast("list[dict[str, Any]]", self._call("getAllProcessInfo"))
        return {each["name"]: _supervised(each) for each in found}

    def start(self, name: str) -> None:
        """Have it started; returns at once. Nothing happens where it runs.

        Raises:
            Terminal: `stack.part_failed`, where it cannot even be tried.
        """
        try:
            self._call("startProcess", self._spec(name), False, ignored=_ALREADY_STARTED)
        except xmlrpc.client.Fault as fault:
            raise Terminal(
                "stack.part_failed", name, f"{fault.faultString}.", "Run `stagewright doctor`."
            ) from fault

    def stop(self, name: str) -> None:
        """Stop it and wait until it ended."""
        self._call("stopProcess", self._spec(name), True, ignored=_NOT_RUNNING)

    def shutdown(self) -> None:
        """Have everything stopped, supervisord last; returns at once."""
        self._call("shutdown")

    def _spec(self, name: str) -> str:
        found = cast("list[dict[str, Any]]", self._call("getAllProcessInfo"))
        return next((f"{each['group']}:{name}" for each in found if each["name"] == name), name)

    def _call(self, method: str, *arguments: Any, ignored: int | None = None) -> Any:
        with xmlrpc.client.ServerProxy("http://stack", transport=_Transport(self._path)) as proxy:
            try:
                return getattr(proxy.supervisor, method)(*arguments)
            except xmlrpc.client.Fault as fault:
                if fault.faultCode == _SHUTTING_DOWN:
                    raise ConnectionError("it is shutting down") from fault
                if fault.faultCode != ignored:
                    raise
            except http.client.HTTPException as error:
                raise ConnectionError(str(error)) from error


def _supervised(info: Mapping[str, Any]) -> Supervised:
    running = info["pid"] > 0
    return Supervised(
        name=info["name"],
        state=info["statename"],
        pid=info["pid"],
        uptime=max(0, info["now"] - info["start"]) if running else 0,
        exit_status=info["exitstatus"],
        detail=info["spawnerr"] or info["description"],
    )


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> UnixConnection:
        return UnixConnection(self._path, _TIMEOUT)

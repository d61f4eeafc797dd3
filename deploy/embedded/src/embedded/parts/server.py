"""The server's supervisor: keeps the deployed services running, each from its own file in `conf.d`."""

import sys
from pathlib import Path

from embedded import probes
from embedded.ini import render
from embedded.layout import SERVER, Layout
from embedded.program import Program

NAME = SERVER


def configuration_file(layout: Layout) -> Path:
    """What `supervisorctl -c` takes."""
    return layout.server_home / "supervisord.conf"


def program(layout: Layout) -> Program:
    """The supervisor. It stops what it supervises, and its children die with it, however it ends."""
    home, config = layout.server_home, configuration_file(layout)
    return Program(
        name=NAME,
        argv=(sys.executable, "-m", "embedded.supervising", "-n", "-c", str(config)),
        ready=probes.unix_get(layout.socket(NAME), "/RPC2", accepted=(200, 400, 401, 404, 405, 500, 501)),
        endpoint=f"unix://{layout.socket(NAME)}",
        files={config: render(_sections(layout))},
        directories=(home / "conf.d", home / "logs"),
        stop_seconds=30,
    )


def _sections(layout: Layout) -> dict[str, dict[str, str]]:
    home, url = layout.server_home, f"unix://{layout.socket(NAME)}"
    return {
        "unix_http_server": {"file": str(layout.socket(NAME)), "chmod": "0600"},
        "supervisord": {
            "logfile": str(home / "logs" / "supervisord.log"),
            "logfile_maxbytes": "5MB",
            "logfile_backups": "3",
            "pidfile": str(home / "supervisord.pid"),
            "childlogdir": str(home / "logs"),
            "identifier": SERVER,
            "umask": "077",
        },
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
        "supervisorctl": {"serverurl": url},
        "include": {"files": "conf.d/*.ini"},
    }

"""The database server for services: PostgreSQL on loopback, passwords as SCRAM.

It refuses to run as root. A stack that root started runs it, and it alone, as an account without privileges
that may still pass the directories on the way to its data (CAP_DAC_OVERRIDE), wherever the project lies.
"""

import pwd

from embedded import binaries, probes
from embedded.credentials import Credentials
from embedded.layout import LOOPBACK, Layout
from embedded.ports import Ports
from embedded.program import Program, Setup

NAME = "postgres"
PORTS = ("postgres",)
USER = "postgres"
UNPRIVILEGED = "nobody"


def program(layout: Layout, ports: Ports, credentials: Credentials, *, root: bool) -> Program:
    """The server; `root` says that the stack runs as root."""
    home = layout.part(NAME)
    prefix = _unprivileged() if root else ()
    bin_ = binaries.postgres_bin()
    setup = Setup(
        argv=(
            *prefix, str(bin_ / "initdb"), "--pgdata", str(home), "--username", USER,
            "--pwfile", str(credentials.postgres_password_file), "--auth", "scram-sha-256",
            "--encoding", "UTF8", "--locale", "C", "--no-instructions",
        ),
        creates=home / "global" / "pg_control",
    )  # fmt: skip
    return Program(
        name=NAME,
        argv=(*prefix, str(bin_ / "postgres"), "-D", str(home), *_options(ports)),
        ready=probes.postgres(ports["postgres"], USER),
        endpoint=f"postgresql://{USER}@{LOOPBACK}:{ports['postgres']}",
        directories=(home,),
        setup=(setup,),
        run_as=UNPRIVILEGED if root else None,
        stop_signal="INT",  # "fast": ends sessions instead of waiting for them
        stop_seconds=20,
    )


def _options(ports: Ports) -> tuple[str, ...]:
    return (
        "-p", str(ports["postgres"]),
        "-c", f"listen_addresses={LOOPBACK}",
        "-c", "unix_socket_directories=",
        "-c", "shared_buffers=32MB",
        "-c", "max_connections=100",
    )  # fmt: skip


def _unprivileged() -> tuple[str, ...]:
    account = pwd.getpwnam(UNPRIVILEGED)
    caps = "-all,+dac_override"
    return (
        "setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups",
        f"--inh-caps={caps}", f"--ambient-caps={caps}", f"--bounding-set={caps}", "--pdeathsig=INT", "--",
    )  # fmt: skip

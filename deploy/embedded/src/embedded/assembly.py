"""From a configuration to the programs of a stack: which parts, on which ports, with whose credentials."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from embedded import binaries, connection, credentials, ports
from embedded.credentials import Credentials
from embedded.layout import Layout, layout, make_private, remember_runtime
from embedded.parts import aws, caddy, nats, openbao, postgres, s3, server, service
from embedded.ports import Ports
from embedded.program import Program
from stagewright.errors import Terminal
from stagewright.settings import CONNECTION_FILE

PORTS = (*nats.PORTS, *openbao.PORTS, *aws.PORTS, *s3.PORTS, *postgres.PORTS, *caddy.PORTS)


@dataclass(frozen=True)
class Configuration:
    """What a stack is started with."""

    data_dir: Path
    mirrors: Mapping[str, str] = field(default_factory=dict)
    """Git addresses and where they are fetched from instead: `git.mirrors` of the settings."""
    parts: tuple[str, ...] = ()
    """The parts to start, all of them where none is named; a bench needs the bus alone, say."""
    services: tuple[str, ...] = tuple(service.SERVICES)
    """Our own services to start; none for the parts alone."""
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    """Its `STAGEWRIGHT_*` variables reach the services."""
    cwd: Path = field(default_factory=Path.cwd)
    """Where `stagewright.toml` is looked for."""


@dataclass(frozen=True)
class Assembled:
    """A stack that is ready to be started."""

    layout: Layout
    ports: Ports
    credentials: Credentials
    programs: tuple[Program, ...]


def assemble(configuration: Configuration) -> Assembled:
    """Make or read ports and credentials, write the connection file, build the programs.

    Raises:
        Terminal: a directory is not ours, a binary is missing, no port is free, or half of the data is gone.
    """
    found = layout(configuration.data_dir)
    for directory in (found.root, found.run, found.logs):
        make_private(directory)
    remember_runtime(found)
    made = credentials.ensure(found)
    _ensure_first_password(found, made)
    before = ports.load(found.ports)
    chosen = ports.choose(PORTS, before)
    credentials.write_private(found.ports, ports.dump(chosen))
    text = connection.connection_file(
        found, chosen, made, node_bin=binaries.node_bin(found.node_links), mirrors=dict(configuration.mirrors)
    )
    credentials.write_private(found.root / CONNECTION_FILE, text)
    return Assembled(found, chosen, made, _programs(configuration, found, chosen, made, before))


def reassemble(configuration: Configuration) -> Assembled:
    """The same for a stack that was started already; changes nothing."""
    found = layout(configuration.data_dir)
    made, chosen = credentials.ensure(found), ports.load(found.ports)
    return Assembled(found, chosen, made, _programs(configuration, found, chosen, made, chosen))


def _programs(
    configuration: Configuration, found: Layout, chosen: Ports, made: Credentials, before: Ports
) -> tuple[Program, ...]:
    parts = (
        nats.program(found, chosen, made.nkeys),
        openbao.program(found, chosen, made),
        postgres.program(found, chosen, made, root=os.getuid() == 0),
        aws.program(found, chosen),
        s3.program(found, chosen, made),
        caddy.program(found, chosen, before),
        server.program(found),
    )
    services = (
        service.program(name, found, chosen, configuration.environment, configuration.cwd)
        for name in configuration.services
    )
    wanted = configuration.parts or tuple(part.name for part in parts)
    return (*(part for part in parts if part.name in wanted), *services)


def _ensure_first_password(found: Layout, made: Credentials) -> None:
    """PostgreSQL and the vault learn the password at their first start; after it nobody keeps a file."""
    new = [name for name, initialised in _initialised(found).items() if not initialised]
    if new and len(new) < len(_initialised(found)) and not made.postgres_password_file.exists():
        raise Terminal(
            "stack.data_missing",
            str(found.part(new[0])),
            f"the data of {new[0]} is gone, while its password is where the other data is.",
            f"Put it back, or remove {found.root} to start from nothing.",
        )
    if new:
        credentials.ensure_postgres_password(made)


def _initialised(found: Layout) -> dict[str, bool]:
    return {
        postgres.NAME: (found.part(postgres.NAME) / "global" / "pg_control").exists(),
        openbao.NAME: (found.part(openbao.NAME) / "raft" / "vault.db").exists(),
    }

"""Our own services: order-intake, orchestrator and executor, each a process of this interpreter."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from embedded import presence
from embedded.connection import nats_settings
from embedded.layout import Layout
from embedded.parts import aws, caddy, nats, openbao, postgres, s3, server
from embedded.ports import Ports
from embedded.program import Program

SERVICES: Mapping[str, tuple[str, ...]] = {
    "order-intake": (nats.NAME,),
    "orchestrator": (nats.NAME,),
    "executor": (
        nats.NAME,
        openbao.NAME,
        aws.NAME,
        s3.NAME,
        postgres.NAME,
        caddy.NAME,
        server.NAME,
        "orchestrator",
    ),
}
"""Each service with the parts that serve before it starts."""


def program(name: str, layout: Layout, ports: Ports, environment: Mapping[str, str], cwd: Path) -> Program:
    """One service; it reads its settings as everybody does, from this data directory's connection file.

    `environment` is the caller's: its `STAGEWRIGHT_*` variables reach the service. `cwd` is where
    `stagewright.toml` is looked for.
    """
    bus = nats_settings(layout, ports)
    own = {key: value for key, value in environment.items() if key.startswith("STAGEWRIGHT_")}
    module = name.replace("-", "_")
    return Program(
        name=name,
        argv=(sys.executable, "-m", f"{module}.main"),
        ready=presence.answers(bus, name),
        endpoint=f"$SRV.PING.{name}",
        environment=own | {"STAGEWRIGHT_DATA_DIR": str(layout.root), "PYTHONUNBUFFERED": "1"},
        cwd=cwd,
        needs=SERVICES.get(name, (nats.NAME,)),
        own_path=os.fspath(Path(sys.executable).parent),
        group="services",
        stop_seconds=15,
    )

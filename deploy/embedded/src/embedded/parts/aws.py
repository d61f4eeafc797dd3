"""The AWS endpoint: moto for Route 53 (and whatever else is asked), recorded and replayed at start."""

import sys

from embedded import probes
from embedded.layout import LOOPBACK, Layout
from embedded.ports import Ports
from embedded.program import Program

NAME = "aws"
PORTS = ("aws",)


def program(layout: Layout, ports: Ports) -> Program:
    """The server; it listens when the recording is replayed, so who reaches it finds everything there."""
    home = layout.part(NAME)
    recording = home / "recording.jsonl"
    return Program(
        name=NAME,
        argv=(sys.executable, "-m", "embedded.aws_endpoint", str(ports["aws"]), str(recording)),
        ready=probes.http_get(ports["aws"], "/moto-api/data.json"),
        endpoint=f"http://{LOOPBACK}:{ports['aws']}",
        # moto reaches for no other service, and its clients' credentials are not its own.
        environment={"AWS_EC2_METADATA_DISABLED": "true", "MOTO_ENABLE_RECORDING": ""},
        directories=(home,),
    )

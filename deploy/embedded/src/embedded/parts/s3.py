"""Object storage: SeaweedFS as one process, its S3 door with an identity of its own for the executor.

Anybody on this machine may read an object of a front's bucket whose name is known, which is what the proxy
does; nobody without the keys may list or write.
"""

import json
from pathlib import Path

from embedded import binaries, probes
from embedded.credentials import Credentials
from embedded.layout import LOOPBACK, Layout
from embedded.ports import Ports
from embedded.program import Program

NAME = "s3"
PORTS = (
    "s3",
    "s3-grpc",
    "s3-master",
    "s3-master-grpc",
    "s3-volume",
    "s3-volume-grpc",
    "s3-filer",
    "s3-filer-grpc",
)
BUCKET_PREFIX = "stagewright"


def program(layout: Layout, ports: Ports, credentials: Credentials) -> Program:
    """The server."""
    home = layout.part(NAME)
    identities = home / "identities.json"
    return Program(
        name=NAME,
        argv=(
            str(binaries.beside_python("weed")), "-logtostderr=true", "server",
            f"-dir={home / 'data'}", f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}",
            f"-master.port={ports['s3-master']}", f"-master.port.grpc={ports['s3-master-grpc']}",
            # The only master elects itself; by default a restart would wait ten seconds for others.
            "-master.electionTimeout=500ms", "-master.heartbeatInterval=100ms",
            "-master.volumeSizeLimitMB=128", "-master.telemetry=false",
            f"-volume.port={ports['s3-volume']}", f"-volume.port.grpc={ports['s3-volume-grpc']}",
            "-volume.max=1000", "-volume.preStopSeconds=0",
            "-filer", "-filer.disableDirListing",
            f"-filer.port={ports['s3-filer']}", f"-filer.port.grpc={ports['s3-filer-grpc']}",
            "-s3", f"-s3.port={ports['s3']}", f"-s3.port.grpc={ports['s3-grpc']}",
            "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", f"-s3.config={identities}",
        ),
        ready=probes.succeeds(
            probes.http_get(ports["s3"], "/healthz"),
            # The door opens before the master knows its volumes; until then every object is a 500.
            probes.http_says(
                ports["s3-master"], "/dir/status", f'"Url":"{LOOPBACK}:{ports["s3-volume"]}"'.encode()
            ),
        ),
        endpoint=f"http://{LOOPBACK}:{ports['s3']}",
        # Each bucket is a collection with volumes of its own, seven by default: too many environments to fit.
        environment={"HOME": str(home), "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"},
        files={identities: json.dumps(_identities(credentials), indent=1)},
        directories=(home / "data",),
        leftovers=_sockets(ports),
        stop_seconds=2,  # it would wait ten for its own streams; what it stored is with the kernel already
    )  # fmt: skip


def _sockets(ports: Ports) -> tuple[Path, ...]:
    # Their place is fixed in SeaweedFS; only their owner may connect.
    names = {
        "s3": "s3",
        "s3-grpc": "s3-grpc",
        "master-grpc": "s3-master-grpc",
        "volume-grpc": "s3-volume-grpc",
        "filer-grpc": "s3-filer-grpc",
    }
    return tuple(Path(f"/tmp/seaweedfs-{name}-{ports[port]}.sock") for name, port in names.items())  # noqa: S108


def _identities(credentials: Credentials) -> dict[str, object]:
    keys = {"accessKey": credentials.aws_access_key, "secretKey": credentials.aws_secret_key}
    return {
        "identities": [
            {
                "name": "executor",
                "credentials": [keys],
                "actions": ["Admin", "Read", "Write", "List", "Tagging"],
            },
            {"name": "anonymous", "actions": [f"Read:{BUCKET_PREFIX}-*"]},
        ]
    }

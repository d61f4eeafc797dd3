"""A real nats-server whose users have the permissions of the topology, for tests of the console."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nkeys

from stagewright.messaging.topology import CONSOLE, User

SERVER = Path(sys.executable).parent / "nats-server"
BACKEND = User("backend", publish=(">",), subscribe=(">",))


@dataclass
class Bus:
    """A server with its data in `home`; can be stopped and started again on the same port."""

    home: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def credentials(self) -> Path:
        return self.home / "credentials"

    def environment(self) -> dict[str, str]:
        """What a process needs to find the bus as the console."""
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith("STAGEWRIGHT_")},
            "STAGEWRIGHT_NATS__URL": self.url,
            "STAGEWRIGHT_NATS__CREDENTIALS": str(self.credentials),
            "STAGEWRIGHT_DATA_DIR": str(self.home),
        }

    def start(self) -> None:
        """Start, and return when it answers."""
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [SERVER, "-c", self.home / "server.conf"], stdout=log, stderr=subprocess.STDOUT
            )
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError((self.home / "server.log").read_text())

    def stop(self) -> None:
        """Terminate, then kill."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


@contextmanager
def bus(home: Path) -> Iterator[Bus]:
    """A running server with the users `console` and `backend` (who may do everything)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = Bus(home, free.getsockname()[1])
    server.credentials.mkdir(parents=True)
    users = ",\n".join(_user(server.credentials, user) for user in (CONSOLE, BACKEND))
    (home / "server.conf").write_text(
        f'listen: "127.0.0.1:{server.port}"\n'
        f'jetstream {{ store_dir: "{home}/jetstream" }}\n'
        f"authorization {{ users: [\n{users}\n] }}\n"
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _user(credentials: Path, user: User) -> str:
    raw = os.urandom(32)
    seed = nkeys.encode_seed(raw, nkeys.PREFIX_BYTE_USER)
    (credentials / f"{user.name}.nk").write_bytes(bytes(seed))
    public = nkeys.from_seed(bytearray(seed)).public_key.decode()
    publish = ", ".join(f'"{subject}"' for subject in user.publish)
    subscribe = ", ".join(f'"{subject}"' for subject in user.subscriptions)
    return f'{{ nkey: "{public}", permissions: {{ publish: [{publish}], subscribe: [{subscribe}] }} }}'

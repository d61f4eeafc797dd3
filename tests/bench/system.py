"""The whole system as processes, with real servers and synced writes; only the executor does nothing."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from nats.aio.client import Client
from nats.errors import NoRespondersError

from stagewright.messaging.connecting import connect
from stagewright.messaging.topology import CONSOLE, ORCHESTRATOR
from tests.support.parts import NatsServer, fresh_layout, run_nats

SERVICES = {
    "orchestrator": "orchestrator.main",
    "order-intake": "order_intake.main",
    "executor": "tests.bench.noop_executor",
}


@dataclass(frozen=True)
class System:
    """A running system: `client` is a person's connection, `admin` may do what the orchestrator may."""

    client: Client
    admin: Client
    processes: dict[str, psutil.Process]
    data_dir: Path

    def cpu_seconds(self) -> dict[str, float]:
        """User and system seconds so far, by process."""
        return {name: sum(process.cpu_times()[:2]) for name, process in self.processes.items()}


@contextmanager
def _services(
    bus: NatsServer, data_dir: Path, settings: Mapping[str, str]
) -> Iterator[dict[str, psutil.Process]]:
    environment = {
        **os.environ,
        "STAGEWRIGHT_PROFILE": "test",
        "STAGEWRIGHT_DATA_DIR": str(data_dir),
        "STAGEWRIGHT_NATS__URL": bus.url,
        "STAGEWRIGHT_NATS__CREDENTIALS": str(bus.credentials),
        "STAGEWRIGHT_EXECUTOR__SLOTS": "512",
        "STAGEWRIGHT_LOG_LEVEL": "warning",
        **settings,
    }
    started = {
        name: subprocess.Popen([sys.executable, "-m", module], env=environment)
        for name, module in SERVICES.items()
    }
    try:
        yield {name: psutil.Process(process.pid) for name, process in started.items()}
    finally:
        for process in started.values():
            process.terminate()
        for process in started.values():
            process.wait(20)


async def _answering(client: Client, name: str) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await client.request(f"$SRV.PING.{name}", b"", timeout=1)
                return
            except (NoRespondersError, TimeoutError):
                await asyncio.sleep(0.05)


@asynccontextmanager
async def running(**settings: str) -> AsyncIterator[System]:
    """Start everything, wait until every service answers, and stop it all at the end."""
    with fresh_layout() as layout, run_nats(layout, users=True) as bus:
        data_dir = layout.root / "data"
        with _services(bus, data_dir, settings) as processes:
            client = await connect(bus.url, CONSOLE, seed_file=bus.settings.seed(CONSOLE.name))
            admin = await connect(bus.url, ORCHESTRATOR, seed_file=bus.settings.seed(ORCHESTRATOR.name))
            for name in SERVICES:
                await _answering(client, name)
            everything = {"nats-server": psutil.Process(bus.pid), **processes}
            yield System(client, admin, everything, data_dir)
            await client.close()
            await admin.close()

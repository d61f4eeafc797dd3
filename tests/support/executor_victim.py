"""An executor of its own process, to be killed: `… -m tests.support.executor_victim URL SEED EFFECTS HANG`.

Its handler makes its effect once (a line in EFFECTS, described before it is made), says so, and with HANG
never comes to its outcome.
"""

import asyncio
import sys
from pathlib import Path

from executor.handling import Context, Handler
from executor.leases import Leases
from executor.worker import Worker
from stagewright.contracts.base import Stage
from stagewright.contracts.commands import Command
from stagewright.contracts.events import EnvironmentConfigured
from stagewright.messaging import topology
from stagewright.messaging.connecting import connect

LEASE = 1.0
"""Seconds: short, so that tests need not wait for a killed holder."""


def _make(file: Path) -> bool:
    if file.exists():
        return False
    file.write_text("made\n")
    return True


async def main(url: str, seed: str, effects: str, hang: bool) -> None:
    """Work until killed."""
    file = Path(effects)

    async def handler(command: Command, context: Context) -> EnvironmentConfigured:
        made = _make(file)
        if hang:
            await asyncio.Event().wait()
        return context.answer(EnvironmentConfigured, records=(), changed=("made",) if made else ())

    client = await connect(url, topology.EXECUTOR, seed_file=Path(seed))
    leases = Leases(client.jetstream(), ttl=LEASE)
    handlers = {Stage.CONFIGURE_ENVIRONMENT: Handler(handler)}
    await Worker(client, handlers, slots=1, leases=leases).run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], len(sys.argv) > 4))

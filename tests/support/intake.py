"""order-intake as a process against a real bus, with a stand-in for the orchestrator's receipts."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from stagewright.contracts.orders import OrderReceived, Receipt, SubmitReply
from stagewright.contracts.queries import ReceiptList, ReceiptsQuery
from stagewright.messaging.connecting import connect
from stagewright.messaging.declaring import declare
from stagewright.messaging.topology import CONSOLE, ORCHESTRATOR, ORDERS, SUBMIT
from tests.support.eventually import eventually
from tests.support.parts import NatsServer

RECEIPTS = "queries.orders.receipts"
REFERENCE = (Path(__file__).parents[2] / "examples/orders/environment-3.yml").read_bytes()


@dataclass
class Receipts:
    """Answers `queries.orders.receipts` over the bus, from what it was told; counts the questions."""

    known: dict[str, Receipt] = field(default_factory=dict)
    questions: list[tuple[str, ...]] = field(default_factory=list)

    async def answer(self, msg: Msg) -> None:
        """Reply with the receipts of the known ids."""
        query = ReceiptsQuery.model_validate_json(msg.data)
        self.questions.append(query.order_ids)
        found = tuple(self.known[id_] for id_ in query.order_ids if id_ in self.known)
        await msg.respond(ReceiptList(receipts=found).model_dump_json().encode())


@dataclass
class Stage:
    """A bus with intake and the stand-in, and a client's view of it."""

    bus: NatsServer
    process: subprocess.Popen[bytes]
    log: Path
    client: Client
    orchestrator: Client
    js: JetStreamContext
    receipts: Receipts

    async def submit(self, body: bytes, *, message_id: str | None = None, timeout: float = 10) -> SubmitReply:
        """One request to `orders.submit`."""
        headers = {"Nats-Msg-Id": message_id} if message_id is not None else None
        reply = await self.client.request(SUBMIT, body, timeout=timeout, headers=headers)
        return SubmitReply.model_validate_json(reply.data)

    async def published(self) -> int:
        """How many messages ORDERS holds."""
        return (await self.js.stream_info(ORDERS)).state.messages

    async def last(self) -> OrderReceived:
        """The last order that was published."""
        state = (await self.js.stream_info(ORDERS)).state
        return OrderReceived.model_validate_json((await self.js.get_msg(ORDERS, state.last_seq)).data or b"")


def start_intake(bus: NatsServer, log: Path) -> subprocess.Popen[bytes]:
    """The service as its users start it, with its own credentials; logs go to `log`."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("STAGEWRIGHT_")},
        "STAGEWRIGHT_NATS__URL": bus.url,
        "STAGEWRIGHT_DATA_DIR": str(log.parent / "no-stack-here"),
    }
    if bus.credentials:
        environment["STAGEWRIGHT_NATS__CREDENTIALS"] = str(bus.credentials)
    with log.open("ab") as out:
        return subprocess.Popen([sys.executable, "-m", "order_intake.main"], env=environment, stderr=out)


async def ready(client: Client) -> None:
    """Wait until intake answers for itself."""

    async def ping() -> bool:
        try:
            await client.request("$SRV.PING.order-intake", b"", timeout=0.5)
        except Exception:
            return False
        return True

    await eventually(ping, timeout=20)


@asynccontextmanager
async def stage(bus: NatsServer, directory: Path, *, answering: bool = True) -> AsyncIterator[Stage]:
    """Streams, the stand-in (unless `answering` is false), intake as a process, and a console's client."""
    orchestrator = await connect(bus.url, ORCHESTRATOR, seed_file=bus.settings.seed(ORCHESTRATOR.name))
    js = orchestrator.jetstream()
    await declare(js)
    receipts = Receipts()
    if answering:
        await orchestrator.subscribe(RECEIPTS, cb=receipts.answer)
    client = await connect(bus.url, CONSOLE, seed_file=bus.settings.seed(CONSOLE.name))
    process = start_intake(bus, directory / "intake.log")
    try:
        await ready(client)
        yield Stage(bus, process, directory / "intake.log", client, orchestrator, js, receipts)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        await client.close()
        await orchestrator.close()

"""order-intake as a process against a real bus, with a stand-in for the orchestrator's receipts and plans."""

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

from stagewright.contracts.orders import (
    OFFLINE_HEADER,
    SUBMITTER_HEADER,
    Order,
    OrderReceived,
    Receipt,
    SubmitReply,
)
from stagewright.contracts.queries import (
    PlanQuery,
    PlanReply,
    PlanView,
    QueryError,
    ReceiptList,
    ReceiptsQuery,
)
from stagewright.messaging.connecting import connect
from stagewright.messaging.declaring import declare
from stagewright.messaging.topology import CONSOLE, ORCHESTRATOR, ORDERS, PLAN, SUBMIT
from tests.support.eventually import eventually
from tests.support.parts import NatsServer

RECEIPTS = "queries.orders.receipts"
BELIEVED = "queries.plans.believed"
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
class Plans:
    """Answers `queries.plans.believed` over the bus with `answer`; keeps the orders it was asked about."""

    answer: PlanView | QueryError | None = None
    orders: list[Order] = field(default_factory=list)

    async def reply(self, msg: Msg) -> None:
        """Reply, where there is an answer."""
        order = PlanQuery.model_validate_json(msg.data).order
        assert order is not None
        self.orders.append(order)
        if self.answer is not None:
            await msg.respond(self.answer.model_dump_json().encode())


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
    plans: Plans

    async def submit(
        self,
        body: bytes,
        *,
        message_id: str | None = None,
        submitter: str | None = None,
        timeout: float = 10,
    ) -> SubmitReply:
        """One request to `orders.submit`."""
        headers = {"Nats-Msg-Id": message_id, SUBMITTER_HEADER: submitter}
        return SubmitReply.model_validate_json(await self._ask(SUBMIT, body, headers, timeout))

    async def plan(
        self, body: bytes, *, message_id: str | None = None, offline: str | None = None
    ) -> PlanReply:
        """One request to `orders.plan`."""
        headers = {"Nats-Msg-Id": message_id, OFFLINE_HEADER: offline}
        return PlanReply.model_validate_json(await self._ask(PLAN, body, headers, 10))

    async def _ask(self, subject: str, body: bytes, headers: dict[str, str | None], timeout: float) -> bytes:
        given = {name: value for name, value in headers.items() if value is not None}
        reply = await self.client.request(subject, body, timeout=timeout, headers=given or None)
        return reply.data

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
    receipts, plans = Receipts(), Plans()
    if answering:
        await orchestrator.subscribe(RECEIPTS, cb=receipts.answer)
        await orchestrator.subscribe(BELIEVED, cb=plans.reply)
    client = await connect(bus.url, CONSOLE, seed_file=bus.settings.seed(CONSOLE.name))
    process = start_intake(bus, directory / "intake.log")
    try:
        await ready(client)
        yield Stage(bus, process, directory / "intake.log", client, orchestrator, js, receipts, plans)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        await client.close()
        await orchestrator.close()

"""A real orchestrator process on a real bus, with an executor of plain values that answers its commands."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.errors import NoRespondersError

from stagewright.contracts.commands import ALL_COMMANDS, Command
from stagewright.contracts.control import ControlReply, ControlRequest, Verb, control_subject
from stagewright.contracts.events import Outcome
from stagewright.contracts.orders import OrderReceived
from stagewright.ids import outcome_id
from stagewright.messaging.connecting import connect
from stagewright.messaging.consuming import BatchConsumer
from stagewright.messaging.envelope import envelope, header
from stagewright.messaging.publishing import Outgoing, publish_all
from stagewright.messaging.topology import (
    CONSOLE,
    EVENTS,
    EXECUTOR_COMMANDS,
    ORCHESTRATOR,
    ORDERS,
    event_subject,
    received_subject,
)
from tests.support.parts import NatsServer
from tests.support.saga import Reality, outcome

TYPES = {cls.ce_type: cls for cls in ALL_COMMANDS}
Answer = Callable[[Command, Reality], Outcome | None]


@dataclass
class Bench:
    """One orchestrator to start, kill and ask. `client` may do what the orchestrator may, `person` asks."""

    bus: NatsServer
    data_dir: Path
    client: Client
    person: Client
    environment: dict[str, str]
    reality: Reality = field(default_factory=Reality)
    commands: list[Command] = field(default_factory=list)
    answer: Answer = outcome
    _process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process and wait until it answers queries."""
        log = (self.data_dir / "orchestrator.log").open("ab")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "orchestrator.main", env=self.environment, stderr=log, stdout=log
        )
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(NoRespondersError, TimeoutError):
                    if (await self.query("system.health"))["status"] == "ready":
                        return
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """As power loss would."""
        assert self._process is not None
        self._process.kill()
        await asyncio.wait_for(self._process.wait(), 10)

    async def stop(self) -> int:
        """As a supervisor would; returns the exit code."""
        assert self._process is not None
        self._process.terminate()
        return await asyncio.wait_for(self._process.wait(), 10)

    def log(self) -> str:
        """What the process wrote."""
        return (self.data_dir / "orchestrator.log").read_text()

    async def query(self, name: str, **body: Any) -> Any:
        """Ask `queries.<name>`."""
        reply = await self.person.request(f"queries.{name}", json.dumps(body).encode(), timeout=2)
        return json.loads(reply.data)

    async def ask(self, verb: Verb, order_id: str = "o1", *, by: str = "bob", **more: str) -> ControlReply:
        """Ask `control.orders.<verb>`."""
        body = ControlRequest(order_id=order_id, by=by, **more).model_dump_json().encode()
        reply = await self.person.request(control_subject(verb), body, timeout=2)
        return ControlReply.model_validate_json(reply.data)

    async def send(self, message: OrderReceived) -> None:
        """Publish an order as order-intake does."""
        head = envelope(
            message,
            message_id=message.order_id,
            source="order-intake",
            time=message.received_at,
            correlation_id=message.order_id,
            causation_id=message.order_id,
        )
        subject = received_subject(message.order.environment)
        await publish_all(self.client.jetstream(), [Outgoing(subject, ORDERS, message.to_json(), head)])

    async def reply(self, event: Outcome) -> None:
        """Publish an outcome as an executor does."""
        head = envelope(
            event,
            message_id=outcome_id(event.command_id, event.fence),
            source="executor",
            time=event.finished_at,
            correlation_id=event.order_id,
            causation_id=str(event.command_id),
        )
        subject = event_subject(event.stage, event.environment, event.order_id)
        await publish_all(self.client.jetstream(), [Outgoing(subject, EVENTS, event.to_json(), head)])

    async def execute(self) -> None:
        """Answer commands for ever; a command that gets no answer stays unacknowledged."""
        async for batch in BatchConsumer(self.client, EXECUTOR_COMMANDS, limit=64).batches():
            for msg in batch:
                command = TYPES[header(msg.headers, "ce-type") or ""].model_validate_json(msg.data)
                self.commands.append(command)
                event = self.answer(command, self.reality)
                if event is not None:
                    await self.reply(event)
                    await msg.ack()

    async def show(self, order_id: str = "o1") -> Any:
        """`orders show`."""
        return await self.query("orders.show", order_id=order_id)


@asynccontextmanager
async def orchestrating(
    bus: NatsServer, data_dir: Path, *, start: bool = True, **settings: str
) -> AsyncIterator[Bench]:
    """An orchestrator (started unless told not to) and its plain executor."""
    environment = {
        **os.environ,
        "STAGEWRIGHT_PROFILE": "test",
        "STAGEWRIGHT_DATA_DIR": str(data_dir),
        "STAGEWRIGHT_NATS__URL": bus.url,
        "STAGEWRIGHT_SAGA__BACKOFF": "0.05",
        **settings,
    }
    if bus.credentials:
        environment["STAGEWRIGHT_NATS__CREDENTIALS"] = str(bus.credentials)
    client = await connect(bus.url, ORCHESTRATOR, seed_file=bus.settings.seed("orchestrator"))
    person = await connect(bus.url, CONSOLE, seed_file=bus.settings.seed("console"))
    bench = Bench(bus, data_dir, client, person, environment)
    executor = asyncio.create_task(bench.execute()) if not bus.credentials else None
    try:
        if start:
            await bench.start()
        yield bench
    finally:
        if executor is not None:
            executor.cancel()
            await asyncio.gather(executor, return_exceptions=True)
        if bench._process is not None and bench._process.returncode is None:
            await bench.stop()
        await client.close()
        await person.close()

"""A bus for executor tests: streams declared, commands published as the orchestrator would, outcomes read."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from executor.handling import Handler, Handlers
from executor.worker import Worker
from stagewright import ids
from stagewright.contracts.base import Stage
from stagewright.contracts.commands import (
    Command,
    ConfigureEnvironment,
    DeployService,
    InspectEnvironment,
    UpdateRoutes,
)
from stagewright.contracts.events import ALL_OUTCOMES, Outcome
from stagewright.contracts.order_events import CommandsWithdrawn
from stagewright.contracts.orders import Repository
from stagewright.contracts.work import Allocation, Deployable
from stagewright.messaging import topology
from stagewright.messaging.connecting import connect
from stagewright.messaging.declaring import declare
from stagewright.messaging.envelope import envelope
from stagewright.messaging.publishing import Outgoing, publish_all
from tests.support.parts import NatsServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
STREAMS = (topology.COMMANDS, topology.EVENTS, topology.LOGS, topology.DEAD, topology.WITHDRAWALS)
_OUTCOMES = {outcome.ce_type: outcome for outcome in ALL_OUTCOMES}


def git(where: Path, *arguments: str) -> str:
    """Run git in a repository of a test; what it says."""
    names = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "tag.gpgSign=false")
    done = subprocess.run(["git", *names, *arguments], cwd=where, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def deployable(service: str = "7", kind: str = "node", path: str = "/", **more) -> Deployable:
    """A service as commands carry it."""
    block = "front" if kind in {"angular", "static"} else "api"
    repository = more.pop("repository", Repository(url=f"https://git.example.com/acme/{service}"))
    return Deployable(id=service, block=block, path=path, type=kind, repository=repository, **more)


def _base(stage: Stage, order: str, environment: str, attempt: int, service: str | None = None) -> dict:
    return {
        "command_id": ids.command_id(order, stage, service, attempt),
        "order_id": order,
        "environment": environment,
        "attempt": attempt,
    }


def inspect(order: str = "o-1", environment: str = "3", attempt: int = 1, **more) -> InspectEnvironment:
    """An inspect command of one service."""
    more.setdefault("services", (deployable(),))
    return InspectEnvironment(**_base(Stage.INSPECT, order, environment, attempt), **more)


def configure(order: str = "o-1", environment: str = "3", attempt: int = 1, **more) -> ConfigureEnvironment:
    """A configure command of one domain."""
    more.setdefault("domains", ("api.lab.example.com",))
    return ConfigureEnvironment(**_base(Stage.CONFIGURE_ENVIRONMENT, order, environment, attempt), **more)


def routes(order: str = "o-1", environment: str = "3", attempt: int = 1, **more) -> UpdateRoutes:
    """A routes command."""
    return UpdateRoutes(**_base(Stage.UPDATE_ROUTES, order, environment, attempt), **more)


def deploy(
    order: str = "o-1", environment: str = "3", attempt: int = 1, service: Deployable | None = None, **more
) -> DeployService:
    """A deploy command."""
    target = service or deployable()
    more.setdefault("allocation", Allocation(service=target.id, server="server-1", port=3001))
    more.setdefault("commit", COMMIT)
    base = _base(Stage.DEPLOY_SERVICES, order, environment, attempt, target.id)
    return DeployService(**base, service=target, **more)


@dataclass
class Bus:
    """Both ends of a worker's work, seen by an orchestrator."""

    server: NatsServer
    client: Client
    js: JetStreamContext = field(init=False)

    def __post_init__(self) -> None:
        self.js = self.client.jetstream()

    async def send(self, *commands: Command) -> None:
        """Publish commands as the relay does."""
        await publish_all(
            self.js,
            [
                Outgoing(
                    topology.command_subject(one.stage, one.environment, one.order_id),
                    topology.COMMANDS,
                    one.to_json(),
                    envelope(
                        one,
                        message_id=one.command_id,
                        source="orchestrator",
                        time="2026-11-23T10:00:00.000000Z",
                        correlation_id=one.order_id,
                        causation_id="cause",
                    ),
                )
                for one in commands
            ],
        )

    async def withdraw(self, *commands: Command) -> None:
        """Withdraw commands of one order, as the relay says it."""
        first = commands[0]
        body = CommandsWithdrawn(
            order_id=first.order_id,
            environment=first.environment,
            commands=tuple(one.command_id for one in commands),
        )
        await self.js.publish(
            topology.withdrawal_subject(first.environment, first.order_id),
            body.to_json(),
            stream=topology.WITHDRAWALS,
            headers={"ce-type": body.ce_type},
        )

    async def stored(self, stream: str) -> list[RawStreamMsg]:
        """Every message that a stream holds."""
        state = (await self.js.stream_info(stream)).state
        found = []
        for sequence in range(max(1, state.first_seq), state.last_seq + 1):
            try:
                found.append(await self.js.get_msg(stream, sequence))
            except NotFoundError:
                continue
        return found

    async def outcomes(self) -> list[Outcome]:
        """Every outcome so far, in order."""
        return [
            _OUTCOMES[raw.headers["ce-type"]].model_validate_json(raw.data)
            for raw in await self.stored(topology.EVENTS)
        ]

    async def waiting(self) -> tuple[int, int]:
        """Commands (in the stream, delivered but not acknowledged)."""
        info = await self.js.consumer_info(topology.COMMANDS, topology.EXECUTOR_COMMANDS.name)
        return (await self.js.stream_info(topology.COMMANDS)).state.messages, info.num_ack_pending or 0

    async def executor(self) -> Client:
        """A connection with the executor's own rights."""
        seed = self.server.settings.seed(topology.EXECUTOR.name)
        return await connect(self.server.url, topology.EXECUTOR, seed_file=seed)

    async def hurry(self) -> None:
        """Have the last delivered command delivered again now: nobody is left to wait for."""
        consumer = topology.EXECUTOR_COMMANDS.name
        last = (await self.js.consumer_info(topology.COMMANDS, consumer)).delivered
        where = f"{topology.COMMANDS}.{consumer}.1.{last.stream_seq}.{last.consumer_seq}.0.0"
        await self.client.publish(f"$JS.ACK.{where}", b"-NAK")
        await self.client.flush()

    async def shorten_ack_wait(self, seconds: float) -> None:
        """The executor's consumer again, with another ACK_WAIT."""
        name = topology.EXECUTOR_COMMANDS.name
        config = (await self.js.consumer_info(topology.COMMANDS, name)).config
        await self.js.delete_consumer(topology.COMMANDS, name)
        await self.js.add_consumer(topology.COMMANDS, replace(config, ack_wait=seconds))

    async def take(self) -> Msg:
        """Take one command as a worker that dies afterwards would."""
        pull = await self.js.pull_subscribe_bind(topology.EXECUTOR_COMMANDS.name, topology.COMMANDS)
        return (await pull.fetch(1, timeout=5))[0]


def only(run, *, stage: Stage = Stage.CONFIGURE_ENVIRONMENT, **more) -> dict[Stage, Handler]:
    """Handlers of an executor that does one stage."""
    return {stage: Handler(run, **more)}


@asynccontextmanager
async def working(
    bus: Bus, handlers: Handlers, *, slots: int = 4, grace: float = 5, **more
) -> AsyncIterator[asyncio.Event]:
    """A worker with the executor's own rights; setting the event stops it."""
    client = await bus.executor()
    stop = asyncio.Event()
    running = asyncio.create_task(Worker(client, handlers, slots=slots, grace=grace, **more).run(stop))
    try:
        yield stop
    finally:
        stop.set()
        await running
        await client.close()


@asynccontextmanager
async def executor_bus(server: NatsServer) -> AsyncIterator[Bus]:
    """The bus with empty streams."""
    seed = server.settings.seed(topology.ORCHESTRATOR.name)
    client = await connect(server.url, topology.ORCHESTRATOR, seed_file=seed)
    try:
        js = client.jetstream()
        for stream in (*STREAMS, f"KV_{topology.LEASES_BUCKET}"):
            try:
                await js.delete_stream(stream)
            except NotFoundError:
                continue
        await declare(js)
        yield Bus(server, client)
    finally:
        await client.close()

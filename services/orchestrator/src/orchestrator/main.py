"""`python -m orchestrator.main`: joins store, saga, relay, deadlines and queries, and runs them."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from orchestrator.app import controls
from orchestrator.app.deadlines import Deadlines
from orchestrator.app.journal import journal
from orchestrator.app.positions import Positions
from orchestrator.app.process import Process
from orchestrator.app.relay import Relay
from orchestrator.domain.order import OrderState
from orchestrator.domain.policies import Policy, Rule
from orchestrator.domain.world import order_stream
from orchestrator.projections import queries
from orchestrator.projections.index import Index
from orchestrator.projections.queries import Queries
from orchestrator.projections.runner import Runner
from orchestrator.store.codec import Recorded
from orchestrator.store.event_store import EventStore
from stagewright.errors import StagewrightError
from stagewright.messaging.cancellation import checkpoint
from stagewright.messaging.connecting import BusHealth, connect
from stagewright.messaging.declaring import declare
from stagewright.messaging.presence import announce
from stagewright.messaging.topology import ORCHESTRATOR
from stagewright.runtime import run
from stagewright.settings import RetryRule, Settings
from stagewright.telemetry import configure_logging

log = structlog.get_logger()

_PAUSE = 0.5


def policy(settings: Settings) -> Policy:
    """The saga's policy, out of the settings."""
    servers = {server.name: server.address for server in settings.servers}
    saga = settings.saga
    return Policy(
        rule=_rule(saga),
        rules={code: _rule(rule) for code, rule in saga.retries.items()},
        probe=_rule(saga.probe_backoff),
        stage_timeout=saga.stage_timeout,
        stage_timeouts=saga.stage_timeouts,
        approval=saga.approval,
        approval_timeout=saga.approval_timeout,
        servers=servers or Policy().servers,
        first_ports={server.name: server.first_port for server in settings.servers},
        bucket_prefix=settings.aws.bucket_prefix,
    )


def _rule(rule: RetryRule) -> Rule:
    return Rule(rule.max_attempts, rule.backoff, rule.backoff_cap)


class Orchestrator:
    """One running orchestrator over a connection and a store."""

    def __init__(self, settings: Settings, client: Client, store: EventStore, health: BusHealth) -> None:
        self._client = client
        self._js = client.jetstream()
        self._health = health
        self._lost = asyncio.Event()
        self._index = Index(
            settings.data_dir / "index.sqlite", log=store.identity(), last_position=store.last_position()
        )
        self._relay = Relay(self._js, store, self._lost.set)
        positions = Positions(lambda: self._relay.position, store.position)
        rules = policy(settings)
        self._process = Process(client, store, rules, self._appended, positions, self._lost.set)
        self._runner = Runner(store, self._index, self._process.states)
        self._deadlines = Deadlines(self._process.remind, self._process.states)
        self._queries = Queries(
            store,
            self._index,
            self._runner,
            self._process.states,
            health,
            https_port=settings.proxy.https_port,
            servers=rules.servers,
        )

    def _appended(self, batch: Sequence[Recorded]) -> None:
        self._relay.appended(batch)
        journal(batch)
        self._deadlines.appended(batch)
        self._runner.appended(batch)

    async def run(self) -> None:
        """Restore what the log says is open, then work until cancelled."""
        await declare(self._js)
        await self._runner.catch_up()
        opened = self._open_orders()
        self._deadlines.restore(opened)
        self._relay.republish(opened)
        self._health.on_reconnect.append(self._reconnected)
        async with asyncio.TaskGroup() as group:
            for part in (self._relay, self._deadlines, self._runner, self._process):
                group.create_task(part.run())
            group.create_task(self._restore())
            service = await announce(self._client, "orchestrator", "the saga and its queries")
            await queries.serve(self._client, service, self._queries)
            await controls.serve(self._client, service, self._process)
            checkpoint()
            log.info("ready", action="orchestrator.ready", open_orders=len(opened))

    def _open_orders(self) -> list[OrderState]:
        states = (
            self._process.states.state(order_stream(order_id)) for order_id in self._index.open_orders()
        )
        return [state for state in states if isinstance(state, OrderState)]

    async def _reconnected(self) -> None:
        self._lost.set()

    async def _restore(self) -> None:
        """The bus may have come back empty: declare everything again, and ask again for what is open."""
        while True:
            checkpoint()
            await self._lost.wait()
            self._lost.clear()
            try:
                await declare(self._js)
            except (NatsError, JetStreamError, TimeoutError) as error:
                log.warning("cannot declare yet", action="topology.failed", error=repr(error))
                await asyncio.sleep(_PAUSE)
                self._lost.set()
                continue
            await self._runner.catch_up()
            self._relay.republish(self._open_orders())
            log.info("bus restored", action="topology.restored")

    def close(self) -> None:
        """Close the index."""
        self._index.close()


async def serve_until_stopped(settings: Settings) -> None:
    """Connect, run, and stop cleanly at SIGTERM or SIGINT."""
    health = BusHealth()
    store = EventStore.open(settings.event_store, settings.data_dir)
    client = await connect(
        settings.nats.url, ORCHESTRATOR, seed_file=settings.nats.seed(ORCHESTRATOR.name), health=health
    )
    orchestrator = Orchestrator(settings, client, store, health)
    work = asyncio.ensure_future(orchestrator.run())
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping", action="orchestrator.stopping")
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
    finally:
        await client.close()
        orchestrator.close()
        store.close()


def main() -> None:
    """The process's entry point. Exits 1 with the reason where it cannot run."""
    settings = Settings()
    configure_logging("orchestrator", settings.log_level)
    try:
        run(serve_until_stopped(settings))
    except StagewrightError as error:
        log.error("cannot run", action="orchestrator.failed", **error.info.model_dump())
        sys.exit(1)


if __name__ == "__main__":
    main()

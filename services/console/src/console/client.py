"""The console's client: submit, plan, ask, control and follow, over NATS and nothing else."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats.errors
from nats.aio.client import Client

from console.asking import Asking, Unreachable, failure
from console.connecting import connect_console
from console.following import Entry, Feeds
from stagewright.contracts.control import ControlReply, ControlRequest, Verb, control_subject
from stagewright.contracts.orders import (
    OFFLINE_HEADER,
    ORDER_ID_PATTERN,
    SUBMITTER_HEADER,
    Order,
    SubmitReply,
)
from stagewright.contracts.queries import (
    AttemptList,
    EnvironmentQuery,
    EnvironmentView,
    EventList,
    OrderList,
    OrderListQuery,
    OrderQuery,
    OrderView,
    PlanQuery,
    PlanReply,
    PlanView,
    Probe,
    RollbackOrder,
    RollbackQuery,
)
from stagewright.errors import Terminal
from stagewright.ids import uuid7
from stagewright.messaging import topology
from stagewright.messaging.connecting import BusHealth
from stagewright.settings import Settings

CONNECT_TIMEOUT = 3.0
_HISTORY = 15.0
_ORDER_ID = re.compile(ORDER_ID_PATTERN)


class Console:
    """One connection as the console user. Made by `connected`."""

    def __init__(self, client: Client, health: BusHealth) -> None:
        self._client = client
        self._asking = Asking(client, health)

    async def submit(
        self, body: bytes, order_id: str | None = None, *, by: str | None = None, timeout: float = 20.0
    ) -> SubmitReply:
        """Submit an order, YAML or JSON, in the name of `by`. Without `order_id` a UUIDv7 is made; an
        `order_id` field inside the order goes before both. Lost replies are asked for again under the same
        id, so that the order is taken once.

        Raises:
            Unreachable: nobody answered within `timeout` seconds; submitting again with the same id is safe.
            Terminal: `order.too_large`, more than the bus carries.
        """
        return await self._asking.send(topology.SUBMIT, body, _headers(order_id, by), SubmitReply, timeout)

    async def plan(
        self, body: bytes, *, by: str | None = None, offline: bool = False, timeout: float = 20.0
    ) -> PlanReply:
        """Ask for the plan of an order: accepted under an id of its own, or offline the plan itself.

        Raises as `submit` does.
        """
        headers = _headers(None, by) | ({OFFLINE_HEADER: "true"} if offline else {})
        return await self._asking.send(topology.PLAN, body, headers, PlanReply, timeout)

    async def control(self, verb: Verb, request: ControlRequest) -> ControlReply:
        """Ask something of an order that is under way. Safe to repeat.

        Raises:
            Unreachable: nobody answers.
        """
        return await self._asking.ask(control_subject(verb), request, ControlReply)

    async def orders(self, query: OrderListQuery | None = None) -> OrderList:
        """Orders, newest first."""
        return await self._asking.ask("queries.orders.list", query or OrderListQuery(), OrderList)

    async def order(self, order_id: str) -> OrderView:
        """One order.

        Raises:
            Terminal: there is no such order. Unreachable: nobody answers.
        """
        return await self._asking.ask("queries.orders.show", OrderQuery(order_id=order_id), OrderView)

    async def order_events(self, order_id: str) -> EventList:
        """What the log holds about one order. Raises as `order` does."""
        return await self._asking.ask("queries.orders.events", OrderQuery(order_id=order_id), EventList)

    async def attempts(self, order_id: str) -> AttemptList:
        """Every command of an order. Raises as `order` does."""
        return await self._asking.ask("queries.orders.attempts", OrderQuery(order_id=order_id), AttemptList)

    async def plan_view(self, plan_id: str) -> PlanView:
        """A plan that was made under this id. Raises as `order` does."""
        return await self._asking.ask("queries.plans.show", PlanQuery(plan_id=plan_id), PlanView)

    async def rollback(self, environment_id: str, to: str) -> Order:
        """The order that brings an environment back to where an order left it. Raises as `order` does."""
        query = RollbackQuery(environment_id=environment_id, to=to)
        return (await self._asking.ask("queries.orders.rollback", query, RollbackOrder)).order

    async def environment(self, environment_id: str) -> EnvironmentView:
        """One environment. Raises as `order` does."""
        query = EnvironmentQuery(environment_id=environment_id)
        return await self._asking.ask("queries.environments.show", query, EnvironmentView)

    async def health(self) -> Probe:
        """How the orchestrator feels."""
        return await self._asking.ask("queries.system.health", None, Probe)

    async def services(self, *, patience: float = 0.5) -> list[str]:
        """Names of the services on the bus that answer a ping within `patience` seconds (ADR-32)."""
        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(inbox)
        await self._client.publish("$SRV.PING", b"", inbox)
        names: set[str] = set()
        with contextlib.suppress(nats.errors.TimeoutError):
            async with asyncio.timeout(4 * patience):
                while True:
                    reply = await subscription.next_msg(timeout=patience)
                    names.add(str(json.loads(reply.data or b"{}").get("name", "")))
        await subscription.unsubscribe()
        return sorted(names - {""})

    def follow(self, order_id: str, *, known_end: str | None = None) -> AsyncIterator[Entry]:
        """All about an order from its beginning, then live, until it has ended; survives reconnects.

        An end at `known_end` is one that the order went on from, or will.

        Raises:
            Terminal: the id is none.
        """
        return Feeds(self._client, _token(order_id)).follow(known_end)

    def tail(self, order_id: str) -> AsyncIterator[Entry]:
        """As `follow`, and for ever: an order is heard of after its end too."""
        return Feeds(self._client, _token(order_id)).tail()

    async def history(self, order_id: str) -> list[Entry]:
        """Everything that the streams hold about an order now, in the order in which it happened.

        Raises:
            Terminal: the id is none. Unreachable: the streams do not answer.
        """
        feeds = Feeds(self._client, _token(order_id))
        try:
            async with asyncio.timeout(_HISTORY):
                return await feeds.history()
        except TimeoutError as error:
            raise self._asking.silent("the streams EVENTS and LOGS", error) from error


@asynccontextmanager
async def connected(settings: Settings, *, timeout: float = CONNECT_TIMEOUT) -> AsyncIterator[Console]:
    """Connect as the console user of `settings.nats`.

    Raises:
        Unreachable: no server answers at the address within `timeout` seconds, or it refuses the user.
    """
    health = BusHealth()
    client = await connect_console(settings, health, timeout)
    try:
        yield Console(client, health)
    finally:
        with contextlib.suppress(nats.errors.Error, OSError):
            await client.close()


def _headers(order_id: str | None, by: str | None) -> dict[str, str]:
    headers = {"Nats-Msg-Id": order_id or str(uuid7())}
    return headers if by is None else headers | {SUBMITTER_HEADER: by}


def _token(order_id: str) -> str:
    """The id as a token of a subject, where `*`, `>` and dots would mean other orders."""
    if not _ORDER_ID.fullmatch(order_id):
        raise Terminal(
            "order.unknown",
            f"orders/{order_id}",
            "no order has such an id.",
            "List the known ones with `stagewright orders list`.",
        )
    return order_id


__all__ = ["Console", "Unreachable", "connected", "failure"]

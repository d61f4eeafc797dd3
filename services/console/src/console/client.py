"""The console's client: submit, ask and follow, over NATS and nothing else."""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import nats.errors
from nats.aio.client import Client
from pydantic import BaseModel, ValidationError

from console.doctor.settings import masked
from console.following import Entry, Feeds
from stagewright.contracts.base import Contract
from stagewright.contracts.orders import ORDER_ID_PATTERN, SubmitReply
from stagewright.contracts.queries import (
    EnvironmentQuery,
    EnvironmentView,
    EventList,
    OrderList,
    OrderListQuery,
    OrderQuery,
    OrderView,
    Probe,
    QueryError,
)
from stagewright.errors import ErrorInfo, Retryable, StagewrightError, Terminal
from stagewright.ids import uuid7
from stagewright.messaging import topology
from stagewright.messaging.connecting import BusHealth, connect
from stagewright.settings import Settings

View = TypeVar("View", bound=BaseModel)

CONNECT_TIMEOUT = 3.0
_GRACE_AFTER_ERROR = 0.5
_SUBMIT_TRY = 5.0
_NO_RESPONDERS_PAUSE = 0.25
_HISTORY = 15.0
_ORDER_ID = re.compile(ORDER_ID_PATTERN)


class Unreachable(Retryable):
    """The bus, or the service behind a subject, does not answer."""


class Console:
    """One connection as the console user. Made by `connected`."""

    def __init__(self, client: Client, health: BusHealth) -> None:
        self._client = client
        self._health = health

    async def submit(self, body: bytes, order_id: str | None = None, *, timeout: float = 20.0) -> SubmitReply:
        """Submit an order, YAML or JSON. Without `order_id` a UUIDv7 is made; an `order_id` field inside the
        order goes before both. Lost replies are asked for again under the same id, so that the order is
        taken once.

        Raises:
            Unreachable: nobody answered within `timeout` seconds; submitting again with the same id is safe.
            Terminal: `order.too_large`, more than the bus carries.
        """
        self._check_size(body)
        headers = {"Nats-Msg-Id": order_id or str(uuid7())}
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            try:
                reply = await self._client.request(
                    topology.SUBMIT, body, timeout=max(0.1, min(_SUBMIT_TRY, left)), headers=dict(headers)
                )
                return _parsed(SubmitReply, reply.data, topology.SUBMIT)
            except (nats.errors.TimeoutError, nats.errors.NoRespondersError) as error:
                if deadline - time.monotonic() <= 0 or self._hopeless(error, deadline, timeout):
                    raise self._silent(topology.SUBMIT, error) from error
                await asyncio.sleep(_NO_RESPONDERS_PAUSE)

    async def orders(self, query: OrderListQuery | None = None) -> OrderList:
        """Orders, newest first."""
        return await self._ask("queries.orders.list", query or OrderListQuery(), OrderList)

    async def order(self, order_id: str) -> OrderView:
        """One order.

        Raises:
            Terminal: there is no such order. Unreachable: nobody answers.
        """
        return await self._ask("queries.orders.show", OrderQuery(order_id=order_id), OrderView)

    async def order_events(self, order_id: str) -> EventList:
        """What the log holds about one order. Raises as `order` does."""
        return await self._ask("queries.orders.events", OrderQuery(order_id=order_id), EventList)

    async def environment(self, environment_id: str) -> EnvironmentView:
        """One environment. Raises as `order` does."""
        query = EnvironmentQuery(environment_id=environment_id)
        return await self._ask("queries.environments.show", query, EnvironmentView)

    async def health(self) -> Probe:
        """How the orchestrator feels."""
        return await self._ask("queries.system.health", None, Probe)

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

    def follow(self, order_id: str) -> AsyncIterator[Entry]:
        """All about an order from its beginning, then live, until it has ended; survives reconnects.

        Raises:
            Terminal: the id is none.
        """
        return Feeds(self._client, _token(order_id)).follow()

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
            raise self._silent("the streams EVENTS and LOGS", error) from error

    async def _ask(self, subject: str, query: Contract | None, view: type[View]) -> View:
        body = query.model_dump_json().encode() if query else b""
        try:
            reply = await self._client.request(subject, body, timeout=5)
        except (nats.errors.TimeoutError, nats.errors.NoRespondersError) as error:
            raise self._silent(subject, error) from error
        return _parsed(view, reply.data, subject)

    def _check_size(self, body: bytes) -> None:
        if len(body) > self._client.max_payload:
            raise Terminal(
                "order.too_large",
                "",
                f"the order has {len(body)} bytes, more than the bus carries.",
                "Write it in at most 64 KiB; describe one environment only.",
            )

    @staticmethod
    def _hopeless(error: Exception, deadline: float, timeout: float) -> bool:
        """Nobody listens: give a restarting service two seconds, not the whole timeout."""
        waited = timeout - (deadline - time.monotonic())
        return isinstance(error, nats.errors.NoRespondersError) and waited > min(2.0, timeout)

    def _silent(self, subject: str, error: Exception) -> Unreachable:
        if isinstance(error, nats.errors.NoRespondersError):
            reason = "the bus answers, but no service listens there."
        elif self._health.last_error:
            reason = f"no answer in time; the bus said: {self._health.last_error}."
        else:
            reason = "no answer in time."
        return Unreachable(
            "bus.no_answer", subject, reason, "See `stagewright status` and `stagewright doctor`."
        )


@asynccontextmanager
async def connected(settings: Settings, *, timeout: float = CONNECT_TIMEOUT) -> AsyncIterator[Console]:
    """Connect as the console user of `settings.nats`.

    Raises:
        Unreachable: no server answers at the address within `timeout` seconds, or it refuses the user.
    """
    health = BusHealth()
    client = await _connect(settings, health, timeout)
    try:
        yield Console(client, health)
    finally:
        with contextlib.suppress(nats.errors.Error, OSError):
            await client.close()


async def _connect(settings: Settings, health: BusHealth, timeout: float) -> Client:
    """The client retries for ever by nature; a person at a terminal wants to know soon."""
    seed = settings.nats.seed(topology.CONSOLE.name)
    if seed is not None and not seed.is_file():
        raise _unreachable(settings, f"the key file {seed} does not exist")
    attempt = asyncio.create_task(connect(settings.nats.url, topology.CONSOLE, seed_file=seed, health=health))
    give_up = time.monotonic() + timeout
    failed_at: float | None = None
    while not attempt.done() and time.monotonic() < give_up:
        await asyncio.wait({attempt}, timeout=0.05)
        if health.last_error and failed_at is None:
            failed_at = time.monotonic()
            give_up = min(give_up, failed_at + _GRACE_AFTER_ERROR)
    if not attempt.done():
        attempt.cancel()
        await asyncio.wait({attempt}, timeout=1)
        raise _unreachable(settings, health.last_error or f"no answer within {timeout:g} s")
    try:
        return attempt.result()
    except (OSError, nats.errors.Error, ValueError) as error:
        raise _unreachable(settings, str(error)) from error


def _unreachable(settings: Settings, reason: str) -> Unreachable:
    return Unreachable(
        "bus.unreachable",
        masked("nats.url", settings.nats.url),
        f"cannot connect: {reason}.",
        "Start the one-machine stack with `stagewright up`, or set STAGEWRIGHT_NATS__URL; "
        "`stagewright doctor` tells more.",
    )


def _parsed(view: type[View], data: bytes, subject: str) -> View:
    with contextlib.suppress(ValidationError):
        return view.model_validate_json(data)
    with contextlib.suppress(ValidationError):
        raise failure(QueryError.model_validate_json(data).error)
    raise Terminal(
        "bus.reply_invalid",
        subject,
        "the reply is not of the contract.",
        "Run the same version of the console and of the services.",
    )


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


def failure(info: ErrorInfo) -> StagewrightError:
    """The error that a service's `info` stands for."""
    kind = Terminal if info.kind == "terminal" else Retryable
    return kind(info.code, info.resource, info.reason, info.remedy, retry_after=info.retry_after)

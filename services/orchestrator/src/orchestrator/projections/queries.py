"""`queries.<noun>.<verb>`, served as a NATS micro service."""

import re
from collections.abc import Awaitable, Callable, Mapping

import orjson
import structlog
from nats.aio.client import Client
from nats.micro.request import Request
from nats.micro.service import Service
from pydantic import ValidationError

from orchestrator.domain.environment import EnvironmentState
from orchestrator.domain.order import OrderState
from orchestrator.domain.world import World, environment_stream, order_stream
from orchestrator.projections import plans, rollback
from orchestrator.projections.attempts import attempts
from orchestrator.projections.index import Index, OrderRow
from orchestrator.projections.runner import Runner
from orchestrator.projections.views import environment_view, order_view
from orchestrator.store.codec import Recorded
from orchestrator.store.event_store import EventStore
from stagewright.contracts.base import Contract
from stagewright.contracts.orders import Receipt
from stagewright.contracts.queries import (
    AttemptList,
    EnvironmentQuery,
    EnvironmentView,
    EventList,
    OrderList,
    OrderListQuery,
    OrderQuery,
    OrderSummary,
    OrderView,
    PlanQuery,
    PlanView,
    Probe,
    QueryError,
    ReceiptList,
    ReceiptsQuery,
    RollbackOrder,
    RollbackQuery,
    StoredEventView,
)
from stagewright.errors import ErrorInfo, Terminal
from stagewright.messaging.connecting import BusHealth

log = structlog.get_logger()

Answer = Callable[[bytes], Awaitable[Contract]]
_PLACE = re.compile("[0-9]{1,18}")


class Queries:
    """Answers every query: lists from the index, which first catches up, single things from folded states."""

    def __init__(
        self,
        store: EventStore,
        index: Index,
        runner: Runner,
        world: World,
        health: BusHealth,
        *,
        https_port: int,
        servers: Mapping[str, str],
    ) -> None:
        self._store = store
        self._index = index
        self._runner = runner
        self._world = world
        self._health = health
        self._https_port = https_port
        self._servers = servers

    def _order(self, order_id: str) -> OrderState:
        state = self._world.state(order_stream(order_id))
        if not isinstance(state, OrderState) or not state.known:
            raise _unknown("order", order_id, "List the known ones with `stagewright orders list`.")
        return state

    def _known(self, name: str) -> EnvironmentState:
        """What the log says of an environment; as of one where nothing ever was, if it says nothing."""
        state = self._world.state(environment_stream(name))
        return state if isinstance(state, EnvironmentState) else EnvironmentState()

    def _environment(self, name: str) -> EnvironmentState:
        state = self._known(name)
        if not state.environment:
            raise _unknown("environment", name, "Submit an order for it first.")
        return state

    async def serve(self, service: Service) -> None:
        """Add an endpoint for each query to the service."""
        for subject, answer in (
            ("queries.orders.list", self.orders_list),
            ("queries.orders.show", self.orders_show),
            ("queries.orders.events", self.orders_events),
            ("queries.orders.attempts", self.orders_attempts),
            ("queries.orders.receipts", self.orders_receipts),
            ("queries.orders.rollback", self.orders_rollback),
            ("queries.plans.show", self.plans_show),
            ("queries.plans.believed", self.plans_believed),
            ("queries.environments.show", self.environments_show),
            ("queries.system.health", self.system_health),
        ):
            name = subject.removeprefix("queries.").replace(".", "-")
            await service.add_endpoint(name=name, subject=subject, handler=_handler(answer))

    async def orders_show(self, body: bytes) -> OrderView:
        """One order, with its place in the queue while it waits."""
        query = OrderQuery.model_validate_json(body)
        view = order_view(self._order(query.order_id), self._https_port)
        known = self._known(view.environment_id)
        if view.order_id not in known.queue:
            return view
        place = known.queue.index(view.order_id) + 1
        return view.model_copy(update={"queue_position": place, "waits_for": known.owner})

    async def orders_list(self, body: bytes) -> OrderList:
        """Orders, newest first, a page at a time."""
        query = OrderListQuery.model_validate_json(body or b"{}")
        await self._runner.catch_up()
        rows = self._index.orders(
            query.environment_id, query.status, query.purpose, _place(query.before), query.limit
        )
        orders = tuple(_summary(row) for row in rows)
        return OrderList(orders=orders, next=str(rows[-1].number) if len(rows) == query.limit else None)

    async def orders_events(self, body: bytes) -> EventList:
        """Every event of the log that follows from an order, in whatever stream."""
        query = OrderQuery.model_validate_json(body)
        await self._runner.catch_up()
        positions = self._index.event_positions(self._order(query.order_id).order_id)
        rows = [row for position in positions for row in self._store.read(position - 1, 1)]
        return EventList(events=tuple(_event_view(row) for row in rows))

    async def orders_attempts(self, body: bytes) -> AttemptList:
        """Every command of an order, and what came of it."""
        query = OrderQuery.model_validate_json(body)
        history = self._store.load(order_stream(self._order(query.order_id).order_id))
        return AttemptList(attempts=attempts(history))

    async def orders_rollback(self, body: bytes) -> RollbackOrder:
        """The order that brings an environment back to where an order left it."""
        query = RollbackQuery.model_validate_json(body)
        target = self._order(query.to)
        name = self._environment(query.environment_id).environment
        past = rollback.left_by(self._store.load(environment_stream(name)), target.order_id)
        if past is None or target.status != "succeeded":
            raise Terminal(
                "rollback.no_result",
                query.to,
                f"the order did not succeed in environment {name}.",
                f"Name one that did: stagewright orders list -e {name} --status succeeded",
            )
        return RollbackOrder(order=rollback.compiled(past, target.order_id))

    async def plans_show(self, body: bytes) -> PlanView:
        """The plan of an order, made from what was looked at."""
        query = PlanQuery.model_validate_json(body)
        return plans.made(self._order(query.plan_id or ""))

    async def plans_believed(self, body: bytes) -> PlanView:
        """What an order would do by what the log says: nobody else is asked."""
        query = PlanQuery.model_validate_json(body)
        if query.order is None:
            raise Terminal("query.malformed", "order", "is missing.", "Send the order to be planned.")
        return plans.believed(query.order, self._known(query.order.environment), self._servers)

    async def orders_receipts(self, body: bytes) -> ReceiptList:
        """Which of these orders were ever received. Asks the log itself: it must hold for ever, and now."""
        query = ReceiptsQuery.model_validate_json(body)
        receipts = []
        for order_id in query.order_ids:
            state = self._world.state(order_stream(order_id))
            if isinstance(state, OrderState) and state.known:
                receipts.append(
                    Receipt(order_id=order_id, digest=state.digest, received_at=state.received_at)
                )
        return ReceiptList(receipts=tuple(receipts))

    async def environments_show(self, body: bytes) -> EnvironmentView:
        """One environment as the log believes it to be."""
        query = EnvironmentQuery.model_validate_json(body)
        return environment_view(self._environment(query.environment_id), self._https_port)

    async def system_health(self, body: bytes) -> Probe:
        """Whether the saga works: connected, and how far the log is."""
        error = self._health.last_error
        return Probe(
            status="ready" if self._health.connected else "degraded",
            position=self._store.last_position(),
            detail=error,
        )


def _place(before: str | None) -> int | None:
    if before is None:
        return None
    if not _PLACE.fullmatch(before):
        raise Terminal(
            "query.malformed", "before", "no page has such a mark.", "Use `next` of the page before."
        )
    return int(before)


def _summary(row: OrderRow) -> OrderSummary:
    fields = row._asdict()
    return OrderSummary.model_validate({name: fields[name] for name in OrderSummary.model_fields})


def _handler(answer: Answer) -> Callable[[Request], Awaitable[None]]:
    async def handle(request: Request) -> None:
        try:
            reply: Contract = await answer(request.data)
        except ValidationError as error:
            reply = QueryError(error=_malformed(error))
        except Terminal as error:
            reply = QueryError(error=error.info)
        await request.respond(reply.model_dump_json().encode())

    return handle


def _malformed(error: ValidationError) -> ErrorInfo:
    first = error.errors(include_input=False, include_url=False)[0]
    return ErrorInfo(
        kind="terminal",
        code="query.malformed",
        resource=".".join(str(part) for part in first["loc"]) or "body",
        reason=first["msg"],
        remedy="Send the JSON document that the contract describes.",
    )


def _unknown(kind: str, name: str, remedy: str) -> Terminal:
    return Terminal(f"{kind}.unknown", name[:80], f"no such {kind} in the log.", remedy)


def _event_view(row: Recorded) -> StoredEventView:
    return StoredEventView(
        position=row.position,
        stream=row.stream,
        version=row.version,
        type=row.event.ce_type,
        recorded_at=row.at,
        body=orjson.loads(row.event.to_json()),
    )


async def serve(client: Client, service: Service, queries: Queries) -> None:
    """Serve the queries and make sure that the server knows the subscriptions before anybody is told."""
    await queries.serve(service)
    await client.flush()

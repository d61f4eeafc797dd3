"""What intake asks of the bus: known receipts, acknowledged publishing, and what is stored already."""

from collections.abc import Mapping, Sequence

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from pydantic import TypeAdapter, ValidationError

from order_intake.deciding import by_id
from stagewright.contracts.orders import Order, OrderReceived, Receipt
from stagewright.contracts.queries import PlanQuery, PlanView, QueryError, ReceiptList, ReceiptsQuery
from stagewright.errors import ErrorInfo, Retryable
from stagewright.messaging.envelope import envelope
from stagewright.messaging.publishing import Outgoing, Published, publish_all
from stagewright.messaging.topology import ORDERS, received_subject

RECEIPTS = "queries.orders.receipts"
BELIEVED = "queries.plans.believed"
QUERY_TIMEOUT = 2.0
"""Seconds that the orchestrator has to answer."""

_PLAN: TypeAdapter[PlanView | QueryError] = TypeAdapter(PlanView | QueryError)

SOURCE = "stagewright/order-intake"


class Bus:
    """The connected client, in intake's words. Failures are `Retryable`: none is an order's fault."""

    def __init__(self, client: Client, js: JetStreamContext) -> None:
        self._client = client
        self._js = js

    async def receipts(self, order_ids: Sequence[str]) -> Mapping[str, Receipt]:
        """The first receipts of those ids that are known, in one request.

        Raises:
            Retryable: the orchestrator does not answer.
        """
        query = ReceiptsQuery(order_ids=tuple(order_ids)).model_dump_json().encode()
        try:
            reply = await self._client.request(RECEIPTS, query, timeout=QUERY_TIMEOUT)
            return by_id(ReceiptList.model_validate_json(reply.data).receipts)
        except (nats.errors.Error, TimeoutError, OSError, ValidationError) as error:
            raise _unavailable("the orchestrator does not say which orders it knows", RECEIPTS) from error

    async def believed(self, order: Order) -> PlanView | ErrorInfo:
        """The plan of an order from the log alone, or why there is none.

        Raises:
            Retryable: the orchestrator does not answer.
        """
        query = PlanQuery(order=order).model_dump_json().encode()
        try:
            reply = await self._client.request(BELIEVED, query, timeout=QUERY_TIMEOUT)
            plan = _PLAN.validate_json(reply.data)
        except (nats.errors.Error, TimeoutError, OSError, ValidationError) as error:
            raise _unavailable("the orchestrator does not plan", BELIEVED) from error
        return plan.error if isinstance(plan, QueryError) else plan

    async def publish(self, batch: Sequence[OrderReceived]) -> list[Published]:
        """Store the orders in ORDERS; returns when all are acknowledged.

        Raises:
            Retryable: some may not be stored.
        """
        try:
            return await publish_all(self._js, [_outgoing(received) for received in batch])
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise _unavailable("the bus does not acknowledge orders", ORDERS) from error

    async def stored(self, sequence: int) -> Receipt:
        """The receipt of the order at this place of ORDERS.

        Raises:
            Retryable: it cannot be read.
        """
        try:
            message = await self._js.get_msg(ORDERS, sequence)
            received = OrderReceived.model_validate_json(message.data or b"")
        except (nats.errors.Error, TimeoutError, OSError, ValidationError) as error:
            raise _unavailable("the bus does not give back the first order of this id", ORDERS) from error
        return Receipt(order_id=received.order_id, digest=received.digest, received_at=received.received_at)

    async def reply(self, subject: str, body: bytes) -> None:
        """Answer a request; a client that is gone or a bus that is away loses its answer, not its order.

        Raises:
            Retryable: the reply could not be sent.
        """
        try:
            await self._client.publish(subject, body)
        except (nats.errors.Error, OSError) as error:
            raise _unavailable("the reply could not be sent", subject) from error


def _outgoing(received: OrderReceived) -> Outgoing:
    return Outgoing(
        subject=received_subject(received.order.environment),
        stream=ORDERS,
        body=received.to_json(),
        envelope=envelope(
            received,
            message_id=received.order_id,
            source=SOURCE,
            time=received.received_at,
            correlation_id=received.order_id,
            causation_id=received.order_id,
        ),
    )


def _unavailable(reason: str, resource: str) -> Retryable:
    return Retryable("intake.unavailable", resource, reason, "Send the order again with the same id.")

"""Tailing a stream from a position that the reader keeps itself, with its own effects.

No acknowledgements travel and the server keeps no state: what was read twice is the reader's to notice, and
what was not yet recorded is read again. A consumer lives in the server's memory as long as its reader; when
either was away, another one begins after the last message that arrived.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from stagewright.messaging.cancellation import checkpoint
from stagewright.messaging.consuming import BatchConsumer, ConsumerGone
from stagewright.messaging.topology import Durable, Source

log = structlog.get_logger()

_RETRY = 0.5
_INACTIVE = 60.0
"""Seconds after which the server forgets a consumer that nobody asks."""


@dataclass(frozen=True, slots=True)
class Tailed:
    """What arrived together: `incarnation` names the stream and its creation, `last` the newest sequence.

    A stream that was deleted and made again counts from 1 again; a position is only good for its incarnation.
    """

    incarnation: str
    last: int
    messages: list[Msg]


class Tail:
    """Reads one stream in order; `missing` is called where the server has no such stream."""

    def __init__(self, client: Client, source: Source, *, limit: int, missing: Callable[[], None]) -> None:
        self._client = client
        self._js = client.jetstream()
        self._source = source
        self._limit = limit
        self._missing = missing
        self._seen: dict[str, int] = {}

    async def incarnation(self) -> str:
        """The stream's name with the moment of its creation."""
        info = await self._js.stream_info(self._source.stream)
        return f"{self._source.stream}@{info.created.isoformat() if info.created else ''}"

    async def batches(self, position_of: Callable[[str], int]) -> AsyncIterator[Tailed]:
        """Yield what comes after `position_of(incarnation)` (0: all of it), for ever."""
        while True:
            checkpoint()
            try:
                incarnation = await self.incarnation()
                start = max(self._seen.get(incarnation, 0), position_of(incarnation))
                consumer = await self._create(start)
            except NotFoundError:
                self._missing()
                await asyncio.sleep(_RETRY)
                continue
            except (NatsError, JetStreamError, TimeoutError) as error:
                log.warning(
                    "cannot tail", action="tail.failed", stream=self._source.stream, error=repr(error)
                )
                await asyncio.sleep(_RETRY)
                continue
            expected = 1
            try:
                async for messages in self._pull(consumer):
                    numbers = [sequences(msg) for msg in messages]
                    if [number for _, number in numbers] != list(range(expected, expected + len(numbers))):
                        log.warning("gap in a tail", action="tail.gap", stream=self._source.stream)
                        break
                    expected += len(numbers)
                    self._seen[incarnation] = numbers[-1][0]
                    yield Tailed(incarnation, numbers[-1][0], messages)
            except ConsumerGone as gone:
                log.info(
                    "tail begins again", action="tail.again", stream=self._source.stream, reason=str(gone)
                )

    def _pull(self, consumer: Durable) -> AsyncIterator[list[Msg]]:
        return BatchConsumer(self._client, consumer, limit=self._limit, ends=True).batches()

    async def _create(self, start: int) -> Durable:
        config = ConsumerConfig(
            ack_policy=AckPolicy.NONE,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE if start else DeliverPolicy.ALL,
            opt_start_seq=start + 1 if start else None,
            filter_subjects=list(self._source.filters) or None,
            mem_storage=True,
            num_replicas=1,
            inactive_threshold=_INACTIVE,
            max_waiting=16,
        )
        info = await self._js.add_consumer(self._source.stream, config)
        if not info.name:
            raise NatsError("the server named no consumer")
        return Durable(self._source.stream, info.name)


def sequences(msg: Msg) -> tuple[int, int]:
    """The message's sequence in the stream, and in its consumer (NATS ADR-15: the reply subject's tokens)."""
    tokens = msg.reply.split(".")
    first = 5 if len(tokens) == 9 else 7
    return int(tokens[first]), int(tokens[first + 1])

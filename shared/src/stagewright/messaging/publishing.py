"""Publishing with acknowledgement: a batch costs one round trip, and a large one a single flush.

With `sync_interval: always` the server flushes once for every message of a stream, but only once for an
atomic batch (NATS ADR-50). A batch has a fixed price of about a dozen single messages: it is used above that.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from uuid import uuid4

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import PubAck
from nats.js.errors import APIError

from stagewright.messaging.envelope import Envelope

PUBLISH_TIMEOUT = 5.0
"""Seconds to wait for the acknowledgement of a batch."""
ATOMIC_FROM, ATOMIC_TO = 24, 1000
_DUPLICATE_IN_BATCH = 10201


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way: `stream` is the one that must acknowledge it."""

    subject: str
    stream: str
    body: bytes
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Published:
    """The stream's acknowledgement."""

    sequence: int
    duplicate: bool


async def publish_all(js: JetStreamContext, batch: Sequence[Outgoing]) -> list[Published]:
    """Publish messages and return, in their order, when every one is acknowledged as stored.

    Raises:
        nats.errors.Error, TimeoutError: some message may not be stored; publish the whole batch again,
            `Nats-Msg-Id` keeps what was stored from being stored twice.
    """
    order = sorted(range(len(batch)), key=lambda index: batch[index].stream)
    groups = [list(group) for _, group in groupby(order, key=lambda index: batch[index].stream)]
    async with asyncio.timeout(PUBLISH_TIMEOUT):
        if len(groups) == 1:
            return await _publish(js, batch)
        done = await asyncio.gather(*(_publish(js, [batch[index] for index in group]) for group in groups))
    by_index = {
        index: ack
        for group, acks in zip(groups, done, strict=True)
        for index, ack in zip(group, acks, strict=True)
    }
    return [by_index[index] for index in range(len(batch))]


async def _publish(js: JetStreamContext, batch: Sequence[Outgoing]) -> list[Published]:
    """Publish messages of one stream."""
    if ATOMIC_FROM <= len(batch) <= ATOMIC_TO:
        acks = await _publish_atomic(js._nc, batch)
        if acks is not None:
            return acks
    futures: list[asyncio.Future[PubAck]] = []
    try:
        for out in batch:
            headers = dict(out.envelope.headers())
            futures.append(await js.publish_async(out.subject, out.body, stream=out.stream, headers=headers))
        return [Published(ack.seq, bool(ack.duplicate)) for ack in [await future for future in futures]]
    finally:
        # Each open future holds one of the client's 4,000 places until it is done; a lost one never is.
        for future in futures:
            future.cancel()


async def _publish_atomic(client: Client, batch: Sequence[Outgoing]) -> list[Published] | None:
    """Publish as one atomic batch; None where the server refuses it for a message that it knows already."""
    batch_id = str(uuid4())
    *firsts, last = [
        out.envelope.headers()
        | {"Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(number), "Nats-Expected-Stream": out.stream}
        for number, out in enumerate(batch, 1)
    ]
    for out, headers in zip(batch, firsts, strict=False):
        await client.publish(out.subject, out.body, headers=headers)
    commit = last | {"Nats-Batch-Commit": "1"}
    reply = await client.request(batch[-1].subject, batch[-1].body, PUBLISH_TIMEOUT, headers=commit)
    answer = json.loads(reply.data)
    if "error" in answer:
        if answer["error"].get("err_code") == _DUPLICATE_IN_BATCH:
            return None
        raise APIError.from_error(answer["error"])
    first = int(answer["seq"]) - len(batch) + 1
    return [Published(first + offset, duplicate=False) for offset in range(len(batch))]

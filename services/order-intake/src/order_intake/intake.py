"""Intake: requests wait in a queue, and one loop takes what waits, as one batch.

A batch costs one request for receipts and one round of publishing, whatever its size; a batch of one waits
for nothing. Plans from the log are asked for beside it. What goes wrong with one request never touches the
others.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence

import structlog

from order_intake.bus import Bus
from order_intake.deciding import (
    Asked,
    Reply,
    Request,
    Submitted,
    accepted,
    decide,
    planned,
    read,
    settle,
    unavailable,
    unplanned,
    worded,
)
from stagewright.clock import rfc3339, utc_now
from stagewright.contracts.orders import OrderReceived, Receipt, SubmitReply
from stagewright.contracts.queries import PlanView
from stagewright.errors import Retryable
from stagewright.ids import uuid7

log = structlog.get_logger()

BATCH = 256
WAITING = 1024
"""Requests held here; more stay in the client's own buffer, so that memory is bounded."""

_SLICE = 0.02
"""Seconds of parsing after which the connection gets a turn: pings must be answered under load."""


class Intake:
    """Takes requests, answers each once. `counts` says how many ended how, as `order.accepted`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._queue: asyncio.Queue[Request] = asyncio.Queue(WAITING)
        self.counts: Counter[str] = Counter()

    async def take(self, request: Request) -> None:
        """Let a request wait for the next batch."""
        await self._queue.put(request)

    async def finish(self) -> None:
        """Return when every request that was taken is answered."""
        await self._queue.join()

    async def run(self) -> None:
        """Answer batch after batch, until cancelled."""
        while True:
            batch = [await self._queue.get()]
            while len(batch) < BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            try:
                await self._answer(batch)
            except Exception:
                # The edge of the process: a defect must not stop intake; these clients time out and retry.
                log.exception("batch failed", action="intake.failed", requests=len(batch))
            finally:
                for _ in batch:
                    self._queue.task_done()

    async def _answer(self, batch: Sequence[Request]) -> None:
        work: list[tuple[Request, Submitted]] = []
        asked: list[tuple[Request, Asked]] = []
        since = time.perf_counter()
        for request in batch:
            result = read(request, str(uuid7()))
            if isinstance(result, Submitted):
                work.append((request, result))
            elif isinstance(result, Asked):
                asked.append((request, result))
            else:
                await self._reply(request, result)
            if time.perf_counter() - since > _SLICE:
                await asyncio.sleep(0)
                since = time.perf_counter()
        await asyncio.gather(self._submit(work), *(self._plan(request, item) for request, item in asked))

    async def _plan(self, request: Request, item: Asked) -> None:
        """Answer with the plan that the log alone gives."""
        try:
            found = await self._bus.believed(item.order)
        except Retryable as error:
            _warn(error, 1)
            await self._reply(request, unavailable(None, error.info.reason))
            return
        await self._reply(request, planned(found) if isinstance(found, PlanView) else unplanned(found))

    async def _submit(self, work: Sequence[tuple[Request, Submitted]]) -> None:
        """Answer those whose id is known, store the others and answer them."""
        if not work:
            return
        try:
            known = await self._bus.receipts(list(dict.fromkeys(item.order_id for _, item in work)))
        except Retryable as error:
            await self._refuse(work, error)
            return
        fresh = await self._answer_known(work, known)
        if not fresh:
            return
        try:
            acks = await self._bus.publish([received for _, _, received in fresh])
        except Retryable as error:
            await self._refuse([(request, item) for request, item, _ in fresh], error)
            return
        for (request, item, received), ack in zip(fresh, acks, strict=True):
            reply = await self._earlier(item, ack.sequence) if ack.duplicate else accepted(received)
            await self._reply(request, reply)

    async def _answer_known(
        self, work: Sequence[tuple[Request, Submitted]], known: Mapping[str, Receipt]
    ) -> list[tuple[Request, Submitted, OrderReceived]]:
        now = rfc3339(utc_now())
        fresh = []
        for request, item in work:
            decision = decide(item, known.get(item.order_id), now)
            if isinstance(decision, OrderReceived):
                fresh.append((request, item, decision))
            else:
                await self._reply(request, decision)
        return fresh

    async def _earlier(self, item: Submitted, sequence: int) -> SubmitReply:
        """The bus holds this id, though the orchestrator has not read it yet: compare with what is stored."""
        try:
            return settle(item, await self._bus.stored(sequence))
        except Retryable as error:
            return unavailable(item.order_id, error.info.reason)

    async def _refuse(self, work: Sequence[tuple[Request, Submitted]], error: Retryable) -> None:
        _warn(error, len(work))
        for request, item in work:
            await self._reply(request, unavailable(item.order_id, error.info.reason))

    async def _reply(self, request: Request, reply: Reply) -> None:
        what = f"{'order' if request.purpose == 'apply' else 'plan'}.{reply.status}"
        self.counts[what] += 1
        log.info(
            what.replace(".", " "),
            action=what,
            order_id=reply.order_id,
            correlation_id=reply.order_id,
            codes=sorted({error.code for error in reply.errors}) or None,
            bytes=len(request.body),
            total=self.counts[what],
        )
        if request.reply:
            body = worded(request.purpose, reply).model_dump_json().encode()
            try:
                await self._bus.reply(request.reply, body)
            except Retryable as error:
                log.warning("reply lost", action="intake.reply_lost", reason=error.info.reason)


def _warn(error: Retryable, requests: int) -> None:
    log.warning(
        "intake unavailable",
        action="intake.unavailable",
        resource=error.info.resource,
        reason=error.info.reason,
        cause=type(error.__cause__).__name__,
        requests=requests,
    )

"""The process: takes what waits, decides all of it, appends once, tells the relay.

The positions in the streams that it reads, and the relay's, travel into the store with the events that
follow from them. Whatever dies between two steps, nothing is lost and nothing happens twice: what was not
recorded is read again, and what was decided already decides to nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import structlog
from eventsourcing.persistence import PersistenceError
from nats.aio.client import Client
from nats.aio.msg import Msg

from orchestrator.app.inbox import Arrived, read, refused
from orchestrator.app.positions import Positions
from orchestrator.app.working_set import WorkingSet
from orchestrator.domain.inputs import Control, Moment
from orchestrator.domain.policies import Policy
from orchestrator.domain.saga import decide
from orchestrator.domain.world import Draft
from orchestrator.store.codec import Recorded
from orchestrator.store.event_store import Append, ConcurrentAppend, EventStore
from stagewright.clock import utc_now
from stagewright.contracts.events import CommandFailed, Outcome
from stagewright.ids import derived_id
from stagewright.messaging.cancellation import checkpoint
from stagewright.messaging.tailing import Tail, Tailed, sequences
from stagewright.messaging.topology import DEAD, SAGA_EVENTS, SAGA_ORDERS, Source

log = structlog.get_logger()

_BATCH = 512
_PAUSE_AFTER_FAILURE = 1.0

Listener = Callable[[Sequence[Recorded]], None]


class Process:
    """Runs the saga over the bus. `on_append` is called with every batch that was stored.

    `missing` is called where the bus turns out to have lost a stream.
    """

    def __init__(
        self,
        client: Client,
        store: EventStore,
        policy: Policy,
        on_append: Listener,
        positions: Positions,
        missing: Callable[[], None],
    ) -> None:
        self._client = client
        self._store = store
        self._policy = policy
        self._on_append = on_append
        self._positions = positions
        self._missing = missing
        self._inbox: asyncio.Queue[list[Arrived]] = asyncio.Queue(maxsize=16)
        self._known = store.last_position()
        self._doubtful = False
        self.states = WorkingSet(store)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tail(SAGA_ORDERS))
            group.create_task(self._tail(SAGA_EVENTS))
            group.create_task(self._work())

    async def remind(self, due: Moment) -> None:
        """Hand in a moment that has come."""
        await self._inbox.put([Arrived(due, "deadline")])

    async def ask(self, control: Control, cause: str) -> None:
        """Do what somebody asks; returns when it is stored.

        Raises:
            Terminal: it cannot be done.
        """
        done = asyncio.get_running_loop().create_future()
        await self._inbox.put([Arrived(control, cause, done=done)])
        await done

    async def _tail(self, source: Source) -> None:
        tail = Tail(self._client, source, limit=_BATCH, missing=self._missing)
        async for tailed in tail.batches(self._store.position):
            arrived = [await self._readable(msg, tailed) for msg in tailed.messages]
            await self._inbox.put([entry for entry in arrived if entry is not None])

    async def _readable(self, msg: Msg, tailed: Tailed) -> Arrived | None:
        found = read(msg, tailed)
        if isinstance(found, Arrived):
            return found
        await self._bury(msg, found)
        return None

    async def _bury(self, msg: Msg, reason: str) -> None:
        """Keep what nobody understands where a person finds it; the tail goes on behind it."""
        log.error("message buried", action="message.dead", subject=msg.subject, reason=reason)
        origin = msg.subject.split(".", 1)[0]
        headers = {
            # Read again after a restart it is the same dead letter.
            "Nats-Msg-Id": str(derived_id("dead", msg.subject, sequences(msg)[0])),
            "dead-reason": reason,
            "dead-subject": msg.subject,
        }
        await self._client.jetstream().publish(
            f"dead.{origin}", msg.data, stream=DEAD, headers=headers, timeout=5
        )

    async def _work(self) -> None:
        while True:
            checkpoint()
            batch = await self._inbox.get()
            while not self._inbox.empty() and len(batch) < _BATCH:
                batch += self._inbox.get_nowait()
            while not await self._handled(batch):  # noqa: ASYNC110 - the store tells nobody when it is back
                await asyncio.sleep(_PAUSE_AFTER_FAILURE)

    async def _handled(self, batch: Sequence[Arrived]) -> bool:
        try:
            if self._doubtful:
                self._look_again()
            recorded, undecidable = self._decide_and_append(batch)
        except ConcurrentAppend as conflict:
            log.warning("append refused, deciding again", action="store.conflict", reason=str(conflict))
            self._doubt()
            return False
        except PersistenceError:
            # The store is out of reach or full: nothing was recorded, or all of it, so waiting loses nothing.
            log.exception("append failed", action="store.failed")
            self._doubt()
            return False
        self._tell(recorded)
        for entry in batch:
            if entry.done is not None and not entry.done.done():
                entry.done.set_result(None)
        for msg, reason in undecidable:
            await self._bury(msg, reason)
        return True

    def _doubt(self) -> None:
        """Forget what was decided: only the store knows whether it was stored."""
        self.states.forget()
        self._positions.forget()
        self._doubtful = True

    def _look_again(self) -> None:
        """Tell of what was stored although the append failed: its answer was lost, or another wrote."""
        while missed := self._store.read(self._known, _BATCH):
            self._tell(missed)
        self._doubtful = False

    def _tell(self, recorded: Sequence[Recorded]) -> None:
        if recorded:
            self._known = recorded[-1].position
            self._on_append(recorded)

    def _decide_and_append(self, batch: Sequence[Arrived]) -> tuple[list[Recorded], list[tuple[Msg, str]]]:
        """Decide for all, then one transaction for everything that follows."""
        appends: list[Append] = []
        undecidable: list[tuple[Msg, str]] = []
        now = utc_now()
        for entry in batch:
            draft = self._decide(entry, now)
            if draft is None:
                continue
            if isinstance(draft, str):
                undecidable += [(entry.source, draft)] if entry.source is not None else []
                continue
            appends += self._adopt(draft, entry.cause)
        if not appends:
            return [], undecidable
        moved = self._positions.moved(
            {entry.incarnation: entry.sequence for entry in batch if entry.incarnation}
        )
        recorded = self._store.append(appends, moved)
        self._positions.saved(moved)
        return recorded, undecidable

    def _decide(self, entry: Arrived, now: datetime) -> Draft | str | None:
        """The draft that follows. One message that cannot be decided must stop nobody else: an outcome fails
        its order, anything else is for a person to find in the dead letters; who asked is told."""
        try:
            return decide(self.states, entry.message, now, self._policy)
        except PersistenceError:
            raise
        except Exception as error:
            if entry.done is not None:
                if not entry.done.done():
                    entry.done.set_exception(error)
                return None
            log.exception("message cannot be decided", action="message.undecidable", cause=entry.cause)
            reason = f"undecidable: {type(error).__name__}"
            if not isinstance(entry.message, Outcome) or isinstance(entry.message, CommandFailed):
                return reason
            return self._decide(replace(entry, message=refused(entry.message, reason)), now)

    def _adopt(self, draft: Draft, cause: str) -> list[Append]:
        """Take a draft over into the working set; its changes are now to be stored."""
        versions = {stream: self.states.version(stream) for stream in draft.states}
        appends = []
        for change in draft.changes:
            versions[change.stream] += 1
            appends.append(Append(change.stream, versions[change.stream], change.event, draft.at, cause))
        for stream, state in draft.states.items():
            self.states.put(stream, state, versions[stream])
        return appends

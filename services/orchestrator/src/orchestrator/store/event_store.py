"""Appending to and reading from the log, on SQLite or PostgreSQL.

All methods block; callers decide on which thread. One process writes at a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self
from urllib.parse import unquote, urlsplit

from eventsourcing.persistence import (
    InfrastructureFactory,
    IntegrityError,
    ProcessRecorder,
    StoredEvent,
    Tracking,
    TrackingRecorder,
)

from orchestrator.store.codec import Recorded, decode, encode
from stagewright.contracts.base import Message
from stagewright.errors import Terminal

_NONE: Mapping[str, int] = MappingProxyType({})


class ConcurrentAppend(Exception):  # noqa: N818 - says what happened; the caller decides whether it is an error
    """Somebody else appended to one of the streams first: load afresh and decide again."""


@dataclass(frozen=True, slots=True)
class Append:
    """One event on its way into the log, at the version that it must get (from 1)."""

    stream: str
    version: int
    event: Message
    at: str
    cause: str


class EventStore:
    """The log, and named positions in it."""

    def __init__(self, factory: InfrastructureFactory[TrackingRecorder]) -> None:
        self._factory = factory
        self._recorder: ProcessRecorder = factory.process_recorder()

    @classmethod
    def open(cls, address: str, data_dir: Path) -> Self:
        """Open the store at `address` (`postgresql://user:password@host:port/name`), or SQLite in `data_dir`.

        Raises:
            Terminal: `event_store.address`, where the address is of another kind.
        """
        return cls(InfrastructureFactory[TrackingRecorder].construct(_environment(address, data_dir)))

    def append(self, batch: Sequence[Append], positions: Mapping[str, int] = _NONE) -> list[Recorded]:
        """Store the whole batch and move named positions forward in one transaction, or nothing of it.

        Raises:
            ConcurrentAppend: a version is taken. Also after an ambiguous commit that did succeed; loading
                afresh shows which.
        """
        rows = [
            StoredEvent(row.stream, row.version, row.event.ce_type, encode(row.event, row.at, row.cause))
            for row in batch
        ]
        moved = [Tracking(name, position) for name, position in positions.items()]
        try:
            numbers = self._recorder.insert_events(rows, positions=moved)
        except IntegrityError as error:
            raise ConcurrentAppend(str(error)) from error
        return [
            Recorded(position, row.stream, row.version, row.at, row.cause, row.event)
            for position, row in zip(numbers or (), batch, strict=True)
        ]

    def load(self, stream: str) -> list[Recorded]:
        """All events of a stream, oldest first; `position` is 0, the stream's reader does not need it."""
        return [
            Recorded(0, stream, row.originator_version, at, cause, event)
            for row in self._recorder.select_events(stream)
            for event, at, cause in (decode(row.topic, row.state),)
        ]

    def read(self, after: int, limit: int) -> list[Recorded]:
        """Up to `limit` events of the whole log, in order, that come after a position."""
        rows = self._recorder.select_notifications(after, limit, inclusive_of_start=False)
        return [
            Recorded(row.id, str(row.originator_id), row.originator_version, at, cause, event)
            for row in rows
            for event, at, cause in (decode(row.topic, row.state),)
        ]

    def last_position(self) -> int:
        """The position of the newest event, 0 in an empty log."""
        return self._recorder.max_notification_id() or 0

    def identity(self) -> str:
        """What tells this log from any other: its first event. Empty for an empty log."""
        first = self.read(0, 1)
        return f"{first[0].stream} {first[0].at}" if first else ""

    def position(self, name: str) -> int:
        """A named position, 0 where it was never saved."""
        return self._recorder.max_tracking_id(name) or 0

    def save_position(self, name: str, position: int) -> None:
        """Move a named position forward; moving it backward is ignored."""
        if position > self.position(name):
            self._recorder.insert_tracking(Tracking(name, position))

    def close(self) -> None:
        """Close the connections."""
        self._factory.close()


def _environment(address: str, data_dir: Path) -> dict[str, str]:
    common = {"ORIGINATOR_ID_TYPE": "text"}
    if not address:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        return common | {
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "PROCESS_RECORDER_TOPIC": "orchestrator.store.recorders:SQLiteRecorder",
            "SQLITE_DBNAME": str(data_dir / "events.sqlite"),
            "SQLITE_LOCK_TIMEOUT": "10",
        }
    parts = urlsplit(address)
    if parts.scheme not in {"postgresql", "postgres"} or not parts.hostname:
        raise Terminal(
            "event_store.address",
            "event_store",
            f"scheme {parts.scheme!r} is not one of the stores.",
            "Write postgresql://user:password@host:port/name, or leave it empty for SQLite.",
        )
    return common | {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "PROCESS_RECORDER_TOPIC": "orchestrator.store.recorders:PostgresRecorder",
        "POSTGRES_DBNAME": parts.path.lstrip("/"),
        "POSTGRES_HOST": parts.hostname,
        "POSTGRES_PORT": str(parts.port or 5432),
        "POSTGRES_USER": unquote(parts.username or ""),
        "POSTGRES_PASSWORD": unquote(parts.password or ""),
        "POSTGRES_LOCK_TIMEOUT": "10",
        "POSTGRES_IDLE_IN_TRANSACTION_SESSION_TIMEOUT": "10",
        "POSTGRES_PRE_PING": "y",
        "POSTGRES_ENABLE_DB_FUNCTIONS": "n",
    }

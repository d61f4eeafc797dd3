"""The library's recorders, taught to move several named positions with one batch."""

from collections.abc import Sequence
from typing import Any

from eventsourcing.persistence import StoredEvent, Tracking
from eventsourcing.postgres import PostgresProcessRecorder
from eventsourcing.sqlite import SQLiteProcessRecorder


class SQLiteRecorder(SQLiteProcessRecorder):
    """`insert_events(..., positions=[Tracking, ...])` is one transaction."""

    def _insert_events(
        self,
        c: Any,
        stored_events: Sequence[StoredEvent],
        *,
        positions: Sequence[Tracking] = (),
        **kwargs: Any,
    ) -> Sequence[int] | None:
        inserted = super()._insert_events(c, stored_events, **kwargs)
        for position in positions:
            self._insert_tracking(c, position)
        return inserted


class PostgresRecorder(PostgresProcessRecorder):
    """`insert_events(..., positions=[Tracking, ...])` is one transaction."""

    def _insert_events(
        self,
        curs: Any,
        stored_events: Sequence[StoredEvent],
        *,
        positions: Sequence[Tracking] = (),
        **kwargs: Any,
    ) -> None:
        super()._insert_events(curs, stored_events, **kwargs)
        for position in positions:
            self._insert_tracking(curs, position)

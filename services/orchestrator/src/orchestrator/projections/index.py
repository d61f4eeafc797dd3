"""The index over the log: which orders there are, and which events follow from each of them.

It lives in SQLite whatever the event store is, and may be deleted at any time. Only checkpoints flush: after
a crash, also of the machine, it is at worst behind, because a batch and its position are one transaction.
`log` names the log that it was made from.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

SCHEMA = 3
_MODE = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
_TABLES = """
CREATE TABLE position (position INTEGER NOT NULL, log TEXT NOT NULL);
CREATE TABLE orders (
    order_id TEXT PRIMARY KEY, number INTEGER NOT NULL, environment_id TEXT NOT NULL, action TEXT NOT NULL,
    status TEXT NOT NULL, received_at TEXT NOT NULL, finished_at TEXT, purpose TEXT NOT NULL,
    open INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX orders_open ON orders (number) WHERE open;
CREATE UNIQUE INDEX orders_newest ON orders (number);
CREATE INDEX orders_environment ON orders (environment_id, number);
CREATE INDEX orders_status ON orders (status, number);
CREATE TABLE order_events (order_id TEXT, position INTEGER, PRIMARY KEY (order_id, position)) WITHOUT ROWID;
"""


class OrderRow(NamedTuple):
    """One order as lists show it: `number` is the position of its first event, by which lists are sorted."""

    order_id: str
    number: int
    environment_id: str
    action: str
    status: str
    received_at: str
    finished_at: str | None
    purpose: str
    open: bool
    """Whether time or an answer makes something happen."""


class Index:
    """Reads and writes of the index. A file that is damaged, or of another schema or log, is made again."""

    def __init__(self, path: Path, *, log: str, last_position: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._db = sqlite3.connect(path, isolation_level=None)
        if not self._fits(log, last_position):
            self._db.close()
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.executescript(_MODE)
            self._db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")
            self._db.execute("INSERT INTO position VALUES (0, '')")

    def _fits(self, log: str, last_position: int) -> bool:
        """Whether the index is whole, of this schema, of this log, and not ahead of it (a log restored)."""
        try:
            self._db.executescript(_MODE)
            if self._db.execute("PRAGMA user_version").fetchone()[0] != SCHEMA:
                return False
            row = self._db.execute("SELECT position, log FROM position").fetchone()
        except sqlite3.OperationalError:
            raise  # locked, or the disk fails: the file may be good
        except sqlite3.DatabaseError:
            return False
        return row is not None and row[0] <= last_position and (row[1] == log or row[0] == 0)

    def position(self) -> int:
        """The position up to which the log is indexed."""
        return int(self._db.execute("SELECT position FROM position").fetchone()[0])

    def save(
        self, position: int, log: str, orders: Iterable[OrderRow], events: Iterable[tuple[str, int]]
    ) -> None:
        """Store rows together with the position that they stand for."""
        self._db.execute("BEGIN")
        try:
            self._db.executemany(
                "INSERT INTO orders VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (order_id) DO UPDATE SET "
                "status = excluded.status, finished_at = excluded.finished_at, open = excluded.open",
                orders,
            )
            self._db.executemany("INSERT OR IGNORE INTO order_events VALUES (?,?)", events)
            self._db.execute("UPDATE position SET position = ?, log = ?", (position, log))
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def orders(
        self, environment_id: str | None, status: str | None, purpose: str, before: int | None, limit: int
    ) -> Sequence[OrderRow]:
        """Up to `limit` orders, newest first."""
        conditions, values = ["1"], list[object]()
        for column, value in (
            ("environment_id = ?", environment_id),
            ("status = ?", status),
            ("purpose = ?", purpose),
            ("number < ?", before),
        ):
            if value is not None:
                conditions.append(column)
                values.append(value)
        rows = self._db.execute(
            f"SELECT * FROM orders WHERE {' AND '.join(conditions)} ORDER BY number DESC LIMIT ?",  # noqa: S608
            (*values, limit),
        )
        return [OrderRow(*row) for row in rows]

    def open_orders(self) -> list[str]:
        """Ids of the orders that have not ended, or watch over services still; oldest first."""
        rows = self._db.execute("SELECT order_id FROM orders WHERE open ORDER BY number")
        return [row[0] for row in rows]

    def event_positions(self, order_id: str) -> list[int]:
        """Positions of the events, in whatever stream, that follow from an order."""
        rows = self._db.execute(
            "SELECT position FROM order_events WHERE order_id = ? ORDER BY position", (order_id,)
        )
        return [row[0] for row in rows]

    def close(self) -> None:
        """Close the file."""
        self._db.close()

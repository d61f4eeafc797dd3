"""The index of lists: whatever happened to its file, the log gives it back."""

import sqlite3
from pathlib import Path

import pytest

from orchestrator.projections.index import Index, OrderRow

ROW = OrderRow("o1", 1, "3", "update", "planned", "2026-01-01T00:00:00Z", None, "apply", True)


def filled(path: Path) -> None:
    index = Index(path, log="log-a", last_position=0)
    index.save(5, "log-a", [ROW], [("o1", 1)])
    index.close()


def test_it_is_there_again_after_a_restart(tmp_path: Path) -> None:
    filled(tmp_path / "index.sqlite")
    index = Index(tmp_path / "index.sqlite", log="log-a", last_position=5)
    assert (index.position(), index.open_orders()) == (5, ["o1"])


@pytest.mark.parametrize(("log", "last"), [("log-b", 5), ("log-a", 4)])
def test_an_index_of_another_log_is_made_again(tmp_path: Path, log: str, last: int) -> None:
    filled(tmp_path / "index.sqlite")
    index = Index(tmp_path / "index.sqlite", log=log, last_position=last)
    assert (index.position(), index.open_orders()) == (0, [])


@pytest.mark.parametrize("damage", [b"no database at all", bytes(8192)])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "index.sqlite"
    filled(path)
    path.write_bytes(damage + path.read_bytes()[len(damage) :])
    index = Index(path, log="log-a", last_position=5)
    index.save(1, "log-a", [ROW], [])
    assert (index.position(), index.open_orders()) == (1, ["o1"])


def test_the_machine_may_lose_power_without_tearing_it(tmp_path: Path) -> None:
    """SQLite promises consistency in WAL mode from `synchronous = NORMAL` on (sqlite.org/pragma.html)."""
    index = Index(tmp_path / "index.sqlite", log="", last_position=0)
    assert index._db.execute("PRAGMA synchronous").fetchone()[0] == 1
    assert index._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    index.close()
    assert sqlite3.connect(tmp_path / "index.sqlite").execute("PRAGMA integrity_check").fetchone() == ("ok",)

"""The PostgreSQL server for services, as its administrator: connections, and words for what went wrong.

Tasks that know the administrator's password run under `no_log`; what may be said about them is a `problem`.
"""

from __future__ import annotations

import re
from typing import Any

import psycopg

NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
"""What databases and their users are called."""
CONNECT_S = 5


def problem(resource: str, reason: str, remedy: str, *, retryable: bool = False) -> dict[str, Any]:
    """What may be said aloud."""
    return {"resource": resource, "reason": reason, "remedy": remedy, "retryable": retryable}


def bad_name(name: str) -> dict[str, Any] | None:
    """The problem with a name that is no plain identifier."""
    if NAME.fullmatch(name):
        return None
    return problem(
        name, "The database's name is not plain.", "Use lower-case letters, digits and underscores."
    )


def connect(server: dict[str, Any], user: str, password: str, database: str) -> psycopg.Connection[Any]:
    """An autocommit connection: databases are neither made nor dropped inside a transaction."""
    return psycopg.connect(
        host=server["host"], port=server["port"], user=user, password=password, dbname=database,
        connect_timeout=CONNECT_S, autocommit=True, application_name="stagewright",
    )  # fmt: skip


def exists(administrator: psycopg.Connection[Any], database: str) -> bool:
    """Whether the server has the database."""
    found = administrator.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
    return found.fetchone() is not None


def unreachable(where: str, error: psycopg.Error) -> dict[str, Any]:
    """Wrong credentials need a person; anything else may pass."""
    if "authentication failed" in str(error):
        return problem(
            where, "The administrator's password is wrong.", "Correct database.password_path in the vault."
        )
    kind = error.sqlstate or type(error).__name__
    return problem(
        where, f"The database server failed ({kind}).", "See that it runs and is reachable.", retryable=True
    )


def place_of(server: dict[str, Any]) -> str:
    """The server by its address."""
    return f"{server['host']}:{server['port']}"

"""Ansible module: a PostgreSQL database, and the one user that owns it and may connect to it.

Looks first, as the service would: where its password lets it in and the database is its own, nothing is done.
Answers `problem` instead of failing, because the task runs under `no_log`.
"""

from __future__ import annotations

from typing import Any

import psycopg
from ansible.module_utils.stagewright import step
from ansible.module_utils.stagewright.postgres import bad_name, connect, place_of, problem, unreachable
from psycopg import sql

ARGUMENT_SPEC: dict[str, Any] = {
    "server": {"type": "dict", "required": True},
    "administrator_password": {"type": "str", "required": True, "no_log": True},
    "database": {"type": "str", "required": True},
    "password": {"type": "str", "required": False, "no_log": True},
}

IS_OURS = """
    SELECT pg_catalog.pg_get_userbyid(datdba) = current_user
       AND NOT pg_catalog.has_database_privilege('public', datname, 'CONNECT')
    FROM pg_catalog.pg_database WHERE datname = %s"""
UNIQUE = (psycopg.errors.DuplicateDatabase, psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation)


def is_ready(server: dict[str, Any], name: str, password: str) -> bool:
    """Whether the service gets in with its password and owns the database alone."""
    try:
        with connect(server, name, password, name) as connection:
            row = connection.execute(IS_OURS, (name,)).fetchone()
            return bool(row and row[0])
    except psycopg.OperationalError:
        return False


def gets_in(server: dict[str, Any], name: str, password: str) -> bool:
    """Whether the password is the user's, whatever is wrong with the database."""
    try:
        connect(server, name, password, name).close()
    except psycopg.OperationalError as error:
        return "password authentication failed" not in str(error)
    return True


def make(administrator: psycopg.Connection[Any], server: dict[str, Any], name: str, password: str) -> None:
    """Create what is missing; set the password only where it does not work."""
    role = sql.Identifier(name)
    exists = administrator.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone()
    if not exists or not gets_in(server, name, password):
        # Hashed here: a plain password would stand in the server's statement log.
        hashed = administrator.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
        verb = sql.SQL("ALTER") if exists else sql.SQL("CREATE")
        statement = sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}")
        administrator.execute(statement.format(verb, role, sql.Literal(hashed.decode())))
    owner = administrator.execute(
        "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", (name,)
    ).fetchone()
    if not owner:
        administrator.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))
    elif owner[0] != name:
        administrator.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(role, role))
    administrator.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(role))


def ensure(parameters: dict[str, Any]) -> dict[str, Any]:
    """The module's answer."""
    server, name, password = parameters["server"], parameters["database"], parameters["password"]
    if said := bad_name(name):
        return {"changed": False, "problem": said}
    if not password:
        said = problem("DB_PASSWORD", "The service has no secret DB_PASSWORD.", "Create its variables first.")
        return {"changed": False, "problem": said}
    if is_ready(server, name, password):
        return {"changed": False, "problem": None}
    where = place_of(server)
    try:
        with connect(server, server["user"], parameters["administrator_password"], "postgres") as connection:
            make(connection, server, name, password)
    except psycopg.errors.InsufficientPrivilege:
        said = problem(
            where, f"{server['user']} may not create databases.", "Give it CREATEDB and CREATEROLE."
        )
        return {"changed": False, "problem": said}
    except UNIQUE:
        said = problem(where, "Somebody else made the database at this moment.", "Try again.", retryable=True)
        return {"changed": False, "problem": said}
    except psycopg.Error as error:
        return {"changed": False, "problem": unreachable(where, error)}
    return {"changed": True, "problem": None}


def main() -> None:
    """Entry point."""
    step.main(ARGUMENT_SPEC, ensure)


if __name__ == "__main__":
    main()

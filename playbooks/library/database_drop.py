"""Ansible module: a service's database and its user are gone, whoever is connected.

Answers `problem` instead of failing, because the task runs under `no_log`.
"""

from __future__ import annotations

from typing import Any

import psycopg
from ansible.module_utils.stagewright import step
from ansible.module_utils.stagewright.postgres import (
    bad_name,
    connect,
    exists,
    place_of,
    problem,
    unreachable,
)
from psycopg import sql

ARGUMENT_SPEC: dict[str, Any] = {
    "server": {"type": "dict", "required": True},
    "administrator_password": {"type": "str", "required": True, "no_log": True},
    "database": {"type": "str", "required": True},
}


def drop(administrator: psycopg.Connection[Any], name: str) -> bool:
    """Drop what is there; False where nothing was."""
    identifier = sql.Identifier(name)
    has_database = exists(administrator, name)
    has_role = administrator.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone()
    if has_database:
        administrator.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier))
    if has_role:
        administrator.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(identifier))
    return bool(has_database or has_role)


def ensure(parameters: dict[str, Any]) -> dict[str, Any]:
    """The module's answer."""
    server, name = parameters["server"], parameters["database"]
    where = place_of(server)
    if said := bad_name(name):
        return {"changed": False, "problem": said}
    try:
        with connect(server, server["user"], parameters["administrator_password"], "postgres") as connection:
            return {"changed": drop(connection, name), "problem": None}
    except psycopg.errors.InsufficientPrivilege:
        said = problem(
            where, f"{server['user']} may not drop {name}.", f"Make it a member of {name}, or a superuser."
        )
    except psycopg.errors.DependentObjectsStillExist:
        said = problem(
            where, f"The user {name} owns or may do something in another database.",
            f"Run `REASSIGN OWNED BY {name} TO …; DROP OWNED BY {name}` there.",
        )  # fmt: skip
    except psycopg.Error as error:
        said = unreachable(where, error)
    return {"changed": False, "problem": said}


def main() -> None:
    """Entry point."""
    step.main(ARGUMENT_SPEC, ensure)


if __name__ == "__main__":
    main()

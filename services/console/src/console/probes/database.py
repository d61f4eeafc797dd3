"""The database server that services get their databases on."""

import psycopg

from console.probes.vault import vault_reader
from stagewright.errors import Retryable
from stagewright.settings import DatabaseServerSettings, VaultSettings


async def databases(settings: DatabaseServerSettings, vault: VaultSettings) -> dict[str, str]:
    """Every database with its owner, without the server's own.

    Raises:
        Retryable: the server does not answer or refuses us. Others as `vault_reader` does.
    """
    async with vault_reader(vault) as reader:
        password = await reader.value(settings.password_path)
    try:
        async with await psycopg.AsyncConnection.connect(
            host=settings.host,
            port=settings.port,
            user=settings.user,
            password=password,
            dbname="postgres",
            connect_timeout=5,
        ) as connection:
            rows = await connection.execute(
                "SELECT datname, pg_get_userbyid(datdba) FROM pg_database "
                "WHERE NOT datistemplate AND datname <> 'postgres' ORDER BY datname"
            )
            return {str(name): str(owner) for name, owner in await rows.fetchall()}
    except psycopg.Error as error:
        raise Retryable(
            "database.unreachable",
            f"{settings.host}:{settings.port}",
            f"it does not serve us ({type(error).__name__}).",
            "Start it, or correct database.host and database.port; its password is in the vault.",
        ) from error


async def check_event_store(address: str) -> str:
    """One line about the event store; the empty address is SQLite, which needs no server.

    Raises:
        Retryable: the server does not answer or refuses us.
    """
    if not address:
        return "SQLite in the data directory"
    try:
        async with await psycopg.AsyncConnection.connect(address, connect_timeout=5) as connection:
            await connection.execute("SELECT 1")
    except psycopg.Error as error:
        raise Retryable(
            "event_store.unreachable",
            "event_store",
            f"PostgreSQL does not serve us ({type(error).__name__}).",
            "Start it, or correct event_store.",
        ) from error
    return "PostgreSQL answers"


async def check_database(settings: DatabaseServerSettings, vault: VaultSettings) -> str:
    """One line about it. Raises as `databases` does."""
    found = await databases(settings, vault)
    return f"answers, {len(found)} database{'' if len(found) == 1 else 's'} of services"

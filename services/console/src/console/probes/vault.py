"""What OpenBao or Vault says of itself and of secrets: names and versions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import httpx

from stagewright.errors import Retryable, Terminal
from stagewright.settings import VaultSettings


@dataclass(frozen=True)
class Secret:
    """A secret that exists: its path under the mount, and its newest version."""

    path: str
    version: int


class VaultReader:
    """Reads with the executor's role. Made by `vault_reader`."""

    def __init__(self, client: httpx.AsyncClient, mount: str) -> None:
        self._client = client
        self._mount = mount

    async def secrets(self, prefix: str) -> list[Secret]:
        """Every secret below `prefix`, from the metadata: no value is read."""
        found: list[Secret] = []
        for name in await self._names(prefix):
            path = f"{prefix.rstrip('/')}/{name.rstrip('/')}"
            if name.endswith("/"):
                found += await self.secrets(path)
            else:
                found.append(Secret(path, await self._version(path)))
        return found

    async def value(self, path: str) -> str:
        """The field `value` of a secret, for connecting with it; never printed.

        Raises:
            httpx.HTTPStatusError: the role may not read it, or it is not there.
        """
        return str((await self._get(f"{self._mount}/data/{path}"))["data"]["value"])

    async def readable(self, path: str) -> bool:
        """Whether a secret's newest version is there, neither deleted nor destroyed."""
        found = await self._get(f"{self._mount}/metadata/{path}")
        newest = found["versions"].get(str(found["current_version"]), {})
        return bool(newest) and not newest.get("deletion_time") and not newest.get("destroyed")

    async def _names(self, prefix: str) -> list[str]:
        answer = await self._client.request("LIST", f"/v1/{self._mount}/metadata/{prefix}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return []
        answer.raise_for_status()
        return cast("list[str]", answer.json()["data"]["keys"])

    async def _version(self, path: str) -> int:
        return int((await self._get(f"{self._mount}/metadata/{path}"))["current_version"])

    async def _get(self, path: str) -> dict[str, Any]:
        answer = await self._client.get(f"/v1/{path}")
        answer.raise_for_status()
        return cast("dict[str, Any]", answer.json()["data"])


@asynccontextmanager
async def vault_reader(settings: VaultSettings) -> AsyncIterator[VaultReader]:
    """Log in by AppRole.

    Raises:
        Terminal: role or secret id are missing, or refused. Retryable: sealed, or not reachable.
    """
    async with _client(settings) as client:
        client.headers["X-Vault-Token"] = await _login(client, settings)
        yield VaultReader(client, settings.mount)


async def check_vault(settings: VaultSettings) -> str:
    """Ask whether it is unsealed, and log in; one line about it. Raises as `vault_reader` does."""
    async with _client(settings) as client:
        health = (await _asked(client, settings, "GET", "/v1/sys/health?standbyok=true")).json()
        if health.get("sealed"):
            raise Retryable("vault.sealed", settings.address, "it is sealed.", "Unseal it.")
        await _login(client, settings)
    return f"unsealed, version {health.get('version', 'unknown')}, the executor's role can log in"


def _client(settings: VaultSettings) -> httpx.AsyncClient:
    verify: Any = str(settings.ca_file) if settings.ca_file else True
    return httpx.AsyncClient(base_url=settings.address, timeout=5, trust_env=False, verify=verify)


async def _login(client: httpx.AsyncClient, settings: VaultSettings) -> str:
    file = settings.secret_id_file
    if settings.role_id is None or file is None or not file.is_file():
        raise Terminal(
            "vault.credentials_missing",
            "vault.secret_id_file",
            "the role id is not set, or the file of the secret id is not there.",
            "Set vault.role_id and vault.secret_id_file, or start the one-machine stack.",
        )
    body = {"role_id": settings.role_id, "secret_id": file.read_text().strip()}
    answer = await _asked(client, settings, "POST", "/v1/auth/approle/login", body)
    if not answer.is_success:
        raise Terminal(
            "vault.login_refused",
            settings.address,
            f"the AppRole login was refused (HTTP {answer.status_code}).",
            "Give the executor a new secret id.",
        )
    return str(answer.json()["auth"]["client_token"])


async def _asked(
    client: httpx.AsyncClient, settings: VaultSettings, method: str, path: str, body: Any = None
) -> httpx.Response:
    try:
        return await client.request(method, path, json=body)
    except httpx.HTTPError as error:
        raise Retryable(
            "vault.unreachable",
            settings.address,
            f"it does not answer ({type(error).__name__}).",
            "Start it, or correct vault.address.",
        ) from error

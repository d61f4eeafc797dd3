"""OpenBao or Vault: KV v2 by hvac, logged in by AppRole. Values go in and never come out here."""

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import hvac
import requests
from hvac import exceptions

from executor.adapters.threads import in_thread
from stagewright.errors import Retryable, Terminal
from stagewright.settings import VaultSettings

_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,127}\Z")
_THREADS = 8
PLAY_TTL = 1200
"""Seconds that a play's token lives: longer than any stage may take."""
T = TypeVar("T")


def checked(path: str) -> str:
    """The path, every segment of it plain: no `..`, no empty part, nothing that a URL would read otherwise.

    Raises:
        Terminal: `vault.path_invalid`.
    """
    if not all(_SEGMENT.match(segment) for segment in path.split("/")):
        raise Terminal(
            "vault.path_invalid",
            "vault",
            "a path segment is not made of letters, digits, underscores and hyphens.",
            "Rename the environment, service or variable.",
        )
    return path


def _readable(version: Mapping[str, Any] | None) -> bool:
    return bool(version and not version.get("deletion_time") and not version.get("destroyed"))


class VaultSecrets:
    """The `Vault` port, and short-lived tokens for plays. Calls run in a small thread pool."""

    def __init__(self, settings: VaultSettings) -> None:
        self._settings = settings
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="vault")
        self._login = threading.Lock()
        self._renew_at = 0.0
        self._client: Any = None

    async def version(self, path: str) -> int | None:
        """See `Vault.version`: read from the metadata, so that no value comes here."""
        current, present = await self._call(lambda client: self._state(client, checked(path)))
        return current if present else None

    async def versions(self, path: str) -> Mapping[int, bool]:
        """See `Vault.versions`."""
        return await self._call(lambda client: self._versions(client, checked(path)))

    async def create(self, path: str, value: str) -> tuple[int, bool]:
        """See `Vault.create`: check-and-set on what was seen, so that nothing is ever overwritten."""
        return await self._call(lambda client: self._create(client, checked(path), value))

    async def delete(self, path: str, versions: Sequence[int]) -> None:
        """See `Vault.delete`."""
        await self._call(
            lambda client: client.secrets.kv.v2.delete_secret_versions(
                checked(path), list(versions), mount_point=self._settings.mount
            )
        )

    async def undelete(self, path: str, versions: Sequence[int]) -> None:
        """See `Vault.undelete`."""
        await self._call(
            lambda client: client.secrets.kv.v2.undelete_secret_versions(
                checked(path), list(versions), mount_point=self._settings.mount
            )
        )

    async def short_lived_token(self, environment: str, service: str) -> str:
        """A token for one play, by a login of its own, with the rights of the executor's role.

        It ends after `PLAY_TTL`, and not with the play. Not a child of the executor's token, which may end
        while the play runs.
        """
        checked(f"{environment}/{service}")
        return await self._call(lambda _client: self._token())

    def close(self) -> None:
        """Wait for what runs and end the threads."""
        self._pool.shutdown()

    def _state(self, client: Any, path: str) -> tuple[int, bool]:
        """(current version, whether it can be read); (0, False) where nothing is."""
        found = self._metadata(client, path)
        version = int(found["current_version"])
        return version, _readable(found["versions"].get(str(version)))

    def _versions(self, client: Any, path: str) -> dict[int, bool]:
        found = self._metadata(client, path)["versions"]
        return {int(number): _readable(one) for number, one in found.items() if not one.get("destroyed")}

    def _metadata(self, client: Any, path: str) -> Mapping[str, Any]:
        try:
            found = client.secrets.kv.v2.read_secret_metadata(path, mount_point=self._settings.mount)
        except exceptions.InvalidPath:
            return {"current_version": 0, "versions": {}}
        metadata: Mapping[str, Any] = found["data"]
        return metadata

    def _create(self, client: Any, path: str, value: str) -> tuple[int, bool]:
        version, present = self._state(client, path)
        if present:
            return version, False
        try:
            made = client.secrets.kv.v2.create_or_update_secret(
                path, {"value": value}, cas=version, mount_point=self._settings.mount
            )
        except exceptions.InvalidRequest:
            # Somebody was quicker, or this is the repetition of a create whose response was lost.
            version, present = self._state(client, path)
            if present:
                return version, False
            raise
        return int(made["data"]["version"]), True

    def _token(self) -> str:
        client = self._new_client()
        self._log_in(client)
        client.auth.token.renew_self(increment=f"{PLAY_TTL}s")
        return str(client.token)

    async def _call(self, work: Callable[[Any], T]) -> T:
        return await in_thread(self._pool, lambda: self._attempt(work))

    def _attempt(self, work: Callable[[Any], T]) -> T:
        try:
            try:
                return work(self._logged_in())
            except exceptions.Forbidden:
                # The token may have been revoked before its time: once more with a fresh one.
                self._renew_at = 0.0
                return work(self._logged_in())
        except (exceptions.Forbidden, exceptions.Unauthorized, exceptions.InvalidRequest) as error:
            raise self._refused(error) from None
        except (exceptions.VaultError, requests.RequestException, OSError) as error:
            raise self._unavailable(error) from None

    def _logged_in(self) -> Any:
        with self._login:
            if self._client is None:
                self._client = self._new_client()
            if time.monotonic() >= self._renew_at:
                self._renew_at = time.monotonic() + self._log_in(self._client) * 2 / 3
            return self._client

    def _new_client(self) -> Any:
        verify: str | bool = str(self._settings.ca_file) if self._settings.ca_file else True
        return hvac.Client(url=self._settings.address, verify=verify, timeout=10)

    def _log_in(self, client: Any) -> float:
        """AppRole login; the token's life in seconds. Due again at two thirds of it."""
        role, secret = self._settings.role_id, self._settings.secret_id_file
        if role is None or secret is None:
            raise self._unconfigured()
        try:
            answer = client.auth.approle.login(
                role_id=role, secret_id=secret.read_text(encoding="utf-8").strip(), use_token=True
            )
        except FileNotFoundError:
            raise self._unconfigured() from None
        return float(answer["auth"]["lease_duration"])

    def _unconfigured(self) -> Terminal:
        return Terminal(
            "vault.unconfigured",
            "settings.vault",
            "role_id or secret_id_file is missing.",
            "Set vault.role_id, and vault.secret_id_file to a readable file.",
        )

    def _refused(self, error: Exception) -> Terminal:
        return Terminal(
            "vault.refused",
            self._settings.address,
            f"the vault refused the request ({type(error).__name__}).",
            "Check the policy of the executor's role; docs name the paths that it needs.",
        )

    def _unavailable(self, error: Exception) -> Retryable:
        return Retryable(
            "vault.unavailable",
            self._settings.address,
            f"the vault did not do it ({type(error).__name__}).",
            "Check that the vault runs, is unsealed and can be reached.",
            retry_after=2.0,
        )

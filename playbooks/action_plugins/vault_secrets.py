"""Read secrets of exact versions from OpenBao or Vault (KV v2), on the executor, inside the play.

The token comes from a file in the run's private directory, or from `BAO_TOKEN` when a person repeats a run by
hand. Answers `found` by name, `administrator`, and `problem`, which never holds a value: it is what may be
said aloud, since the task itself runs under `no_log`.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
FIELD = "value"
TIMEOUT_S = 10


class Problem(Exception):  # noqa: N818 - it is one
    """What is wrong, as the task's answer has it."""

    def __init__(self, resource: str, reason: str, remedy: str, *, retryable: bool = False) -> None:
        super().__init__(reason)
        self.answer = {"resource": resource, "reason": reason, "remedy": remedy, "retryable": retryable}


def plain_path(path: str) -> str:
    """The path, if every segment is plain: `../../sys/seal` would reach other parts of the server."""
    segments = path.split("/")
    if not all(SEGMENT.fullmatch(segment) and segment != ".." for segment in segments):
        raise Problem(
            path, "The secret's path is not plain.", "Use letters, digits, hyphens and underscores."
        )
    return path


def token(path: str) -> str:
    """The token of this run."""
    try:
        return Path(path).read_text().strip()
    except FileNotFoundError:
        if found := os.environ.get("BAO_TOKEN"):
            return found
        raise Problem(
            "vault", "There is no token for this run.", "Set BAO_TOKEN to one that may read the secrets."
        ) from None


class Reader:
    """Reads single secrets with one token."""

    def __init__(self, vault: dict[str, Any], secret_token: str) -> None:
        self._base = f"{vault['address'].rstrip('/')}/v1/{plain_path(vault['mount'])}/data"
        self._token = secret_token
        secure = self._base.startswith("https:")
        handlers = [urllib.request.ProxyHandler({})]
        if secure:
            context = ssl.create_default_context(cafile=vault.get("ca_file"))
            handlers.append(urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)

    def read(self, path: str, version: int | None = None) -> str:
        """The field `value` of a secret, the newest version unless one is named."""
        query = f"?version={version}" if version is not None else ""
        request = urllib.request.Request(  # noqa: S310 - the address is a setting, not order data
            f"{self._base}/{plain_path(path)}{query}",
            headers={"X-Vault-Token": self._token, "X-Vault-Request": "true"},
        )
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                data = json.load(answer)["data"]["data"]
        except urllib.error.HTTPError as error:
            raise self._refused(path, version, error.code) from None
        except (OSError, http.client.HTTPException) as error:
            raise Problem(
                "vault",
                f"The vault does not answer ({type(error).__name__}).",
                "See that it runs, is unsealed and can be reached from the executor.",
                retryable=True,
            ) from None
        if not isinstance((data or {}).get(FIELD), str):
            raise Problem(
                path, f"The secret has no field `{FIELD}`.", f"Store its text in the field `{FIELD}`."
            )
        found: str = data[FIELD]
        return found

    @staticmethod
    def _refused(path: str, version: int | None, status: int) -> Problem:
        which = f"version {version}" if version is not None else "any version"
        if status == 404:
            return Problem(
                path, f"The vault does not have {which} of the secret.", "Restore it, or order again."
            )
        if status == 403:
            return Problem(
                path, "The vault does not let this run read the secret.", "Check the executor's policy."
            )
        return Problem(path, f"The vault answers {status}.", "See the vault's log.", retryable=True)


class ActionModule(ActionBase):
    """`vault {address, mount, ca_file}`, `secrets [{name, path, version}]`, `administrator`, `token_file`."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read everything, or say what is wrong."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        result.update(changed=False, found={}, administrator=None, problem=None)
        arguments = self._task.args
        try:
            secrets, administrator = arguments.get("secrets") or [], arguments.get("administrator")
            if secrets or administrator:
                reader = Reader(arguments["vault"], token(arguments["token_file"]))
                result["found"] = {one["name"]: reader.read(one["path"], one["version"]) for one in secrets}
                result["administrator"] = reader.read(administrator) if administrator else None
        except Problem as problem:
            result["problem"] = problem.answer
        return result

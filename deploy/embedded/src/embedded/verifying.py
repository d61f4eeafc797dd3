"""After the first start: is the vault complete? Then nobody needs the password's file any longer."""

import json
import urllib.error
import urllib.request
from typing import Any

from embedded.assembly import Assembled
from embedded.layout import LOOPBACK
from embedded.parts import openbao, postgres
from stagewright.errors import Terminal


def confirm_first_start(assembled: Assembled) -> None:
    """Log in as the executor does and read the password back; then remove its file.

    Nothing happens at later starts.

    Raises:
        Terminal: `stack.vault_incomplete`, where the vault's first start was cut short.
    """
    file = assembled.credentials.postgres_password_file
    started = {program.name for program in assembled.programs}
    if not file.exists() or not started >= {openbao.NAME, postgres.NAME}:
        return
    if _password_in_vault(assembled) != file.read_text():
        data = assembled.layout.part(openbao.NAME)
        raise Terminal(
            "stack.vault_incomplete",
            str(data),
            "the vault does not hold what its first start puts there; that start was cut short.",
            f"Remove {data}, then start again: nothing else was stored in it.",
        )
    file.unlink()


def _password_in_vault(assembled: Assembled) -> str | None:
    credentials = assembled.credentials
    login = {
        "role_id": credentials.vault_role_id,
        "secret_id": credentials.vault_secret_id_file.read_text(),
    }
    try:
        token = _ask(assembled, "auth/approle/login", login)["auth"]["client_token"]
        found = _ask(assembled, f"{openbao.MOUNT}/data/platform/postgres", token=token)
    except urllib.error.HTTPError:
        return None
    return str(found["data"]["data"]["value"])


def _ask(assembled: Assembled, path: str, body: object = None, token: str = "") -> dict[str, Any]:
    url = f"http://{LOOPBACK}:{assembled.ports['openbao']}/v1/{path}"
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data=data, headers={"X-Vault-Token": token} if token else {})
    with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310 - http on loopback
        return dict(json.load(reply))

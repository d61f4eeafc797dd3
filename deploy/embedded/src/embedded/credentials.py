"""Credentials of the one-machine stack: made once at random, one private file each.

Only public halves and file names travel from here, except the S3 pair, which its server needs in its own
configuration file.
"""

import os
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from uuid import uuid4

import nkeys

from embedded.layout import Layout, make_private
from stagewright.messaging.topology import USERS


@dataclass(frozen=True)
class Credentials:
    """What the builders of parts need to know."""

    nkeys: dict[str, str]
    """Public NKey of each user of the bus."""
    vault_role_id: str
    vault_secret_id_file: Path
    seal_key_file: Path
    postgres_password_file: Path
    """There until the password is in the vault, then gone."""
    aws_file: Path
    aws_access_key: str
    aws_secret_key: str


def ensure(layout: Layout) -> Credentials:
    """Read the credentials of a data directory, making those that are missing."""
    home = layout.credentials
    make_private(home)
    access, secret = _aws_pair(home / "aws")
    return Credentials(
        nkeys={user: _public_nkey(home / f"{user}.nk") for user in _user_names()},
        vault_role_id=_kept(home / "executor.role-id", lambda: str(uuid4())),
        vault_secret_id_file=_file(home / "executor.secret-id", lambda: str(uuid4())),
        seal_key_file=_file(home / "seal.key", lambda: secrets.token_hex(32)),
        postgres_password_file=home / "postgres.password",
        aws_file=home / "aws",
        aws_access_key=access,
        aws_secret_key=secret,
    )


def ensure_postgres_password(credentials: Credentials) -> None:
    """Make the superuser's password, for the first start only: afterwards the vault alone knows it."""
    _kept(credentials.postgres_password_file, lambda: secrets.token_urlsafe(24))


def write_private(path: Path, content: str) -> None:
    """Write the file whole or not at all, 0600 from its first moment."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _user_names() -> Iterable[str]:
    return (user.name for user in USERS)


def _kept(path: Path, make: Callable[[], str]) -> str:
    if not path.exists():
        write_private(path, make())
    return path.read_text()


def _file(path: Path, make: Callable[[], str]) -> Path:
    _kept(path, make)
    return path


def _public_nkey(path: Path) -> str:
    seed = _kept(path, lambda: _encode(os.urandom(32)))
    return cast("str", nkeys.from_seed(bytearray(seed.encode())).public_key.decode())


def _encode(raw: bytes) -> str:
    return cast("str", nkeys.encode_seed(raw, nkeys.PREFIX_BYTE_USER).decode())


def _aws_pair(path: Path) -> tuple[str, str]:
    text = _kept(path, _aws_file)
    values = dict(line.split(" = ", 1) for line in text.splitlines() if " = " in line)
    return values["aws_access_key_id"], values["aws_secret_access_key"]


def _aws_file() -> str:
    return (
        "[default]\n"
        f"aws_access_key_id = AKIA{secrets.token_hex(8).upper()}\n"
        f"aws_secret_access_key = {secrets.token_urlsafe(30)}\n"
    )

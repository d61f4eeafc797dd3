"""`.env` files: written here, read by the launcher, by builds and by the usual dotenv libraries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BARE = re.compile(r"[A-Za-z0-9_./:@%+,=~-]*")
_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_HIDDEN_FROM = 6
_PUBLIC = frozenset(
    {"BASE_PATH", "DB_HOST", "DB_PORT", "DOMAINS", "ENVIRONMENT_ID", "HOST", "NODE_ENV", "PORT", "SERVICE_ID"}
)


def quoted(value: str) -> str:
    """The right side of a line: bare where possible, else in single quotes, else in double quotes."""
    if _BARE.fullmatch(value):
        return value
    if "'" not in value and "\n" not in value and "\r" not in value:
        return f"'{value}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def render(variables: Mapping[str, str]) -> str:
    """The file's text, sorted by name.

    Raises:
        ValueError: a name cannot be a variable's.
    """
    for name in variables:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name} cannot be the name of a variable")
    return "".join(f"{name}={quoted(value)}\n" for name, value in sorted(variables.items()))


def _unquoted(text: str) -> str:
    if text[:1] == "'":
        return text[1:-1]
    if text[:1] == '"':
        escapes = {"n": "\n", "r": "\r"}
        return re.sub(r"\\(.)", lambda match: escapes.get(match[1], match[1]), text[1:-1])
    return text


def parse(path: Path) -> dict[str, str]:
    """The variables of a file that `render` wrote; empty where there is none."""
    if not path.is_file():
        return {}
    found = (_LINE.fullmatch(line) for line in path.read_text().split("\n"))
    return {match[1]: _unquoted(match[2]) for match in found if match}


def secrets(path: Path) -> list[str]:
    """What of a file no output may show, longest first; what is very short would blacken everything else.

    Each line of a value counts by itself: an output may be cut in the middle of a key.
    """
    values = [value for name, value in parse(path).items() if name not in _PUBLIC]
    hidden = {part.strip() for value in values for part in (value, *value.splitlines())}
    return sorted((part for part in hidden if len(part) >= _HIDDEN_FROM), key=lambda part: (-len(part), part))

"""The resolved settings, each with where it comes from; secrets masked."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stagewright.settings import CONNECTION_FILE, Settings

_MASK = "•••"
_USERINFO = re.compile(r"(?<=://)([^/@\s:]*):[^/@\s]*@")
_TOKEN = re.compile(r"(?<=https://)[^/@\s:]+@|(?<=http://)[^/@\s:]+@")
"""A git server takes a token in the place of a user's name."""
_SECRET = re.compile(r"role_id|password$|token|secret$")


@dataclass(frozen=True)
class Setting:
    """One leaf: `nats.url`, its value as text, and the source that spoke first."""

    name: str
    value: str
    source: str

    def as_json(self) -> dict[str, str]:
        """For `-o json`."""
        return asdict(self)


def resolved(settings: Settings) -> list[Setting]:
    """Every setting."""
    sources = _sources(settings)
    return [
        Setting(name, masked(name, value), _source(name, sources))
        for name, value in _leaves(settings.model_dump(mode="json"))
    ]


def masked(name: str, value: Any) -> str:
    """The value as text, without what somebody could log in with."""
    if value is None:
        return "not set"
    if _SECRET.search(name):
        return _MASK
    return _USERINFO.sub(rf"\1:{_MASK}@", _TOKEN.sub(f"{_MASK}@", str(value))) or "not set"


def _leaves(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for index, each in enumerate(value):
                yield from _leaves(each, f"{name}[{index}].")
        else:
            yield name, value if value not in ({}, []) else None


def _sources(settings: Settings) -> list[tuple[str, dict[str, Any]]]:
    config = Path(os.environ.get("STAGEWRIGHT_CONFIG", "stagewright.toml"))
    data_dir = Path(os.environ.get("STAGEWRIGHT_DATA_DIR", str(settings.data_dir)))
    return [(str(path), _toml(path)) for path in (config, data_dir / CONNECTION_FILE)]


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError):
        return {}


def _source(name: str, files: list[tuple[str, dict[str, Any]]]) -> str:
    plain = re.sub(r"\[\d+\]", "", name)
    parts = plain.split(".")
    for length in range(len(parts), 0, -1):
        variable = "STAGEWRIGHT_" + "__".join(parts[:length]).upper()
        if variable in os.environ:
            return variable
    return next((path for path, data in files if _holds(data, plain)), "default")


def _holds(data: Any, name: str) -> bool:
    """Keys may hold dots themselves: those of `git.mirrors` are addresses."""
    if isinstance(data, list):
        data = data[0] if data else None
    if not isinstance(data, dict):
        return False
    return name in data or any(
        name.startswith(f"{key}.") and _holds(value, name[len(key) + 1 :]) for key, value in data.items()
    )

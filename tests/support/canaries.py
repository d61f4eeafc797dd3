"""Looking for secret values where none may be: raw, in base64, in JSON and URLs."""

import base64
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Event, Thread
from urllib.parse import quote

import psutil

CHUNK = 1 << 20


def forms(value: str) -> set[bytes]:
    """The bytes that would give the value away: as it is, escaped, and inside a longer base64 text."""
    raw = value.encode()
    found = {raw, json.dumps(value)[1:-1].encode(), quote(value).encode(), quote(value, safe="").encode()}
    found.add(raw.hex().encode())
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for offset in range(3):
            # What stands before the value shifts its text; the characters at its ends are shared with others.
            text = encode(b"\0" * offset + raw)
            found.add(text[(0, 2, 3)[offset] : len(text) // 4 * 4 - 4])
    return found


class Search:
    """Finds any of some values. `found` says what was found where, without the value."""

    def __init__(self, values: dict[str, str]) -> None:
        self._needles = {name: forms(value) for name, value in values.items()}
        self._longest = max(len(each) for needles in self._needles.values() for each in needles)

    def in_bytes(self, where: str, text: bytes) -> set[str]:
        """`<name> in <where>` for each value that is in there."""
        return {
            f"{name} in {where}"
            for name, needles in self._needles.items()
            if any(needle in text for needle in needles)
        }

    def in_file(self, path: Path) -> set[str]:
        """The same for a file of any size; nothing where it is gone or no regular file."""
        found: set[str] = set()
        try:
            with path.open("rb") as file:
                tail = b""
                while chunk := file.read(CHUNK):
                    found |= self.in_bytes(str(path), tail + chunk)
                    tail = chunk[-self._longest :]
        except OSError:
            return found
        return found

    def in_files(self, paths: Iterable[Path]) -> set[str]:
        """The same for many files."""
        return {line for path in paths for line in self.in_file(path)}


def files_below(root: Path) -> Iterator[Path]:
    """Every regular file; links are not followed."""
    return (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())


class Spy:
    """Watches the processes below one, all the time: their command lines, as anybody on the machine can."""

    def __init__(self, root: int) -> None:
        self._root = psutil.Process(root)
        self._stop = Event()
        self._thread = Thread(target=self._watch, daemon=True)
        self.seen: set[tuple[str, ...]] = set()

    def __enter__(self) -> "Spy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _watch(self) -> None:
        while not self._stop.wait(0.03):
            for process in self._root.children(recursive=True):
                try:
                    self.seen.add(tuple(process.cmdline()))
                except psutil.Error:
                    continue

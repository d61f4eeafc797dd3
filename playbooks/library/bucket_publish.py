"""Ansible module: a front's files under one prefix of a bucket: only what differs, and pages last.

The object `deployed.json` under the prefix says what is there: `inspect` reads it.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible.module_utils.stagewright import step, storage
from ansible.module_utils.stagewright.commands import Failure
from ansible.module_utils.stagewright.places import ARGUMENTS, Place, link
from botocore.exceptions import ClientError

ARGUMENT_SPEC: dict[str, Any] = {
    **ARGUMENTS,
    "type": {"type": "str", "required": True, "choices": ["angular", "static"]},
    "bucket": {"type": "str", "required": True},
    "prefix": {"type": "str", "required": True},
    "s3": {"type": "dict", "default": {}},
}

RECORD = "deployed.json"
CANDIDATES = ("dist", "build", "public", ".")
HASHED = re.compile(r"[.-][A-Za-z0-9_]{8,}\.[a-z0-9.]+$")
FOR_EVER = "public, max-age=31536000, immutable"
ASK_EACH_TIME = "no-cache"
TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".map": "application/json",
    ".webmanifest": "application/json",
}


def root_of(release: Path, kind: str) -> Path:
    """The directory with `index.html`: npm's usual ones, Angular's `dist/<name>/browser`, or the repository.

    Raises:
        Failure: there is none.
    """
    names = CANDIDATES if kind == "static" else CANDIDATES[:2]
    found = [release / name for name in names if (release / name / "index.html").is_file()]
    found += sorted(path.parent for path in release.glob("dist/*/browser/index.html"))
    found += sorted(path.parent for path in release.glob("dist/*/index.html"))
    if not found:
        raise Failure(
            f"There is no index.html in {', '.join(names)}.", "Let the build write dist/index.html.",
            resource="index.html",
        )  # fmt: skip
    return found[0]


def files(root: Path) -> dict[str, Path]:
    """What is published, by name. No hidden files (`.env`!), and no links that lead out of the root."""
    inside = root.resolve()
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        hidden = any(part.startswith(".") or part == "node_modules" for part in name.parts)
        if path.is_file() and not hidden and inside in path.resolve().parents:
            found[name.as_posix()] = path
    found.pop(RECORD, None)
    return found


def headers(name: str) -> dict[str, str]:
    """Content type and cache rule: what carries a hash in its name never changes."""
    kind = TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    text = kind.startswith("text/") or kind == "application/json"
    page = name.endswith(".html")
    return {
        "ContentType": f"{kind}; charset=utf-8" if text else kind,
        "CacheControl": FOR_EVER if HASHED.search(name) and not page else ASK_EACH_TIME,
    }


class Target:
    """One prefix of one bucket."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.bucket: str = parameters["bucket"]
        self.prefix = parameters["prefix"].strip("/") + "/"
        self._s3 = storage.client(parameters["s3"])

    def present(self) -> dict[str, str]:
        """Names under the prefix with their ETags."""
        found = storage.below(self._s3, self.bucket, self.prefix)
        return {key[len(self.prefix) :]: tag for key, tag in found.items()}

    def put(self, name: str, body: bytes) -> None:
        """Write one object."""
        self._s3.put_object(Bucket=self.bucket, Key=self.prefix + name, Body=body, **headers(name))

    def remove(self, names: list[str]) -> None:
        """Remove objects."""
        storage.remove(self._s3, self.bucket, [self.prefix + name for name in names])

    def record(self) -> dict[str, Any]:
        """What `deployed.json` says; empty where it says nothing."""
        try:
            body = self._s3.get_object(Bucket=self.bucket, Key=self.prefix + RECORD)["Body"].read()
            found = json.loads(body)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return {}
            raise
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def publish(target: Target, wanted: dict[str, Path], record: dict[str, Any]) -> tuple[int, int]:
    """Upload what differs, then remove what is old; how many of each."""
    present = target.present()
    differing = [
        name
        for name, path in wanted.items()
        if present.get(name) != hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    ]
    pages = [name for name in differing if name.endswith(".html")]
    assets = [name for name in differing if name not in pages]
    with ThreadPoolExecutor(storage.AT_ONCE) as pool:
        list(pool.map(lambda name: target.put(name, wanted[name].read_bytes()), assets))
    # A page names its assets: it comes after them, the first page last.
    for name in sorted(pages, key=lambda page: page == "index.html"):
        target.put(name, wanted[name].read_bytes())
    old = [name for name in present if name not in wanted and name != RECORD]
    known = target.record() if RECORD in present else {}
    if differing or {key: known.get(key) for key in record} != record:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")  # noqa: UP017 - Python 3.8 on servers
        target.put(RECORD, json.dumps({**record, "deployed_at": now}).encode() + b"\n")
        differing = differing or [RECORD]
    target.remove(old)
    return len(differing), len(old)


def ensure(parameters: dict[str, Any]) -> dict[str, Any]:
    """The module's answer."""
    place = Place(parameters)
    wanted = files(root_of(place.release, parameters["type"]))
    record = {key: parameters[key] for key in ("commit", "service", "type")}
    try:
        target = Target(parameters)
        uploaded, removed = publish(target, wanted, record)
    except storage.ERRORS as error:
        raise storage.refused(error, parameters["bucket"]) from None
    link(place.current, Path("releases") / place.commit)
    place.prune()
    return {
        "changed": bool(uploaded or removed),
        "detail": f"{uploaded} uploaded, {removed} removed",
        "result": {"health": "ready", "bucket": target.bucket, "prefix": target.prefix.rstrip("/")},
    }


def main() -> None:
    """Entry point."""
    step.main(ARGUMENT_SPEC, ensure)


if __name__ == "__main__":
    main()

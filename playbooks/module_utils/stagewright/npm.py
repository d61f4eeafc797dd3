"""npm as deployments need it: from the lock, without scripts unless asked for, cached where possible."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from ansible.module_utils.stagewright.commands import Failure, environment, run, tail
from ansible.module_utils.stagewright.places import Place, read_json, write

LOCKS = ("npm-shrinkwrap.json", "package-lock.json")
INSTALL_TIMEOUT_S = 600
NETWORK = re.compile(
    r"ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ERR_SOCKET_TIMEOUT|\bE(429|5\d\d)\b|network", re.I
)


def command(node_bin: str | None) -> str:
    """npm, by its path where the server's setting names one."""
    return str(Path(node_bin) / "npm") if node_bin else "npm"


def npm_environment(place: Place, node_bin: str | None, **more: str) -> dict[str, str]:
    """One cache for all services of a server."""
    cache = str(place.home / "cache" / "npm")
    return environment(node_bin, npm_config_cache=cache, npm_config_update_notifier="false", **more)


def install(place: Place, node_bin: str | None, *, production: bool) -> dict[str, Any]:
    """`npm ci`, once for each lock and release.

    Raises:
        Failure: no lock; the registry cannot be reached (retryable); npm refuses.
    """
    package = read_json(place.release / "package.json")
    wanted = [package.get(kind) for kind in ("dependencies", "optionalDependencies")]
    if not any(wanted) and (production or not package.get("devDependencies")):
        return {"changed": False, "detail": "no dependencies"}
    lock = next((place.release / name for name in LOCKS if (place.release / name).is_file()), None)
    if lock is None:
        raise Failure(
            "package-lock.json is missing.", "Run `npm install` in the repository and commit the lock.",
            resource="package-lock.json",
        )  # fmt: skip
    marker = place.release / "node_modules" / ".stagewright"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest() + f" production={production}\n"
    if marker.is_file() and marker.read_text() == digest:
        return {"changed": False}
    _ci(place, node_bin, production, scripts=bool(package.get("stagewright", {}).get("installScripts")))
    write(marker, digest, 0o644)
    return {"changed": True, "detail": "installed from the lock"}


def _ci(place: Place, node_bin: str | None, production: bool, *, scripts: bool) -> None:
    options = ["--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"]
    options += ["--omit=dev"] if production else ["--include=dev"]
    options += [] if scripts else ["--ignore-scripts"]
    done = run(
        [command(node_bin), "ci", *options],
        cwd=place.release, env=npm_environment(place, node_bin), timeout=INSTALL_TIMEOUT_S,
    )  # fmt: skip
    if done.returncode:
        said = tail(done.stderr or done.stdout)
        if NETWORK.search(said):
            raise Failure(
                f"npm cannot reach its registry: {said}", "Check the network and npm's registry setting.",
                resource="npm ci", retryable=True,
            )  # fmt: skip
        raise Failure(
            f"npm ci failed: {said}", "Mend package.json or its lock, and order again.", resource="npm ci"
        )

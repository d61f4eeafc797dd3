"""Ansible module: `npm run build` in one release, with the variables of its `.env` in the environment."""

from __future__ import annotations

import hashlib
from typing import Any

from ansible.module_utils.stagewright import dotenv, npm, step
from ansible.module_utils.stagewright.commands import Failure, run, tail
from ansible.module_utils.stagewright.places import ARGUMENTS, Place, read_json, write

ARGUMENT_SPEC: dict[str, Any] = {**ARGUMENTS, "node_bin": {"type": "str"}}

TIMEOUT_S = 900


def ensure(parameters: dict[str, Any]) -> dict[str, Any]:
    """The module's answer: built anew where the environment differs from the last build's."""
    place = Place(parameters)
    file = place.release / ".env"
    digest = hashlib.sha256(file.read_bytes()).hexdigest() + "\n"
    marker = place.release / ".built"
    if marker.is_file() and marker.read_text() == digest:
        return {"changed": False}
    if "build" not in (read_json(place.release / "package.json").get("scripts") or {}):
        raise Failure(
            "package.json has no script `build`.", "Add one, or order the service with type static.",
            resource="package.json",
        )  # fmt: skip
    node_bin = parameters["node_bin"]
    done = run(
        [npm.command(node_bin), "run", "build", "--loglevel=error"],
        cwd=place.release,
        env=npm.npm_environment(place, node_bin, **dotenv.parse(file)),
        timeout=TIMEOUT_S,
    )
    if done.returncode:
        said = tail(f"{done.stdout}\n{done.stderr}", dotenv.secrets(file))
        raise Failure(
            f"npm run build failed: {said}", "Mend the build, and order again.", resource="npm run build"
        )
    write(marker, digest, 0o600)
    return {"changed": True, "detail": "built"}


def main() -> None:
    """Entry point."""
    step.main(ARGUMENT_SPEC, ensure)


if __name__ == "__main__":
    main()

"""Ansible module: what a release needs from a package registry, installed from its lock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.stagewright import npm, pip, step
from ansible.module_utils.stagewright.commands import Failure
from ansible.module_utils.stagewright.places import ARGUMENTS, Place

ARGUMENT_SPEC: dict[str, Any] = {
    **ARGUMENTS,
    "type": {"type": "str", "required": True, "choices": ["node", "python", "angular"]},
    "node_bin": {"type": "str"},
}


def must_be_json(manifest: Path) -> None:
    """Raises: Failure, saying where it is none: whatever reads it next would blame something else."""
    try:
        json.loads(manifest.read_text(errors="replace"))
    except ValueError as error:
        raise Failure(
            f"package.json is not JSON: {error}.", "Mend it, and order again.", resource="package.json"
        ) from None


def ensure(parameters: dict[str, Any]) -> dict[str, Any]:
    """The module's answer."""
    place = Place(parameters)
    if parameters["type"] == "python":
        return pip.install(place)
    manifest = place.release / "package.json"
    if not manifest.is_file():
        return {"changed": False, "detail": "no package.json"}
    must_be_json(manifest)
    return npm.install(place, parameters["node_bin"], production=parameters["type"] == "node")


def main() -> None:
    """Entry point."""
    step.main(ARGUMENT_SPEC, ensure)


if __name__ == "__main__":
    main()

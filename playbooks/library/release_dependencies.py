"""Ansible module: what a release needs from a package registry, installed from its lock."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.stagewright import npm, pip, step
from ansible.module_utils.stagewright.places import ARGUMENTS, Place

ARGUMENT_SPEC: dict[str, Any] = {
    **ARGUMENTS,
    "type": {"type": "str", "required": True, "choices": ["node", "python", "angular"]},
    "node_bin": {"type": "str"},
}


def ensure(parameters: dict[str, Any]) -> dict[str, Any]:
    """The module's answer."""
    place = Place(parameters)
    if parameters["type"] == "python":
        return pip.install(place)
    if not (place.release / "package.json").is_file():
        return {"changed": False, "detail": "no package.json"}
    return npm.install(place, parameters["node_bin"], production=parameters["type"] == "node")


def main() -> None:
    """Entry point."""
    step.main(ARGUMENT_SPEC, ensure)


if __name__ == "__main__":
    main()

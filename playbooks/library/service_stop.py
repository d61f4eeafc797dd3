"""Ansible module: the supervised process of a service is stopped and forgotten."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.stagewright import step
from ansible.module_utils.stagewright.places import HOME_ARGUMENTS, Home
from ansible.module_utils.stagewright.supervision import supervisor_of

ARGUMENT_SPEC: dict[str, Any] = {**HOME_ARGUMENTS, "supervisor": {"type": "str"}}


def ensure(parameters: dict[str, Any]) -> dict[str, Any]:
    """The module's answer."""
    program = Home(parameters).program
    return {"changed": supervisor_of(parameters["supervisor"]).forget(program), "detail": program}


def main() -> None:
    """Entry point."""
    step.main(ARGUMENT_SPEC, ensure)


if __name__ == "__main__":
    main()

"""Ansible module: the directory tree of a service is gone: releases, logs, what was fetched, what ran."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.stagewright import step
from ansible.module_utils.stagewright.commands import Failure
from ansible.module_utils.stagewright.places import HOME_ARGUMENTS, Home

ARGUMENT_SPEC: dict[str, Any] = dict(HOME_ARGUMENTS)


def ensure(parameters: dict[str, Any]) -> dict[str, Any]:
    """The module's answer."""
    home = Home(parameters)
    try:
        return {"changed": home.remove()}
    except OSError as error:
        raise Failure(
            f"{error.filename or home.root} cannot be removed: {error.strerror}.",
            "Remove it by hand, or give it back to the user that deploys.", resource=str(home.root),
        ) from None  # fmt: skip


def main() -> None:
    """Entry point."""
    step.main(ARGUMENT_SPEC, ensure)


if __name__ == "__main__":
    main()

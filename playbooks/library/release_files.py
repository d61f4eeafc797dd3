"""Ansible module: `.env` (readable by its owner alone) and `.discovery.json` of one release."""

from __future__ import annotations

import json
from typing import Any

from ansible.module_utils.stagewright import dotenv, step
from ansible.module_utils.stagewright.places import ARGUMENTS, Place

ARGUMENT_SPEC: dict[str, Any] = {
    **ARGUMENTS,
    "deployment": {"type": "dict", "required": True},
    "secrets": {"type": "dict", "required": True, "no_log": True},
}


def variables(deployment: dict[str, Any], secrets: dict[str, str]) -> dict[str, str]:
    """What the service finds in its environment. What the platform says stands above its secrets."""
    service, allocation = deployment["service"], deployment["allocation"]
    found = {
        **secrets,
        "BASE_PATH": service["path"],
        "DOMAINS": ",".join(deployment.get("domains") or []),
        "ENVIRONMENT_ID": deployment["environment"],
        "SERVICE_ID": service["id"],
    }
    if allocation.get("port"):
        found["PORT"] = str(allocation["port"])
        found["HOST"] = deployment["server"].get("address") or "127.0.0.1"
    if allocation.get("database"):
        found["DB_HOST"] = deployment["database"]["host"]
        found["DB_PORT"] = str(deployment["database"]["port"])
    if service["type"] == "node":
        found["NODE_ENV"] = "production"
    return found


def ensure(parameters: dict[str, Any]) -> dict[str, Any]:
    """The module's answer."""
    place = Place(parameters)
    deployment = parameters["deployment"]
    discovery = json.dumps(deployment.get("discovery") or [], indent=2, sort_keys=True) + "\n"
    changed = [
        place.exchange(".env", dotenv.render(variables(deployment, parameters["secrets"])), 0o600),
        place.exchange(".discovery.json", discovery, 0o644),
    ]
    return {"changed": any(changed)}


def main() -> None:
    """Entry point."""
    step.main(ARGUMENT_SPEC, ensure)


if __name__ == "__main__":
    main()

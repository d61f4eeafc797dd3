"""What a play is told: the command and the places that it needs; references, never a secret value.

The argument specs of `playbooks/roles` describe each field.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stagewright.contracts.commands import DeployService, RemoveService
from stagewright.contracts.work import Allocation
from stagewright.settings import Settings


def deployment_document(command: DeployService, settings: Settings) -> dict[str, Any]:
    """What a play knows that deploys a service."""
    document = command.model_dump(
        mode="json",
        exclude_none=True,
        include={
            "environment", "commit", "service", "allocation", "secrets", "discovery", "domains", "restart"
        },
    )  # fmt: skip
    return {
        **document,
        "git_config": [list(pair) for pair in sorted(settings.git.mirrors.items())],
        **_places(command.allocation, settings),
    }


def removal_document(command: RemoveService, settings: Settings) -> dict[str, Any]:
    """What a play knows that removes a service."""
    document = command.model_dump(
        mode="json",
        exclude_none=True,
        include={"environment": True, "order_id": True, "service": {"id"}, "allocation": True, "dump": True},
    )
    ours, place = str((settings.data_dir / "dumps").absolute()), settings.executor.dumps
    if place and not place.startswith("s3://"):
        place = str(Path(place).absolute())
    return {
        **document,
        "dumps": {"place": place or ours, "aside": ours},
        **_places(command.allocation, settings),
    }


def _places(allocation: Allocation, settings: Settings) -> dict[str, Any]:
    """The servers that a play works on; a front is built on the first one."""
    server = next((one for one in settings.servers if one.name == allocation.server), None)
    server = server or settings.servers[0]
    return {
        "server": _plain(
            server.model_dump(mode="json", include={"home", "address", "supervisor", "node_bin"})
        ),
        "database": _plain(settings.database.model_dump(mode="json")),
        "s3": _plain(
            {
                "endpoint": settings.aws.s3_endpoint,
                "region": settings.aws.region,
                "credentials_file": _text(settings.aws.credentials_file),
            }
        ),
        "vault": _plain(
            {
                "address": settings.vault.address,
                "mount": settings.vault.mount,
                "ca_file": _text(settings.vault.ca_file),
            }
        ),
    }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _text(value: object) -> str | None:
    return None if value is None else str(value)

"""ServiceOperator: what concerns one service — its state, its secrets, its deployment."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from executor.operators.environment import variable_path
from executor.operators.ports import OnTask, Playbook
from executor.operators.world import World, all_of
from stagewright.contracts.commands import DeployService
from stagewright.contracts.events import InspectedService
from stagewright.contracts.work import Allocation, Deployable, Deployed, Health, SecretRef, ServiceSecrets
from stagewright.errors import Retryable, Terminal
from stagewright.settings import Settings

MARKER = "deployed.json"
"""What a deployment leaves behind, on the server or in the bucket: `{"commit": …}`."""
_MARGIN = 2.0


@dataclass(frozen=True)
class Deployment:
    """What a deployment found and changed."""

    health: Health
    changed: tuple[str, ...]


class ServiceOperator:
    """Acts on one service of one environment; every method may be repeated at will."""

    def __init__(self, environment: str, service: Deployable, world: World) -> None:
        self._environment = environment
        self._service = service
        self._world = world

    async def inspect(self, deployed: Deployed | None) -> InspectedService:
        """The commit that the repository has now, and what really runs.

        Raises:
            Terminal: `repository.…`; Retryable: `repository.unreachable`, `server.unreachable`.
        """
        repository = self._service.repository
        commit, (running, health) = cast(
            "tuple[str, tuple[str | None, Health | None]]",
            await all_of(
                [
                    self._world.git.resolve(repository.url, repository.version),
                    self._state(deployed.allocation if deployed else None),
                ]
            ),
        )
        return InspectedService(service=self._service.id, commit=commit, running=running, health=health)

    async def _state(self, allocation: Allocation | None) -> tuple[str | None, Health | None]:
        if allocation is None:
            return None, None
        if allocation.bucket is not None:
            return await self._front_state(allocation.bucket, allocation.prefix)
        if allocation.port is None:
            return None, None
        return await self._api_state(allocation.server, allocation.port)

    async def _api_state(self, name: str | None, port: int) -> tuple[str | None, Health | None]:
        server = self._world.server(name)
        found = await self._world.hosts.look(server, self._environment, self._service.id)
        if found is None or found.commit is None or not found.supervised or found.port != port:
            return None, None
        healthy = await self._world.hosts.answers(server, port)
        return found.commit, "ready" if healthy else "incomplete"

    async def _front_state(self, bucket: str, prefix: str | None) -> tuple[str | None, Health | None]:
        key = f"{prefix}/{MARKER}" if prefix else MARKER
        found = await self._world.buckets.read_json(bucket, key)
        commit = found.get("commit") if found else None
        return (commit, "ready") if isinstance(commit, str) else (None, None)

    async def create_variables(
        self, allocation: Allocation, listed: Mapping[str, int]
    ) -> tuple[ServiceSecrets, tuple[str, ...]]:
        """Create what is missing; references to everything, and the paths that were created.

        `listed` has the versions of the variables that orders list. A value that is there stays.
        """
        values = self._values(allocation)
        made = await all_of([self._ensure(name, value) for name, value in values.items()])
        own = tuple(reference for reference, _ in made)
        ordered = tuple(
            SecretRef(name=name, path=variable_path(self._environment, name), version=listed[name])
            for name in self._service.variables
        )
        changed = tuple(reference.path for reference, created in made if created)
        return ServiceSecrets(service=self._service.id, secrets=(*own, *ordered)), changed

    def _values(self, allocation: Allocation) -> dict[str, str | None]:
        """Name to value; None stands for a password, which is made only where it is needed."""
        if self._service.block == "front":
            place = (allocation.bucket, allocation.prefix)
            return {"CDN_PATH": "/".join(part for part in place if part)}
        if allocation.database is None:
            return {}
        return {"DB_DATABASE": allocation.database, "DB_USERNAME": allocation.database, "DB_PASSWORD": None}

    async def _ensure(self, name: str, value: str | None) -> tuple[SecretRef, bool]:
        path = f"environments/{self._environment}/services/{self._service.id}/{name}"
        version, created = await self._world.vault.version(path), False
        if version is None:
            content = secrets.token_urlsafe(32) if value is None else value
            version, created = await self._world.vault.create(path, content)
        return SecretRef(name=name, path=path, version=version), created

    async def deploy(self, command: DeployService, on_task: OnTask) -> Deployment:
        """Run the playbook of the service's type.

        Raises:
            Terminal, Retryable: as `Playbooks.run`; `server.unknown`, `allocation.incomplete`.
            Retryable: `port.occupied`, where another process took the service's port since it was leased.
        """
        self._check_allocation(command.allocation)
        playbook = Playbook(
            name=f"deploy_{self._service.type}",
            server=self._world.server(command.allocation.server),
            variables=deployment_document(command, self._world.settings),
            timeout=max(1.0, command.timeout - _MARGIN),
            run_id=str(command.command_id),
        )
        try:
            result = await self._world.playbooks.run(playbook, on_task)
        except Retryable as error:
            if error.info.resource != f"port {command.allocation.port}":
                raise
            place = f"{command.allocation.server}:{command.allocation.port}"
            raise Retryable("port.occupied", place, error.info.reason, "Another port is leased.") from error
        said = result.facts.get("health", "ready" if self._service.block == "front" else "incomplete")
        return Deployment("ready" if said == "ready" else "incomplete", result.changed)

    def _check_allocation(self, allocation: Allocation) -> None:
        needed = allocation.bucket if self._service.block == "front" else allocation.port
        if needed is None:
            raise Terminal(
                "allocation.incomplete",
                f"services[{self._service.id}]",
                "the command brings no place for the service.",
                "Report this with the order's events: allocation comes before deployment.",
            )


def deployment_document(command: DeployService, settings: Settings) -> dict[str, Any]:
    """What a play knows: the command and the places that it needs; references, never a secret value.

    The argument specs of `playbooks/roles` describe each field.
    """
    server = next((one for one in settings.servers if one.name == command.allocation.server), None)
    server = server or settings.servers[0]
    document = command.model_dump(
        mode="json",
        exclude_none=True,
        include={"environment", "commit", "service", "allocation", "secrets", "discovery", "domains"},
    )
    return {
        **document,
        "git_config": [list(pair) for pair in sorted(settings.git.mirrors.items())],
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

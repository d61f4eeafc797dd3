"""ServiceOperator: what concerns one service — its state, its deployment, its removal."""

from dataclasses import dataclass
from typing import cast

from executor.operators.documents import deployment_document, removal_document
from executor.operators.observing import observed
from executor.operators.ports import OnTask, Playbook, TaskProgress
from executor.operators.world import World, all_of
from stagewright.clock import rfc3339, utc_now
from stagewright.contracts.commands import DeployService, RemoveService
from stagewright.contracts.events import InspectedService
from stagewright.contracts.work import Deployable, Deployed, Health
from stagewright.errors import Retryable, Terminal

_MARGIN = 2.0


@dataclass(frozen=True)
class Deployment:
    """What a deployment found and changed; `run` runs its playbook again by hand."""

    health: Health
    changed: tuple[str, ...]
    run: str | None


@dataclass(frozen=True)
class Removal:
    """What a removal changed, where the database's dump is, and the command that repeats it by hand."""

    dump: str | None
    changed: tuple[str, ...]
    run: str | None


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
                    self._state(deployed),
                ]
            ),
        )
        return InspectedService(service=self._service.id, commit=commit, running=running, health=health)

    async def _state(self, deployed: Deployed | None) -> tuple[str | None, Health | None]:
        if deployed is None:
            return None, None
        return await observed(self._world, self._environment, deployed.allocation)

    async def deploy(self, command: DeployService, on_task: OnTask) -> Deployment:
        """Run the playbook of the service's type.

        Raises:
            Terminal, Retryable: as `Playbooks.run`; `server.unknown`, `allocation.incomplete`.
            Retryable: `port.occupied`, where another process took the service's port since it was leased.
        """
        front = self._service.block == "front"
        self._check(command.allocation.bucket if front else command.allocation.port)
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
        said = result.facts.get("health", "ready" if front else "incomplete")
        return Deployment("ready" if said == "ready" else "incomplete", result.changed, result.command)

    async def remove(self, command: RemoveService, on_task: OnTask) -> Removal:
        """Take the service off the allocation that the command names, and off no other.

        Raises:
            Terminal, Retryable: as `Playbooks.run`; `server.unknown`, `allocation.incomplete`.
        """
        place = command.allocation
        front = place.bucket is not None
        self._check(place.prefix if front else place.port)
        if place.database is None and not self._world.knows(place.server):
            # The server was taken out of the settings, and the service moved: what is on it is its owner's.
            return Removal(None, (), None)
        result = await self._world.playbooks.run(
            Playbook(
                name="remove_front" if front else "remove_api",
                server=self._world.server(place.server),
                variables=removal_document(command, self._world.settings),
                timeout=max(1.0, command.timeout - _MARGIN),
                run_id=str(command.command_id),
            ),
            on_task,
        )
        dump = result.facts.get("dump")
        if command.dump and place.database is not None and dump is None:
            await on_task(_undumped(place.database))
        return Removal(dump, result.changed, result.command)

    def _check(self, place: str | int | None) -> None:
        if place is None:
            raise Terminal(
                "allocation.incomplete",
                f"services[{self._service.id}]",
                "the command brings no place for the service.",
                "Report this with the order's events: allocation comes before it.",
            )


def _undumped(database: str) -> TaskProgress:
    """Nobody shall believe that there is a dump."""
    return TaskProgress(
        "Dump the database",
        "skipped",
        rfc3339(utc_now()),
        detail=f"{database} is gone already, and no dump of it by this order is found from this machine",
    )

"""EnvironmentVariablesOperator: the secrets of an environment's services, by reference."""

import secrets
from collections.abc import Iterable, Mapping, Sequence

from executor.operators.world import World, all_of
from stagewright.contracts.work import (
    OWN_VARIABLES,
    Allocation,
    Deployable,
    SecretRef,
    ServiceSecrets,
    own_variable_path,
    variable_path,
)
from stagewright.errors import Terminal

Pins = Mapping[str, Mapping[str, SecretRef]]
"""Service, name of the variable, and the version that must be used."""


class EnvironmentVariablesOperator:
    """Acts on the vault for one environment; every method may be repeated at will."""

    def __init__(self, environment: str, world: World) -> None:
        self._environment = environment
        self._vault = world.vault

    async def create(
        self,
        services: Sequence[Deployable],
        allocations: Sequence[Allocation],
        pins: Sequence[ServiceSecrets] = (),
    ) -> tuple[tuple[ServiceSecrets, ...], tuple[str, ...]]:
        """Create and restore what is missing; references to everything, and the paths that changed.

        What people must store themselves is checked before anything is made. A value that is there stays.

        Raises:
            Terminal: `variable.missing`, `variable.version_missing`, each naming all of them.
        """
        homes = {one.service: one for one in allocations}
        own = {one.id: _values(one, homes.get(one.id, Allocation(service=one.id))) for one in services}
        pinned = {one.id: _needed(one, own[one.id], pins) for one in services}
        listed = await self._listed(services, pinned)
        restored = await self._restore([ref for refs in pinned.values() for ref in refs.values()])
        made = await all_of([self._service(one, own[one.id], listed, pinned[one.id]) for one in services])
        changed = (*restored, *(path for _, paths in made for path in paths))
        return tuple(references for references, _ in made), changed

    async def delete(self, paths: Sequence[str]) -> tuple[str, ...]:
        """Delete every version softly that can be read; the paths that had one.

        Not the current version alone: where an older one was restored, the current one is deleted already.
        """
        done = await all_of([self._delete(path) for path in paths])
        return tuple(path for path, deleted in zip(paths, done, strict=True) if deleted)

    async def _delete(self, path: str) -> bool:
        versions = await self._vault.versions(path)
        readable = sorted(version for version, state in versions.items() if state)
        if readable:
            await self._vault.delete(path, readable)
        return bool(readable)

    async def _listed(self, services: Sequence[Deployable], pins: Pins) -> dict[str, int]:
        """The version of every variable that the services list and no pin names."""
        names = sorted({name for one in services for name in one.variables if name not in pins[one.id]})
        versions = await all_of(
            [self._vault.version(variable_path(self._environment, name)) for name in names]
        )
        found = dict(zip(names, versions, strict=True))
        missing = [name for name, version in found.items() if version is None]
        if missing:
            raise Terminal(
                "variable.missing",
                variable_path(self._environment, missing[0] if len(missing) == 1 else "*"),
                f"the vault has no {', '.join(missing)} for environment {self._environment}.",
                "Store each in the vault at that path, in the field `value`, or take it out of the order.",
            )
        return {name: version for name, version in found.items() if version is not None}

    async def _restore(self, pins: Iterable[SecretRef]) -> tuple[str, ...]:
        """Make these versions readable, if all of them can be; the paths of those that were not."""
        wanted = sorted({(ref.path, ref.version) for ref in pins})
        versions = await all_of([self._vault.versions(path) for path, _ in wanted])
        states = {one: found.get(one[1]) for one, found in zip(wanted, versions, strict=True)}
        missing = [f"{path} version {version}" for (path, version), state in states.items() if state is None]
        if missing:
            raise Terminal(
                "variable.version_missing",
                missing[0].split(" ", 1)[0] if len(missing) == 1 else variable_path(self._environment, "*"),
                f"the vault does not have, or has destroyed: {', '.join(missing)}.",
                "Roll back to an order whose secrets are still there, or submit an update instead.",
            )
        deleted = [one for one, readable in states.items() if not readable]
        await all_of([self._vault.undelete(path, [version]) for path, version in deleted])
        return tuple(path for path, _ in deleted)

    async def _service(
        self,
        service: Deployable,
        own: Mapping[str, str | None],
        listed: Mapping[str, int],
        pins: Mapping[str, SecretRef],
    ) -> tuple[ServiceSecrets, tuple[str, ...]]:
        made = await all_of(
            [self._own(service.id, name, value, pins.get(name)) for name, value in own.items()]
        )
        ordered = tuple(
            pins.get(name)
            or SecretRef(name=name, path=variable_path(self._environment, name), version=listed[name])
            for name in service.variables
        )
        references = (*(ref for ref, _ in made), *ordered)
        changed = tuple(ref.path for ref, created in made if created)
        return ServiceSecrets(service=service.id, secrets=references), changed

    async def _own(
        self, service: str, name: str, value: str | None, pin: SecretRef | None
    ) -> tuple[SecretRef, bool]:
        """A variable that Stagewright makes, and whether it was made now."""
        if pin is not None:
            return pin, False
        path = own_variable_path(self._environment, service, name)
        version, created = await self._vault.version(path), False
        if version is None:
            content = secrets.token_urlsafe(32) if value is None else value
            version, created = await self._vault.create(path, content)
        return SecretRef(name=name, path=path, version=version), created


def _needed(service: Deployable, own: Iterable[str], pins: Iterable[ServiceSecrets]) -> dict[str, SecretRef]:
    """The pins of variables that the service has, by name."""
    names = {*own, *service.variables}
    found = (ref for one in pins if one.service == service.id for ref in one.secrets)
    return {ref.name: ref for ref in found if ref.name in names}


def _values(service: Deployable, home: Allocation) -> dict[str, str | None]:
    """Name to value; None stands for a password, which is made only where it is needed."""
    if service.block == "front":
        place = "/".join(part for part in (home.bucket, home.prefix) if part)
        return dict.fromkeys(OWN_VARIABLES["front"], place)
    if home.database is None:
        return {}
    return {name: None if name == "DB_PASSWORD" else home.database for name in OWN_VARIABLES["api"]}

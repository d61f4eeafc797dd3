"""What an order takes away: services that nobody wants any more, and what only they used.

`Step` is `stages.Step`; each function takes away what the environment's state says is left, so that it may
be asked again until nothing is.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from orchestrator.domain.environment import EnvironmentState, Tenant, moved
from stagewright.contracts.base import Stage
from stagewright.contracts.commands import (
    Command,
    DeconfigureEnvironment,
    DeleteVariables,
    ReleaseResources,
    RemoveService,
)
from stagewright.contracts.work import DnsRecord

if TYPE_CHECKING:
    from orchestrator.domain.stages import Step


def unwanted(step: "Step") -> Iterable[Tenant]:
    """Services that the order does not have, and places that its services have left."""
    wanted = {spec.id for _, spec in step.order.services}
    known = step.environment
    yield from known.leftovers
    for name, allocation in known.allocations.items():
        if name not in wanted:
            yield Tenant(known.tenants[name], allocation)


def remove(step: "Step", *, only: str | None = None, undo: bool = False) -> Sequence[Command]:
    """One place of each service at a time: what a service has left first, then where it is."""
    first: dict[str, Tenant] = {}
    for tenant in unwanted(step) if not undo else undone(step):
        first.setdefault(tenant.service.id, tenant)
    return [
        RemoveService(
            **step.base(Stage.REMOVE_SERVICES, name, undo=undo),
            service=tenant.service,
            allocation=tenant.allocation,
            dump=step.order.dump,
        )
        for name, tenant in first.items()
        if only in {None, name}
    ]


def undone(step: "Step") -> Iterable[Tenant]:
    """Places that only the order made, of an order that is reversed: none that was left or used before."""
    known = step.environment
    base = known.base or EnvironmentState()
    for one in known.leftovers:
        home = base.allocations.get(one.service.id)
        if one not in base.leftovers and (home is None or moved(one.allocation, home)):
            yield one
    for name, allocation in known.allocations.items():
        if name not in base.allocations:
            yield Tenant(known.tenants[name], allocation)


def release(step: "Step", *, undo: bool = False) -> Sequence[Command]:
    """Everything that was freed, in one command."""
    freed = step.environment.freed
    if not freed:
        return []
    used = {one.bucket for one in step.environment.allocations.values()}
    buckets = sorted({one.bucket for one in freed if one.bucket} - used)
    return [
        ReleaseResources(
            **step.base(Stage.RELEASE_RESOURCES, undo=undo), allocations=freed, buckets=tuple(buckets)
        )
    ]


def delete_variables(step: "Step") -> Sequence[Command]:
    """Secrets that Stagewright made for what is no more."""
    return delete_paths(step, step.environment.old_secrets)


def delete_paths(step: "Step", paths: Iterable[str], *, undo: bool = False) -> Sequence[Command]:
    """The command that deletes these secrets; none where there are none."""
    gone = tuple(sorted(paths))
    return [DeleteVariables(**step.base(Stage.DELETE_VARIABLES, undo=undo), paths=gone)] if gone else []


def deconfigure(step: "Step") -> Sequence[Command]:
    """Records of domains that the environment does not answer on any more; all, where it is dropped."""
    known = step.environment
    records = known.old_records + (known.records if step.order.action == "drop" else ())
    return deconfigure_records(step, records) if records else []


def deconfigure_records(
    step: "Step", records: tuple[DnsRecord, ...], *, undo: bool = False
) -> Sequence[Command]:
    """The command that removes these records."""
    return [DeconfigureEnvironment(**step.base(Stage.DECONFIGURE_ENVIRONMENT, undo=undo), records=records)]

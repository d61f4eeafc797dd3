"""What the parts of an order may not have in common, and which fields an action needs and takes.

The same rules hold for a verified order and for the plain tree of one that may be wrong elsewhere too, so
that people hear of everything at once.
"""

import posixpath
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from stagewright.contracts.order_rules import API_TYPES, FRONT_TYPES


class Fields(NamedTuple):
    """Which fields an action needs, and which it takes besides."""

    needed: frozenset[str]
    taken: frozenset[str]


_ALWAYS = frozenset(
    {"action", "environment_id", "order_id", "description", "require_approval", "timeouts", "plan_id"}
)
_BLOCKS = frozenset({"api", "front"})
ACTION_FIELDS: dict[str, Fields] = {
    "update": Fields(_BLOCKS, frozenset({"on_failure", "supersedes"})),
    "rollback": Fields(_BLOCKS | {"to"}, frozenset({"pins", "on_failure"})),
    "drop": Fields(frozenset(), frozenset({"dump"})),
    "redeploy": Fields(frozenset({"service_ids"}), frozenset()),
    "maintenance": Fields(frozenset({"maintenance"}), frozenset()),
}
"""Beside those that every action takes."""
_KNOWN = _ALWAYS.union(*(fields.needed | fields.taken for fields in ACTION_FIELDS.values()))


class Conflict(NamedTuple):
    """Parts of an order that cannot stand together; `field` is the later one."""

    code: str
    field: tuple[str | int, ...]
    message: str


def conflicts(order: Any, given: Iterable[str]) -> Iterator[Conflict]:
    """Everything that no field shows alone. `order` is an `Order`, or the plain tree of one.

    `given` names the fields that it has. What is missing or unreadable in a tree conflicts with nothing.
    """
    action = _part(order, "action")
    known = isinstance(action, str) and action in ACTION_FIELDS
    misplaced = list(action_conflicts(action, given)) if known else []
    yield from misplaced
    yield from _domain_conflicts(order)
    services = [line for name in ("api", "front") for line in _services(order, name)]
    yield from _service_conflicts(services)
    yield from _restart_conflicts(order)
    if ("pins",) not in {conflict.field for conflict in misplaced}:
        yield from _pin_conflicts(order, {line.id for line in services} | {None})


def action_conflicts(action: str, given: Iterable[str]) -> Iterator[Conflict]:
    """Fields that the action needs and does not have, and fields that mean nothing to it."""
    fields, there = ACTION_FIELDS[action], set(given)
    for name in sorted(fields.needed - there):
        yield Conflict("field.missing", (name,), "is missing. Add it.")
    for name in sorted(there & _KNOWN - fields.needed - fields.taken - _ALWAYS):
        yield Conflict(
            "field.not_for_action", (name,), f"means nothing to action {action}. Take it out of the order."
        )


class _Line(NamedTuple):
    """One service of a block; None where a part is missing or unreadable."""

    block: str
    at: int
    id: str | None
    path: str | None
    type: str | None


def _part(node: Any, name: str) -> Any:
    """A field of a model or of a mapping."""
    return node.get(name) if isinstance(node, dict) else getattr(node, name, None)


def _parts(node: Any, name: str) -> Iterator[tuple[int, Any]]:
    """The items of a list, with their places; none where it is no list."""
    found = _part(node, name)
    return enumerate(found if isinstance(found, (list, tuple)) else ())


def _text(node: Any, *names: str) -> str | None:
    found = next((value for name in names if (value := _part(node, name)) is not None), None)
    return found if isinstance(found, str) else None


def _services(order: Any, block: str) -> Iterator[_Line]:
    for at, service in _parts(_part(order, block), "services"):
        path = _text(service, "path")
        # The proxy does not tell /Core from /core.
        path = posixpath.normpath(path).lower() if path else None
        yield _Line(block, at, _text(service, "id", "uuid"), path, _text(service, "type"))


def _service_conflicts(lines: Iterable[_Line]) -> Iterator[Conflict]:
    ids: set[str] = set()
    paths: set[tuple[str, str]] = set()
    for line in lines:
        path = (line.block, line.path) if line.path is not None else None
        if line.id in ids:
            yield _conflict(line, "id", "service.duplicate_id", _DUPLICATE_ID)
        if path in paths:
            yield _conflict(line, "path", "service.path_taken", _PATH_TAKEN)
        yield from _type_conflict(line)
        ids.update({line.id} if line.id is not None else ())
        paths.update({path} if path is not None else ())


_DUPLICATE_ID = "is the id of an earlier service too. Give each service of the order its own id."
_PATH_TAKEN = (
    "is the path of an earlier service of this block too; capitals make no difference. "
    "Give each service of a block its own path."
)


def _conflict(line: _Line, name: str, code: str, message: str) -> Conflict:
    return Conflict(code, (line.block, "services", line.at, name), message)


def _type_conflict(line: _Line) -> Iterator[Conflict]:
    here, there = (API_TYPES, FRONT_TYPES) if line.block == "api" else (FRONT_TYPES, API_TYPES)
    if line.type in there:
        allowed = " or ".join(sorted(here))
        yield _conflict(
            line,
            "type",
            "service.type_block",
            f"cannot stand in {line.block}. Use {allowed} here, or move the service to the other block.",
        )


def _domain_conflicts(order: Any) -> Iterator[Conflict]:
    seen: set[str] = set()
    for block in ("api", "front"):
        for at, domain in _parts(_part(order, block), "domains"):
            name = domain.lower() if isinstance(domain, str) else None
            if name in seen:
                yield Conflict(
                    "domain.duplicate",
                    (block, "domains", at),
                    "stands in this order twice. Name each domain once, in one block.",
                )
            seen.update({name} if name is not None else ())


def _restart_conflicts(order: Any) -> Iterator[Conflict]:
    for at in _again(name for _, name in _parts(order, "service_ids")):
        yield Conflict("service.duplicate_id", ("service_ids", at), "is named twice. Name each service once.")


def _pin_conflicts(order: Any, known: set[str | None]) -> Iterator[Conflict]:
    pins = [pin for _, pin in _parts(order, "pins")]
    for at in _again(_text(pin, "service") for pin in pins):
        yield Conflict(
            "service.duplicate_id",
            ("pins", at, "service"),
            "has its secrets pinned above already. Write all of them there.",
        )
    for at, pin in enumerate(pins):
        if _text(pin, "service") not in known:
            yield Conflict(
                "service.unknown",
                ("pins", at, "service"),
                "is no service of this order. Correct the id, or take the pins out.",
            )
        for place in _again(_text(secret, "name") for _, secret in _parts(pin, "secrets")):
            yield Conflict(
                "variable.duplicate",
                ("pins", at, "secrets", place, "name"),
                "is pinned twice. Name one version of each secret.",
            )


def _again(names: Iterable[Any]) -> Iterator[int]:
    """The places of names that stood before."""
    seen: set[str] = set()
    for at, name in enumerate(names):
        if isinstance(name, str):
            if name in seen:
                yield at
            seen.add(name)

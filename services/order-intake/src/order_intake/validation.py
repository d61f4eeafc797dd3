"""A tree to a verified order, or everything that is wrong with it at once."""

import posixpath
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any

from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic_core import ErrorDetails

from order_intake.errors import MAX_ERRORS, InvalidOrder, field_path, invalid
from order_intake.parsing import parse
from order_intake.tree import Document, Tree, Unquoted
from stagewright.contracts.order_rules import CONFLICT_CODES, DomainLine, ServiceLine, conflicts
from stagewright.contracts.orders import Block, FieldError, Order, Repository, ServiceSpec

_COMPARABLE = 40
"""Longer names are not compared with the known ones: that takes time, and nobody mistypes so much."""

_LONGEST = 100
"""The longest list that any field takes; the rest of a longer list or mapping is not looked at."""

_MODELS: dict[int, type[BaseModel]] = {0: Order, 1: Block, 3: ServiceSpec, 4: Repository}
"""Which model stands at `api.services[0].repository`, by the length of the path."""


def read_order(body: bytes) -> Order:
    """The verified order of a submitted body.

    Raises:
        InvalidOrder: with every error at once.
    """
    return validate(parse(body))


def validate(document: Document) -> Order:
    """The verified order of a parsed document.

    Raises:
        InvalidOrder: with every error at once, those of the parser first.
    """
    if not isinstance(document.tree, dict):
        raise _not_a_mapping(document)
    errors = list(document.problems)
    plain = _plain(document.tree, (), errors)
    order, field_errors = _order(plain)
    errors += field_errors
    if order is None:
        errors += islice(_conflicts(plain), MAX_ERRORS + 1)
    if order is None or errors:
        raise InvalidOrder(errors, _order_id(order, plain, errors))
    return order


def _not_a_mapping(document: Document) -> InvalidOrder:
    error = invalid(
        "order.not_a_mapping", "is not an order. Write a mapping that begins with `action: update`."
    )
    return InvalidOrder((*document.problems, *error.errors))


def _plain(tree: Tree, path: tuple[str | int, ...], errors: list[FieldError]) -> Any:
    """The tree with text in place of what is unquoted, each of which is an error: every value is text."""
    if isinstance(tree, dict):
        if len(tree) > _LONGEST:
            _add(errors, "field.too_long", path, f"has more than {_LONGEST} fields. Remove some.")
        items = islice(tree.items(), _LONGEST)
        return {key: _plain(value, (*path, key), errors) for key, value in items}
    if isinstance(tree, list):
        if len(tree) > _LONGEST:
            _add(errors, "field.too_long", path, f"is longer than {_LONGEST}. Shorten it.")
        return [_plain(value, (*path, at), errors) for at, value in enumerate(tree[:_LONGEST])]
    if not isinstance(tree, Unquoted):
        return tree
    _add(errors, "field.unquoted", path, f"is read as {tree.kind}, not as text. Put it in quotes.")
    return tree.text


def _add(errors: list[FieldError], code: str, path: Sequence[str | int], message: str) -> None:
    if len(errors) <= MAX_ERRORS:
        errors.append(FieldError(code=code, field=field_path(path), message=message))


def _order(plain: dict[str, Any]) -> tuple[Order | None, list[FieldError]]:
    try:
        return Order.model_validate(plain), []
    except ValidationError as error:
        details = error.errors(include_url=False)
    fields = [detail for detail in details if not _said_elsewhere(detail)]
    return None, [_field_error(detail) for detail in fields[: MAX_ERRORS + 1]]


def _said_elsewhere(detail: ErrorDetails) -> bool:
    """Conflicts are found on the tree; and pydantic calls a list too short when its items are invalid."""
    return detail["type"] in CONFLICT_CODES or (detail["type"] == "too_short" and bool(detail["input"]))


def _field_error(detail: ErrorDetails) -> FieldError:
    code, message = _explained(detail)
    return FieldError(code=code, field=field_path(detail["loc"]), message=message)


def _explained(detail: ErrorDetails) -> tuple[str, str]:
    """Our code, and reason with remedy, for pydantic's error type."""
    kind, limits = detail["type"], detail.get("ctx", {})
    if "explanation" in limits:
        return kind, detail["msg"]
    if kind == "extra_forbidden":
        return _unknown(detail["loc"])
    if kind == "literal_error":
        return "field.choice", f"is none of the possible values. Write {limits['expected']}."
    if kind in {"too_long", "string_too_long"}:
        return "field.too_long", f"is longer than {limits['max_length']}. Shorten it."
    return _KINDS.get(kind, ("field.invalid", "has an invalid value. Correct it."))


_KINDS = {
    "missing": ("field.missing", "is missing. Add it."),
    "string_type": ("field.type", "is not text. Write one value, in quotes."),
    "tuple_type": ("field.type", "is not a list. Write a list, or leave the field out where it is optional."),
    "model_type": ("field.type", "is not a mapping. Write its fields below it, indented."),
    "model_attributes_type": ("field.type", "is not a mapping. Write its fields below it, indented."),
    "too_short": ("field.empty", "is empty. Write at least one."),
}


def _unknown(path: Sequence[str | int]) -> tuple[str, str]:
    name = str(path[-1])
    known = _names(_MODELS.get(len(path) - 1, Order))
    if name in known:
        return "field.twice", f"is another name of {known[name]}, which stands there too. Keep one of them."
    near = get_close_matches(name, known, n=1) if len(name) <= _COMPARABLE else []
    remedy = f"Did you mean {near[0]}?" if near else f"Use {', '.join(known)}, or remove it."
    return "field.unknown", f"is not a field of an order here. {remedy}"


def _names(model: type[BaseModel]) -> dict[str, str]:
    """Every name that may stand in a model's place, with the field that it means."""
    names: dict[str, str] = {}
    for field, info in model.model_fields.items():
        alias = info.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [field]
        names |= {str(choice): field for choice in choices}
    return names


def _conflicts(plain: dict[str, Any]) -> Iterator[FieldError]:
    """Across fields: on the raw tree, so that they are found beside errors in other fields."""
    for conflict in conflicts(_service_lines(plain), _domain_lines(plain)):
        yield FieldError(code=conflict.code, field=field_path(conflict.field), message=conflict.message)


def _listed(plain: dict[str, Any], name: str) -> Iterator[tuple[str, int, Any]]:
    for block in ("api", "front"):
        side = plain.get(block)
        items = side.get(name) if isinstance(side, dict) else None
        for at, item in enumerate(items if isinstance(items, list) else ()):
            yield block, at, item


def _service_lines(plain: dict[str, Any]) -> Iterator[ServiceLine]:
    for block, at, service in _listed(plain, "services"):
        if isinstance(service, dict):
            path = _text(service.get("path"))
            yield ServiceLine(
                block,
                at,
                _text(service.get("id", service.get("uuid"))),
                posixpath.normpath(path) if path else None,
                _text(service.get("type")),
            )


def _domain_lines(plain: dict[str, Any]) -> Iterator[DomainLine]:
    for block, at, domain in _listed(plain, "domains"):
        if isinstance(domain, str):
            yield DomainLine(block, at, domain.lower())


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _order_id(order: Order | None, plain: dict[str, Any], errors: Sequence[FieldError]) -> str | None:
    """The order's own id where it is a valid one, so that the reply can name it."""
    if order is not None:
        return order.order_id
    wrong = any(error.field == "order_id" for error in errors)
    return None if wrong else _text(plain.get("order_id"))

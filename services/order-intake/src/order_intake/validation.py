"""A tree to a verified order, or everything that is wrong with it at once."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from order_intake.errors import MAX_ERRORS, InvalidOrder, field_path, invalid
from order_intake.explaining import explained
from order_intake.parsing import parse
from order_intake.shape import ORDER, Shape
from order_intake.tree import BOOLEAN, NUMBER, Document, Tree, Unquoted
from stagewright.contracts.orders import FieldError, Order, conflicts_of

_LONGEST = 200
"""The longest list that any field takes; the rest of a longer list or mapping is not looked at."""

_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?\Z")
"""Numbers as JSON writes them, of bounded length: not YAML's octal and sexagesimal ones."""


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
    plain = _plain(document.tree, ORDER, (), errors)
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


def _plain(tree: Tree, shape: Shape, path: tuple[str | int, ...], errors: list[FieldError]) -> Any:
    """The tree with values in place of what is unquoted; where text belongs, that is an error."""
    if isinstance(tree, dict):
        if len(tree) > _LONGEST:
            _add(errors, "field.too_long", path, f"has more than {_LONGEST} fields. Remove some.")
        items = islice(tree.items(), _LONGEST)
        return {key: _plain(value, shape.at(key), (*path, key), errors) for key, value in items}
    if isinstance(tree, list):
        if len(tree) > _LONGEST:
            _add(errors, "field.too_long", path, f"is longer than {_LONGEST}. Shorten it.")
        return [_plain(value, shape.item, (*path, at), errors) for at, value in enumerate(tree[:_LONGEST])]
    if not isinstance(tree, Unquoted):
        return tree
    if shape.kind is str:
        _add(errors, "field.unquoted", path, f"is read as {tree.kind}, not as text. Put it in quotes.")
    return _value(tree, shape.kind)


def _value(unquoted: Unquoted, kind: type | None) -> str | bool | int | float:
    """The value that the field takes; the text itself where it takes none like it, so that it is refused."""
    text = unquoted.text
    if kind is bool and unquoted.kind == BOOLEAN:
        return text.lower() in {"true", "yes", "on"}
    if kind in {int, float} and unquoted.kind == NUMBER and _NUMBER.match(text):
        return int(text) if text.lstrip("-").isdigit() else float(text)
    return text


def _add(errors: list[FieldError], code: str, path: Sequence[str | int], message: str) -> None:
    if len(errors) <= MAX_ERRORS:
        errors.append(FieldError(code=code, field=field_path(path), message=message))


def _order(plain: dict[str, Any]) -> tuple[Order | None, list[FieldError]]:
    try:
        return Order.model_validate(plain), []
    except ValidationError as error:
        details = error.errors(include_url=False)
    fields = [detail for detail in details if not _said_elsewhere(detail)]
    return None, [explained(detail, ORDER) for detail in fields[: MAX_ERRORS + 1]]


def _said_elsewhere(detail: ErrorDetails) -> bool:
    """Conflicts have no place and are found on the tree; and a list of invalid items is not too short."""
    return not detail["loc"] or (detail["type"] == "too_short" and bool(detail["input"]))


def _conflicts(plain: dict[str, Any]) -> Iterator[FieldError]:
    """Across fields: on the plain tree, so that they are found beside errors in other fields."""
    for conflict in conflicts_of(plain):
        yield FieldError(code=conflict.code, field=field_path(conflict.field), message=conflict.message)


def _order_id(order: Order | None, plain: dict[str, Any], errors: Sequence[FieldError]) -> str | None:
    """The order's own id where it is a valid one, so that the reply can name it."""
    if order is not None:
        return order.order_id
    wrong = any(error.field == "order_id" for error in errors)
    found = plain.get("order_id")
    return found if isinstance(found, str) and not wrong else None

"""Pydantic's errors in our words: a code, and a message with reason and remedy."""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic_core import ErrorDetails

from order_intake.errors import field_path
from order_intake.shape import NOTHING, Shape
from stagewright.contracts.orders import FieldError

_COMPARABLE = 40
"""Longer names are not compared with the known ones: that takes time, and nobody mistypes so much."""

_KINDS = {
    "missing": ("field.missing", "is missing. Add it."),
    "string_type": ("field.type", "is not text. Write one value, in quotes."),
    "string_unicode": ("order.encoding", "holds what is no character of UTF-8. Remove it."),
    "bool_type": ("field.type", "is not a boolean. Write true or false, without quotes."),
    "int_type": ("field.type", "is not a whole number. Write one in plain digits, without quotes."),
    "float_type": ("field.type", "is not a number. Write one like 600 or 1.5, without quotes."),
    "tuple_type": ("field.type", "is not a list. Write a list, or leave the field out where it is optional."),
    "dict_type": ("field.type", "is not a mapping. Write its fields below it, indented."),
    "model_type": ("field.type", "is not a mapping. Write its fields below it, indented."),
    "model_attributes_type": ("field.type", "is not a mapping. Write its fields below it, indented."),
    "too_short": ("field.empty", "is empty. Write at least one."),
    "string_too_short": ("field.empty", "is empty. Write at least one character."),
}


def explained(detail: ErrorDetails, shape: Shape = NOTHING, name: str = "") -> FieldError:
    """What is wrong in one place of an order of this shape, or of what is called `name`."""
    path = [part for part in detail["loc"] if part != "[key]"]
    code, message = _said(detail, path, shape)
    return FieldError(code=code, field=name or field_path(path), message=message)


def _said(detail: ErrorDetails, path: Sequence[str | int], shape: Shape) -> tuple[str, str]:
    kind, limits = detail["type"], detail.get("ctx", {})
    if "explanation" in limits:
        return kind, detail["msg"]
    if kind == "extra_forbidden":
        return _unknown(path, shape)
    if kind == "literal_error":
        return "field.choice", _none_of(detail["input"], limits["expected"])
    if kind in {"too_long", "string_too_long"}:
        return "field.too_long", f"is longer than {limits['max_length']}. Shorten it."
    if kind in {"greater_than", "greater_than_equal", "less_than_equal"}:
        return "field.range", f"is not {_bound(limits)}. Write another number."
    return _KINDS.get(kind, ("field.invalid", "has an invalid value. Correct it."))


def _none_of(value: Any, expected: str) -> str:
    near = _near(value, re.findall(r"'([^']*)'", expected)) if isinstance(value, str) else ""
    return f"is none of the possible values. {near}Write {expected}."


def _bound(limits: dict[str, Any]) -> str:
    words = {"gt": "more than", "ge": "at least", "le": "at most"}
    return next(f"{word} {limits[name]:g}" for name, word in words.items() if name in limits)


def _unknown(path: Sequence[str | int], shape: Shape) -> tuple[str, str]:
    name = str(path[-1])
    for part in path[:-1]:
        shape = shape.at(part)
    known = shape.names
    if name in known:
        return "field.twice", f"is another name of {known[name]}, which stands there too. Keep one of them."
    remedy = _near(name, known).rstrip() or f"Use {', '.join(known)}, or remove it."
    return "field.unknown", f"is not a field of an order here. {remedy}"


def _near(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, known, n=1) if len(name) <= _COMPARABLE else []
    return f"Did you mean {near[0]}? " if near else ""

"""The one error of reading an order, and how its field paths are written."""

import json
import re
from collections.abc import Sequence

from stagewright.contracts.orders import FieldError

MAX_ERRORS = 100
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}\Z")
_SHOWN = 40


class InvalidOrder(Exception):  # noqa: N818 - what it is about, not that it is an error
    """What was submitted is no valid order. `errors` is everything that is wrong with it, at least one.

    `order_id` is the order's own id, where it could be read.
    """

    def __init__(self, errors: Sequence[FieldError], order_id: str | None = None) -> None:
        self.errors = _capped(errors)
        self.order_id = order_id
        super().__init__(f"{len(self.errors)} errors, the first: {self.errors[0].code}")


def invalid(code: str, message: str, path: Sequence[str | int] = ()) -> InvalidOrder:
    """An `InvalidOrder` of one error."""
    return InvalidOrder([FieldError(code=code, field=field_path(path), message=message)])


def field_path(parts: Sequence[str | int]) -> str:
    """`api.services[0].path`. A key that is no plain name is shown quoted, escaped and cut."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.match(part):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part[:_SHOWN] + ('…' if len(part) > _SHOWN else ''))}]"
    return text


def _capped(errors: Sequence[FieldError]) -> tuple[FieldError, ...]:
    unique = tuple(dict.fromkeys(errors))
    if len(unique) <= MAX_ERRORS:
        return unique
    more = FieldError(
        code="order.too_many_errors",
        field="",
        message=f"holds more than {MAX_ERRORS} errors. Correct these first; the others follow.",
    )
    return (*unique[:MAX_ERRORS], more)

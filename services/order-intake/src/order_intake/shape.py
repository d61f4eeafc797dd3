"""What may stand where in an order, read from the contract's models: names, lists, and kinds of values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel

from stagewright.contracts.orders import Order


@dataclass(frozen=True, slots=True)
class Shape:
    """One place of an order.

    `kind` is the type of a single value, None for lists, mappings and what no model knows. `names` is every
    name that a mapping takes, with the field that it means; `below` is the shape under each of them, or under
    None for what all items of a list and all keys of a free mapping share.
    """

    kind: type[str | bool | int | float] | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    below: Mapping[str | None, "Shape"] = field(default_factory=dict)

    def at(self, part: str | int) -> "Shape":
        """The shape of an item, or of a field by any of its names."""
        return self.below.get(part) or self.below.get(None, NOTHING) if isinstance(part, str) else self.item

    @property
    def item(self) -> "Shape":
        """The shape of each item of a list."""
        return self.below.get(None, NOTHING)


NOTHING = Shape()
"""Where nothing of an order may stand."""


def _shape(annotation: Any) -> Shape:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _shape(arguments[0])
    if origin in {Union, UnionType}:
        return _shape(next(choice for choice in arguments if choice is not NoneType))
    if origin is Literal:
        return Shape(str)
    if origin in {tuple, dict}:
        return Shape(below={None: _shape(arguments[0 if origin is tuple else 1])})
    if issubclass(annotation, BaseModel):
        names = dict(_names(annotation))
        fields = annotation.model_fields
        return Shape(names=names, below={name: _shape(fields[of].annotation) for name, of in names.items()})
    return Shape(annotation)


def _names(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    for name, info in model.model_fields.items():
        alias = info.validation_alias
        for choice in alias.choices if isinstance(alias, AliasChoices) else [name]:
            yield str(choice), name


ORDER = _shape(Order)

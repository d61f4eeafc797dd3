"""What parsing makes: a tree of mappings, lists and text, built step by step within its limits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, Union

from order_intake.errors import MAX_ERRORS, InvalidOrder, field_path
from stagewright.contracts.orders import FieldError

MAX_DEPTH = 20
MAX_VALUES = 10_000
"""Keys and values of one order: hundreds of services have fewer. Bounds the time that reading takes."""


NUMBER, BOOLEAN = "a number", "a boolean"


class Unquoted(NamedTuple):
    """Text that YAML or JSON takes for something else: `1.10`, `22:22`, `yes`, `2026-11-23`."""

    text: str
    kind: str


Leaf: TypeAlias = str | Unquoted | None
Tree: TypeAlias = Union["dict[str, Tree]", "list[Tree]", Leaf]


@dataclass(frozen=True, slots=True)
class Document:
    """A tree, and what was wrong on the way but did not hide the rest (duplicate keys, tags, anchors)."""

    tree: Tree
    problems: tuple[FieldError, ...] = ()


class _Frame:
    """A mapping or list that is still open. In a mapping, `key` stays until its value is complete."""

    __slots__ = ("key", "mapping", "node", "repeated")

    def __init__(self, node: "dict[str, Tree] | list[Tree]") -> None:
        self.node: Any = node
        self.mapping = isinstance(node, dict)
        self.key: str | None = None
        self.repeated = False

    def put(self, value: Tree) -> None:
        """Add a value; of a repeated key the first value stays."""
        if not self.mapping:
            self.node.append(value)
        elif not self.repeated:
            self.node[self.key] = value


class Builder:
    """Builds a tree from openings, leaves and closings, in the order in which they stand in the text.

    Raises from every method:
        InvalidOrder: deeper than `MAX_DEPTH`, more than `MAX_VALUES`, a mapping or list as a key, or more
            problems than a reply shows.
    """

    def __init__(self) -> None:
        self._root: Tree = None
        self._open: list[_Frame] = []
        self._problems: list[FieldError] = []
        self._count = 0

    def open(self, node: "dict[str, Tree] | list[Tree]") -> None:
        """Begin a mapping or list."""
        self._counted()
        if len(self._open) >= MAX_DEPTH:
            raise self.failed("yaml.depth", f"is nested deeper than {MAX_DEPTH} levels. Write it flatter.")
        if self._open:
            frame = self._open[-1]
            if frame.mapping and frame.key is None:
                raise self.failed("yaml.key", "has a list or mapping as a key. Keys are plain names.")
            frame.put(node)
        else:
            self._root = node
        self._open.append(_Frame(node))

    def close(self) -> None:
        """End the innermost mapping or list."""
        self._open.pop()
        if self._open:
            self._open[-1].key = None

    def leaf(self, value: Leaf) -> None:
        """Add a leaf: the next key of a mapping, or a value."""
        self._counted()
        if not self._open:
            self._root = value
            return
        frame = self._open[-1]
        if frame.mapping and frame.key is None:
            self._begin(frame, value.text if isinstance(value, Unquoted) else value or "")
        else:
            frame.put(value)
            frame.key = None

    def note(self, code: str, message: str) -> None:
        """Remember a problem of the value that comes next, and go on."""
        self._problems.append(FieldError(code=code, field=field_path(self._path()), message=message))
        if len(self._problems) > MAX_ERRORS:
            raise InvalidOrder(self._problems)

    def failed(self, code: str, message: str) -> InvalidOrder:
        """A problem of the value that comes next which ends the reading."""
        self.note(code, message)
        return InvalidOrder(self._problems)

    def document(self) -> Document:
        """The finished tree."""
        return Document(self._root, tuple(self._problems))

    def _begin(self, frame: _Frame, key: str) -> None:
        frame.key, frame.repeated = key, key in frame.node
        if frame.repeated:
            self.note("yaml.duplicate_key", "stands here twice. Keep one of them.")

    def _counted(self) -> None:
        self._count += 1
        if self._count > MAX_VALUES:
            raise self.failed(
                "yaml.too_many_values", f"holds more than {MAX_VALUES} keys and values. Write less."
            )

    def _path(self) -> Sequence[str | int]:
        """Where the next value will stand."""
        last = len(self._open) - 1
        parts = (
            frame.key if frame.mapping else len(frame.node) - (level != last)
            for level, frame in enumerate(self._open)
        )
        return [part for part in parts if part is not None]

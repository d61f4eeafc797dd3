"""Bytes to a tree: YAML without its traps, or JSON.

YAML is read event by event with libyaml's parser, which keeps its own stack and so takes any nesting; the
tree is built here. Neither PyYAML's composer, which recurses (30,000 nested lists end the process), nor its
constructors run. Whatever YAML 1.1 would turn into a number, a boolean or a date stays text in `Unquoted`:
validation knows the fields that take one, and says "put it in quotes" of the others.
"""

import json
import re
from typing import Any

import yaml
from yaml import events
from yaml._yaml import CParser
from yaml.resolver import Resolver

from order_intake.errors import InvalidOrder, invalid
from order_intake.tree import BOOLEAN, NUMBER, Builder, Document, Leaf, Unquoted

MAX_BYTES = 64 * 1024
_BOM = "\ufeff"
_SURROGATE = re.compile("[\ud800-\udfff]")
_KINDS = {"int": NUMBER, "float": NUMBER, "bool": BOOLEAN, "timestamp": "a date"}


def parse(body: bytes) -> Document:
    """The tree of a YAML or JSON document of at most 64 KiB.

    Raises:
        InvalidOrder: anything that is wrong with it. Nothing else is raised, whatever the bytes.
    """
    text = _text(body)
    if text.startswith("{") and (document := _json(text)) is not None:
        return document
    return _yaml(text)


def _text(body: bytes) -> str:
    if len(body) > MAX_BYTES:
        raise invalid("order.too_large", f"is larger than {MAX_BYTES} bytes. Send a smaller order.")
    try:
        text = body.decode("utf-8").removeprefix(_BOM)
    except UnicodeDecodeError:
        raise invalid("order.encoding", "is not UTF-8. Save it as UTF-8 and send it again.") from None
    if not (text := text.strip(" \t\r\n")):
        raise invalid("order.empty", "is empty. Send an order in YAML or JSON.")
    return text


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with all its keys, the repeated ones too."""


def _number(text: str) -> Unquoted:
    return Unquoted(text, NUMBER)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Pairs, parse_int=_number, parse_float=_number, parse_constant=_number
)


def _json(text: str) -> Document | None:
    """The tree of a JSON object; None where it is no JSON, so that YAML can say what is wrong."""
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    builder = Builder()
    _build(builder, value)
    return builder.document()


def _build(builder: Builder, value: Any) -> None:
    """Recurses no deeper than the builder allows."""
    if isinstance(value, _Pairs):
        builder.open({})
        for key, item in value:
            builder.leaf(_json_leaf(builder, key))
            _build(builder, item)
        builder.close()
    elif isinstance(value, list):
        builder.open([])
        for item in value:
            _build(builder, item)
        builder.close()
    else:
        builder.leaf(_json_leaf(builder, value))


def _json_leaf(builder: Builder, value: Any) -> Leaf:
    if isinstance(value, bool):
        return Unquoted("true" if value else "false", BOOLEAN)
    if isinstance(value, str) and _SURROGATE.search(value):
        raise builder.failed("order.encoding", "holds half a character (a lone surrogate). Remove it.")
    leaf: Leaf = value
    return leaf


def _yaml(text: str) -> Document:
    builder = Builder()
    try:
        parser = CParser(text)
        _feed(builder, parser)
    except yaml.YAMLError as error:
        # Where the text breaks is in the message; the fields read so far would only mislead.
        broken = invalid("yaml.syntax", _explained(error))
        raise InvalidOrder((*builder.document().problems, *broken.errors)) from None
    return builder.document()


def _feed(builder: Builder, parser: CParser) -> None:
    documents = 0
    while not isinstance(event := parser.get_event(), events.StreamEndEvent):
        if isinstance(event, events.NodeEvent):
            _node(builder, event)
        elif isinstance(event, events.CollectionEndEvent):
            builder.close()
        elif isinstance(event, events.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise builder.failed(
                    "yaml.several_documents", "holds several documents. Send one order at a time."
                )


def _node(builder: Builder, event: Any) -> None:
    if isinstance(event, events.AliasEvent):
        raise builder.failed("yaml.alias", "is an alias (*name). Write the value itself.")
    if event.anchor is not None:
        builder.note("yaml.anchor", "has an anchor (&name). Remove it.")
    if event.tag is not None:
        builder.note("yaml.tag", "has a tag (!name). Remove it; put text in quotes.")
    if isinstance(event, events.ScalarEvent):
        builder.leaf(_scalar(event))
    else:
        builder.open({} if isinstance(event, events.MappingStartEvent) else [])


def _scalar(event: events.ScalarEvent) -> Leaf:
    """Text, unless it stands unquoted and YAML 1.1 reads it otherwise."""
    text: str = event.value
    if event.style in {"'", '"', "|", ">"}:
        return text
    for tag, pattern in Resolver.yaml_implicit_resolvers.get(text[:1], ()):
        if pattern.match(text):
            name = tag.rpartition(":")[2]
            return None if name == "null" else Unquoted(text, _KINDS.get(name, "something else"))
    return text


def _explained(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    return f"is not valid YAML or JSON{where}: {what}. Correct it there."


__all__ = ["MAX_BYTES", "InvalidOrder", "parse"]

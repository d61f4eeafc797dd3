"""The AsyncAPI document is current, and all of it hangs together."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stagewright.asyncapi import OUTCOMES, document, render
from stagewright.contracts.base import Stage
from stagewright.contracts.events import ALL_OUTCOMES, CommandFailed
from stagewright.messaging.topology import STREAMS

PATH = Path(__file__).parents[2] / "docs/reference/asyncapi.json"


def test_the_document_is_current() -> None:
    assert PATH.read_text() == render(), "run `make asyncapi`"


def test_it_is_the_same_each_time() -> None:
    assert render() == render()


def test_every_reference_leads_somewhere() -> None:
    root = document()
    references = list(_references(root))

    assert len(references) > 100
    for reference in references:
        found: Any = root
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        assert found


def test_every_stage_has_its_outcome() -> None:
    assert set(OUTCOMES) == set(Stage)
    assert {*OUTCOMES.values(), CommandFailed} == set(ALL_OUTCOMES)


def test_every_stream_but_the_internal_ones_is_described() -> None:
    described = {channel.get("description") for channel in document()["channels"].values()}

    streams = {f"stream {stream.name}" for stream in STREAMS if not (stream.name or "").startswith("KV_")}
    assert streams - described == {"stream DEAD"}


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)

"""The wire contract and the log: the JSON of every message and stored event is checked in.

It changes only when somebody says so.

To announce a change, renew the files with `RENEW_GOLDEN=1 pytest tests/contract/test_contracts_golden.py`,
read the difference, and commit it together with the change (`golden/README.md`).
"""

import json
import os
from pathlib import Path

import pytest
from pydantic import BaseModel

from orchestrator.domain.facts import ALL_FACTS
from orchestrator.store.codec import TYPES
from stagewright.asyncapi import channels
from stagewright.contracts.base import Message
from stagewright.contracts.commands import ALL_COMMANDS
from stagewright.contracts.events import ALL_OUTCOMES
from stagewright.contracts.order_events import ORDER_EVENTS
from stagewright.contracts.orders import OrderReceived
from tests.support.contract_facts import FACTS
from tests.support.contract_samples import GOLDEN, MESSAGES
from tests.support.contract_views import VIEWS

TRAVELLING = (*MESSAGES, *VIEWS)
SAMPLES = (*TRAVELLING, *FACTS)
RENEW = os.environ.get("RENEW_GOLDEN") == "1"
_by_name = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)


def _file(sample: BaseModel) -> Path:
    return (GOLDEN / "facts" if sample in FACTS else GOLDEN) / f"{type(sample).__name__}.json"


def _travelling() -> set[str]:
    found = {model for channel in channels() for model in (*channel.messages, *channel.replies)}
    return {model.__name__ for model in (*found, *ALL_COMMANDS, *ALL_OUTCOMES, *ORDER_EVENTS)}


def _subclasses(model: type[BaseModel]) -> set[type[BaseModel]]:
    return {model}.union(*(_subclasses(child) for child in model.__subclasses__()))


@_by_name
def test_a_message_is_what_its_golden_file_says(sample: BaseModel) -> None:
    path = _file(sample)
    if RENEW:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(json.loads(sample.model_dump_json()), indent=2) + "\n")

    assert json.loads(sample.model_dump_json()) == json.loads(path.read_text())


@_by_name
def test_a_message_that_waits_in_a_stream_or_log_can_be_read(sample: BaseModel) -> None:
    text = _file(sample).read_text()

    assert type(sample).model_validate_json(text) == sample


@_by_name
def test_a_sample_leaves_nothing_out(sample: BaseModel) -> None:
    """A field that a sample leaves at its default hides changes of what it holds."""
    left = {name for name in type(sample).model_fields if name not in sample.model_fields_set}

    assert left == set()


def test_every_message_has_a_golden_file_and_no_file_is_left_over() -> None:
    sampled = {type(sample).__name__ for sample in TRAVELLING}

    assert sampled == _travelling()
    assert {path.stem for path in GOLDEN.glob("*.json")} == sampled


def test_every_fact_has_a_golden_file_and_no_file_is_left_over() -> None:
    sampled = {type(sample).__name__ for sample in FACTS}

    assert sampled == {fact.__name__ for fact in ALL_FACTS} - _travelling()
    assert {path.stem for path in (GOLDEN / "facts").glob("*.json")} == sampled


def test_whatever_is_stored_has_a_golden_file() -> None:
    assert set(TYPES.values()) <= {type(sample) for sample in SAMPLES}


def test_every_message_class_travels_somewhere() -> None:
    """A message that the topology's channels do not mention is a contract that nobody documents."""
    messages = {model for model in _subclasses(Message) if "ce_type" in model.__dict__}
    ours = {model.__name__ for model in messages if model.__module__.startswith("stagewright.contracts")}

    assert ours <= _travelling()
    assert len({model.ce_type for model in messages if issubclass(model, Message)}) == len(messages)


def test_an_order_from_before_there_were_other_actions_is_read_as_it_was_meant() -> None:
    """Such messages are in logs and streams: with none of the fields that came since."""
    body = json.loads((GOLDEN / "OrderReceived.json").read_text())
    del body["submitted_by"], body["purpose"]
    for name in set(body["order"]) - {"action", "environment_id", "order_id", "description", "api", "front"}:
        del body["order"][name]

    found = OrderReceived.model_validate_json(json.dumps(body))

    assert (found.submitted_by, found.purpose, found.order.on_failure) == ("anonymous", "apply", "keep")
    assert found.order.digest() == body["digest"]

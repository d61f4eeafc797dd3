"""Validation: a verified order, or everything that is wrong at once."""

import json
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from order_intake.errors import MAX_ERRORS, InvalidOrder
from order_intake.validation import read_order
from stagewright.contracts.base import Stage
from stagewright.contracts.order_conflicts import ACTION_FIELDS
from stagewright.contracts.orders import FieldError, Order
from tests.support.intake_bad_input import BAD_INPUTS, BadInput

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "examples/orders/environment-3.yml").read_text()

_BLOCKS = {name: yaml.safe_load(REFERENCE)[name] for name in ("api", "front")}
ORDERS: dict[str, dict[str, object]] = {
    "update": {"action": "update", "environment_id": "3", **_BLOCKS, "supersedes": True},
    "drop": {"action": "drop", "environment_id": "3", "dump": False},
    "redeploy": {"action": "redeploy", "environment_id": "3", "service_ids": ["6", "7"]},
    "maintenance": {"action": "maintenance", "environment_id": "3", "maintenance": False},
    "rollback": {
        "action": "rollback",
        "environment_id": "3",
        **_BLOCKS,
        "to": "order-1",
        "pins": [{"service": "6", "secrets": [{"name": "DB_PASSWORD", "version": 2}]}],
        "on_failure": "revert",
    },
}
ORDERS["drop"] |= {"require_approval": True, "timeouts": {"remove_services": 12.5}, "plan_id": "plan-1"}
ORDERS["redeploy"] |= {"timeouts": {"inspect": 0.00001, "deploy_services": 0.1 + 0.2}}


def _errors(body: str) -> list[FieldError]:
    with pytest.raises(InvalidOrder) as caught:
        read_order(body.encode())
    return list(caught.value.errors)


def _codes(body: str) -> list[tuple[str, str]]:
    return [(error.code, error.field) for error in _errors(body)]


@pytest.mark.parametrize("case", BAD_INPUTS, ids=lambda case: case.name)
def test_bad_input_is_refused_with_code_field_and_remedy(case: BadInput) -> None:
    with pytest.raises(InvalidOrder) as caught:
        read_order(case.body)

    found = [error for error in caught.value.errors if (error.code, error.field) == (case.code, case.field)]
    assert len(found) == 1, caught.value.errors
    assert ". " in found[0].message, "reason and remedy"
    assert found[0].message.rstrip()[-1] in ".?"


def test_one_mistake_is_one_error() -> None:
    """Except where a mistake has two sides: a renamed field, say, is unknown here and missing there."""
    several = {case.name for case in BAD_INPUTS if len(_all(case)) > 1}

    assert several == {
        "alias bomb",
        "duplicate JSON key",
        "python object",
        "unknown field",
        "version 22:22",
        "unquoted yes",
        "on_failure: off",
        "front:",
        "drop, api: {domains: [a.example.com], services: []}",
        "rollback, api: {}, front: {}",
        "rollback, to: order-1",
        "pins [{service: '6', secrets: [{nam: A, version: 1}]}]",
    }


def _all(case: BadInput) -> tuple[FieldError, ...]:
    with pytest.raises(InvalidOrder) as caught:
        read_order(case.body)
    return caught.value.errors


def test_the_reference_s_order_is_read_to_the_letter() -> None:
    order = read_order(REFERENCE.encode())

    assert order.environment == "3"
    assert order.domains == ("manager-api.lab.makeitsaas.com", "manager-angular.lab.makeitsaas.com")
    assert [(block, spec.id, spec.path, spec.type) for block, spec in order.services] == [
        ("api", "6", "/core", "node"),
        ("api", "7", "/", "node"),
        ("front", "8", "/", "angular"),
    ]
    assert order.services[0].spec.roles == ("auth", "discovery", "upload")


def test_json_is_the_same_order() -> None:
    body = json.dumps(yaml.safe_load(REFERENCE))

    assert read_order(body.encode()) == read_order(REFERENCE.encode())


def test_uuid_and_tags_are_other_names() -> None:
    other = REFERENCE.replace('id: "6"', 'uuid: "6"').replace("roles:", "tags:")

    assert read_order(other.encode()) == read_order(REFERENCE.encode())


def test_every_error_is_given_at_once() -> None:
    body = (
        REFERENCE.replace('environment_id: "3"', "environment_id: 3\nextra: yes\nextra: no")
        .replace("path: /core", "path: core")
        .replace('id: "7"', 'id: "6"')
        .replace("path: /\n        repository", "path: /\n        repositry", 1)
        .replace("manager-angular", "manager-api")
    )

    assert _codes(body) == [
        ("yaml.duplicate_key", "extra"),
        ("field.unquoted", "environment_id"),
        ("path.relative", "api.services[0].path"),
        ("field.missing", "api.services[1].repository"),
        ("field.unknown", "api.services[1].repositry"),
        ("field.unknown", "extra"),
        ("domain.duplicate", "front.domains[0]"),
        ("service.duplicate_id", "api.services[1].id"),
    ]


def test_an_unknown_field_is_answered_with_the_near_match() -> None:
    errors = _errors(REFERENCE.replace("variables:", "variable:"))

    assert [error.message for error in errors] == ["is not a field of an order here. Did you mean variables?"]


@pytest.mark.parametrize(
    ("body", "suggested"),
    [
        ("action: redploy", "Did you mean redeploy? Write 'update', "),
        ("action: Rollback", "Did you mean rollback? "),
        ("on_failure: revrt", "Did you mean revert? "),
        ("require_aproval: true", "Did you mean require_approval?"),
        ("time_outs: {}", "Did you mean timeouts?"),
        ("services_ids: []", "Did you mean service_ids?"),
        ("pins: [{service: '6', secret: []}]", "Did you mean secrets?"),
        ("api: {services: [{repository: {uri: a}}]}", "Did you mean url?"),
        ("timeouts: {deploy: 1}", "Write one of inspect, configure_environment, allocate_resources, "),
    ],
)
def test_what_is_mistyped_is_answered_with_what_is_possible(body: str, suggested: str) -> None:
    assert [error for error in _errors(body) if suggested in error.message]


def test_a_mistyped_field_is_no_unquoted_one_too() -> None:
    assert _codes(f"require_aproval: true\n{REFERENCE}") == [("field.unknown", "require_aproval")]


@pytest.mark.parametrize(
    ("written", "read"),
    [("true", True), ("yes", True), ("On", True), ("false", False), ("no", False), ("OFF", False)],
)
def test_booleans_stand_unquoted_as_yaml_writes_them(written: str, read: bool) -> None:
    order = read_order(f"action: maintenance\nenvironment_id: '3'\nmaintenance: {written}".encode())

    assert order.maintenance is read


def test_numbers_stand_unquoted_where_the_field_is_one() -> None:
    stages = "{deploy_services: 600, update_routes: 2.5}"
    order = read_order(f"action: drop\nenvironment_id: '3'\ntimeouts: {stages}".encode())

    assert order.timeouts == {Stage.DEPLOY_SERVICES: 600, Stage.UPDATE_ROUTES: 2.5}


@pytest.mark.parametrize("sample", [*ORDERS.values()], ids=ORDERS)
def test_an_order_s_own_json_is_the_same_order(sample: dict[str, object]) -> None:
    """What the orchestrator compiles and the console sends on holds every field, also the unused ones."""
    order = Order.model_validate(sample)

    assert read_order(order.model_dump_json().encode()) == order
    assert read_order(order.model_dump_json(exclude_defaults=True).encode()) == order
    assert read_order(yaml.safe_dump(order.model_dump(mode="json")).encode()).digest() == order.digest()


@pytest.mark.parametrize("action", ORDERS)
def test_model_and_tree_refuse_the_same_fields(action: str) -> None:
    """What one says of every field that another action has, the other says too."""
    extras = {name: value for order in ORDERS.values() for name, value in order.items()}
    of_actions = {name for fields in ACTION_FIELDS.values() for name in fields.needed | fields.taken}
    taken = ACTION_FIELDS[action].needed | ACTION_FIELDS[action].taken
    found = {}
    for name in of_actions - taken:
        body = {**ORDERS[action], name: extras[name]}
        with pytest.raises(ValidationError) as caught:
            Order.model_validate(body)
        found[name] = [error["type"] for error in caught.value.errors()]
        assert _codes(json.dumps(body)) == [(found[name][0], name)]

    assert found
    assert {code for codes in found.values() for code in codes} == {"field.not_for_action"}


def test_paths_are_compared_as_they_will_be_served() -> None:
    assert ("service.path_taken", "api.services[1].path") in _codes(
        REFERENCE.replace("path: /\n", "path: /core/\n", 1)
    )


def test_errors_are_capped_and_say_so() -> None:
    errors = _errors(REFERENCE + "".join(f"field{number}: x\n" for number in range(99)))
    assert errors[-1].code == "field.unknown"

    errors = _errors("api: {services: [" + "{}," * 90 + "]}")
    assert len(errors) == MAX_ERRORS + 1
    assert errors[-1].code == "order.too_many_errors"


@pytest.mark.parametrize("key", ["x" * 500, "\\u001b[31m", "{{ a }}", "a b"])
def test_strange_names_are_cut_and_escaped_in_the_answer(key: str) -> None:
    (error,) = _errors(f'"{key}": x\n{REFERENCE}')

    assert error.code == "field.unknown"
    assert len(error.field) < 100
    assert error.field.isprintable()


def test_values_are_never_repeated() -> None:
    secret = "https://user:hunter2@github.com/a/b"
    body = REFERENCE.replace("https://github.com/makeitsaas/makeitsaas-auth-instance", secret)

    assert "hunter2" not in repr(_errors(body))


def test_the_order_s_own_id_is_in_the_refusal_where_it_is_valid() -> None:
    with pytest.raises(InvalidOrder) as caught:
        read_order(b"order_id: mine\naction: update")
    assert caught.value.order_id == "mine"

    with pytest.raises(InvalidOrder) as caught:
        read_order(b"order_id: 'not mine'\naction: update")
    assert caught.value.order_id is None


def test_the_digest_is_of_the_content_alone() -> None:
    order = read_order(REFERENCE.encode())

    assert order.digest() == "67e43244e1bf7a2a35db4d891fb09c245a192732ab4e78440a686555a476db04"
    assert read_order(f"order_id: a\n{REFERENCE}".encode()).digest() == order.digest()
    assert read_order(REFERENCE.replace("/core", "/kernel").encode()).digest() != order.digest()
    assert Order.model_validate_json(order.model_dump_json()).digest() == order.digest()
    assert order.digest("plan") != order.digest(), "the receipt of a plan is none of an order"


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"order_id": "b", "plan_id": "plan-1", "description": "other words"}, True),
        ({"on_failure": "revert"}, False),
        ({"timeouts": {"inspect": 5}}, False),
    ],
)
def test_orders_want_the_same_whatever_their_ids_and_words(change: dict[str, object], same: bool) -> None:
    order = {"order_id": "a", **ORDERS["update"]}

    one, other = Order.model_validate(order), Order.model_validate({**order, **change})

    assert one.services
    assert one.same_wish(other) is same
    assert other.same_wish(one) is same

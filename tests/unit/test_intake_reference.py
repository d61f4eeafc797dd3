"""The reference of orders is true: its example is the one that is read here, and it names every code."""

import re
from pathlib import Path

from order_intake.deciding import Request, read
from order_intake.validation import read_order
from stagewright.contracts import order_conflicts, order_rules
from stagewright.contracts.base import STAGES
from stagewright.contracts.orders import Order
from tests.support.intake_bad_input import BAD_INPUTS

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs/reference/orders.md").read_text()
_RULES = [Path(order_rules.__file__), Path(order_conflicts.__file__)]
_SOURCES = [*(ROOT / "services/order-intake/src").rglob("*.py"), *_RULES]
_CODE = re.compile(r'"((?:order|yaml|field|path|domain|repository|role|variable|service|intake)\.[a-z_]+)"')


def test_its_example_is_the_example_and_valid() -> None:
    (example,) = re.findall(r"<!-- examples/orders/environment-3.yml -->\n```yaml\n(.*?)```", REFERENCE, re.S)

    assert example.rstrip() == (ROOT / "examples/orders/environment-3.yml").read_text().rstrip()
    assert read_order(example.encode()).environment == "3"


def test_every_action_has_an_example_that_is_valid() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", REFERENCE, re.S)

    orders = [read_order(example.encode()) for example in examples]

    assert {order.action for order in orders} == set(order_conflicts.ACTION_FIELDS)
    assert len(orders) == 5


def test_it_names_every_field_with_the_actions_that_take_it_and_every_stage() -> None:
    table = REFERENCE.partition("## Fields")[2].partition("A service:")[0]
    rows = {}
    for line in table.splitlines():
        if line.startswith("| `"):
            names, actions, _ = line.strip("| ").split(" | ", 2)
            rows |= {name: set(re.findall(r"`(\w+)`", actions)) for name in re.findall(r"`(\w+)`", names)}

    assert set(rows) == set(Order.model_fields)
    for action, fields in order_conflicts.ACTION_FIELDS.items():
        documented = {name for name, actions in rows.items() if action in actions}
        assert documented == fields.needed | fields.taken, action
    assert all(f"`{stage}`" in table for stage in STAGES)


def test_it_names_every_code_and_no_other() -> None:
    documented = set(re.findall(r"`([a-z]+\.[a-z_]+)`", REFERENCE.partition("## Error codes")[2]))
    used = {code for source in _SOURCES for code in _CODE.findall(source.read_text())}
    actions = {code for code in used if code.startswith("intake.")} - {"intake.unavailable"}

    assert used - actions - {"order_intake.main"} == documented


def test_every_code_of_bad_input_is_documented() -> None:
    for case in BAD_INPUTS:
        assert f"`{case.code}`" in REFERENCE


def test_spelling_makes_no_difference_to_the_digest() -> None:
    body = (ROOT / "examples/orders/environment-3.yml").read_text()
    spelled = body.replace('id: "6"', "uuid: '6'").replace("path: /core", "path: /core/")
    spelled = spelled.replace("manager-api.lab.", "Manager-API.lab.")

    one, other = (read(Request(text.encode(), "a"), "fresh") for text in (body, spelled))

    assert one == other

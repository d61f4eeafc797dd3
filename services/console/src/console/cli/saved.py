"""A plan in a file: what `plan --save` writes and `submit --plan` binds to."""

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from console.cli.common import Exit, stop
from stagewright.contracts.orders import Order
from stagewright.contracts.queries import PlanView


class SavedPlan(BaseModel):
    """The file's content; `order` carries the plan's id."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    plan_id: str
    order: dict[str, object]
    plan: PlanView


def bound(body: bytes, plan_id: str) -> dict[str, object]:
    """The order of an accepted body, so that it fails where another plan would be made by now."""
    order = Order.model_validate(yaml.safe_load(body)).model_copy(update={"plan_id": plan_id})
    return order.model_dump(mode="json", exclude_defaults=True)


def save(path: Path, body: bytes, plan: PlanView) -> None:
    """Write the plan, or exit 2."""
    assert plan.plan_id is not None  # noqa: S101 - a plan that was made of facts has one
    saved = SavedPlan(plan_id=plan.plan_id, order=bound(body, plan.plan_id), plan=plan)
    try:
        path.write_text(saved.model_dump_json(indent=2) + "\n")
    except OSError as error:
        stop(Exit.INVALID, f"--save {path}: cannot be written: {error.strerror or error}.")


def load(path: Path) -> SavedPlan:
    """Read a saved plan, or exit 2."""
    try:
        return SavedPlan.model_validate_json(path.read_bytes())
    except OSError as error:
        return stop(Exit.INVALID, f"--plan {path}: cannot be read: {error.strerror or error}.")
    except ValidationError:
        return stop(
            Exit.INVALID,
            f"--plan {path}: is no saved plan. Write one with `stagewright plan FILE --save {path}`.",
        )

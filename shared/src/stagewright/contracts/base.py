"""What all contract models have in common."""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Contract(BaseModel):
    """A frozen value that travels. Unknown fields are refused; inputs are hidden in validation errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        populate_by_name=True,
        serialize_by_alias=False,
    )


class Message(Contract):
    """A contract that travels alone, under its own CloudEvents type."""

    ce_type: ClassVar[str]

    def to_json(self) -> bytes:
        """The message's body on the wire."""
        return self.__pydantic_serializer__.to_json(self)


class Stage(StrEnum):
    """The stages of an order, in the order in which they run."""

    INSPECT = "inspect"
    CONFIGURE_ENVIRONMENT = "configure_environment"
    ALLOCATE_RESOURCES = "allocate_resources"
    CREATE_VARIABLES = "create_variables"
    DEPLOY_SERVICES = "deploy_services"
    UPDATE_ROUTES = "update_routes"


STAGES: tuple[Stage, ...] = tuple(Stage)

MessageTypes = Mapping[str, type[Message]]

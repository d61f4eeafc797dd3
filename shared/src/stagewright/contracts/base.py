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
    REMOVE_SERVICES = "remove_services"
    RELEASE_RESOURCES = "release_resources"
    DELETE_VARIABLES = "delete_variables"
    DECONFIGURE_ENVIRONMENT = "deconfigure_environment"
    PROBE_SERVICES = "probe_services"


STAGES: tuple[Stage, ...] = tuple(stage for stage in Stage if stage is not Stage.PROBE_SERVICES)
"""What an order runs through, at most, in this order. `probe_services` comes after an order's end."""

CLEANING: frozenset[Stage] = frozenset(
    {
        Stage.REMOVE_SERVICES,
        Stage.RELEASE_RESOURCES,
        Stage.DELETE_VARIABLES,
        Stage.DECONFIGURE_ENVIRONMENT,
    }
)
"""Stages that take away what the environment no longer wants; only orders that drop something have them."""

MessageTypes = Mapping[str, type[Message]]

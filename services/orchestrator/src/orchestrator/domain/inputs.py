"""What the saga decides on: messages, moments, and what people ask for."""

from dataclasses import dataclass
from uuid import UUID

from stagewright.contracts.base import Stage
from stagewright.contracts.control import ControlRequest, Verb
from stagewright.contracts.events import Outcome
from stagewright.contracts.orders import OrderReceived


@dataclass(frozen=True, slots=True)
class RetryDue:
    """A retry's moment has come."""

    order_id: str
    stage: Stage
    service: str | None


@dataclass(frozen=True, slots=True)
class AnswerDue:
    """A command should have been answered by now."""

    order_id: str
    command_id: UUID


@dataclass(frozen=True, slots=True)
class ApprovalDue:
    """An approval should have been given by now."""

    order_id: str


@dataclass(frozen=True, slots=True)
class ProbeDue:
    """Incomplete services are to be asked again."""

    order_id: str


@dataclass(frozen=True, slots=True)
class Control:
    """Somebody asks for something about an order."""

    verb: Verb
    request: ControlRequest


Moment = RetryDue | AnswerDue | ApprovalDue | ProbeDue
Input = OrderReceived | Outcome | Moment | Control

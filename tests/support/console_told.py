"""Messages about an order of two services, as tests of progress and narration tell them."""

from uuid import UUID

from console.progress import Progress
from stagewright.contracts.base import Message, Stage
from stagewright.contracts.events import (
    CommandFailed,
    EnvironmentInspected,
    InspectedService,
    ServiceDeployed,
)
from stagewright.contracts.logs import TaskLog
from stagewright.contracts.order_events import (
    Decision,
    EnvironmentDecision,
    OrderEnded,
    OrderPlanned,
    ReversalBegun,
)
from stagewright.errors import ErrorInfo

COMMIT = "b" * 40
BROKEN = ErrorInfo(kind="terminal", code="a.b", resource="services[7]", reason="it broke.", remedy="Mend it.")


def at(second: int) -> str:
    return f"2026-11-23T10:00:{second:02}.000000Z"


def outcome(stage: Stage, begin: int, end: int, attempt: int = 1) -> dict[str, object]:
    return {
        "command_id": UUID(int=1),
        "order_id": "o",
        "environment": "3",
        "stage": stage,
        "attempt": attempt,
        "started_at": at(begin),
        "finished_at": at(end),
    }


def inspected() -> EnvironmentInspected:
    found = (InspectedService(service="6", commit=COMMIT), InspectedService(service="7", commit=COMMIT))
    return EnvironmentInspected(**outcome(Stage.INSPECT, 0, 1), services=found)


def planned(*decisions: str) -> OrderPlanned:
    lines = tuple(
        Decision(
            service=service,
            decision=decision,
            reasons=("why",),
            commit=None if decision == "drop" else COMMIT,
        )
        for service, decision in zip("67", decisions, strict=True)
    )
    whole = EnvironmentDecision(decision="update", reasons=("domains changes",))
    return OrderPlanned(
        order_id="o", environment="3", decisions=lines, environment_decision=whole, revision=1
    )


def deployed(service: str, end: int) -> ServiceDeployed:
    fields = outcome(Stage.DEPLOY_SERVICES, 2, end)
    return ServiceDeployed(**fields, service=service, commit=COMMIT, health="ready")


def failure(
    kind: str, attempt: int = 1, service: str | None = None, code: str = "a.b", run: str | None = None
) -> CommandFailed:
    error = ErrorInfo(kind=kind, code=code, resource="services[7]", reason="it broke.", remedy="Mend it.")
    fields = outcome(Stage.DEPLOY_SERVICES, 2, 3, attempt)
    return CommandFailed(**fields, service=service, error=error, run=run)


def ended(status: str, *, reverted: bool = False) -> OrderEnded:
    return OrderEnded(order_id="o", environment="3", status=status, reverted=reverted, finished_at=at(20))


ABOUT = {"order_id": "o", "environment": "3"}
BEGUN = ReversalBegun(**ABOUT, error=BROKEN)


def task(name: str, service: str = "6", attempt: int = 1) -> TaskLog:
    return TaskLog(
        order_id="o",
        environment="3",
        stage=Stage.DEPLOY_SERVICES,
        service=service,
        attempt=attempt,
        task=name,
        status="started",
        at=at(3),
    )


def progress(*messages: Message, action: str = "update") -> Progress:
    result = Progress(action)
    for second, message in enumerate(messages, start=1):
        result.apply(message, at(second))
    return result

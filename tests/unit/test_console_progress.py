"""How far an order is, folded from messages."""

from uuid import UUID

from console.narration import describe
from console.progress import Progress
from stagewright.contracts.base import Message, Stage
from stagewright.contracts.events import (
    CommandFailed,
    Decision,
    EnvironmentConfigured,
    EnvironmentInspected,
    InspectedService,
    OrderEnded,
    OrderPlanned,
    RoutesUpdated,
    ServiceDeployed,
)
from stagewright.contracts.logs import TaskLog
from stagewright.errors import ErrorInfo

COMMIT = "b" * 40


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
        Decision(service=service, decision=decision, reasons=("why",), commit=COMMIT)
        for service, decision in zip("67", decisions, strict=True)
    )
    return OrderPlanned(order_id="o", environment="3", decisions=lines)


def deployed(service: str, end: int) -> ServiceDeployed:
    fields = outcome(Stage.DEPLOY_SERVICES, 2, end)
    return ServiceDeployed(**fields, service=service, commit=COMMIT, health="ready")


def failure(kind: str, attempt: int = 1, service: str | None = None) -> CommandFailed:
    error = ErrorInfo(kind=kind, code="a.b", resource="services[7]", reason="it broke.", remedy="Mend it.")
    fields = outcome(Stage.DEPLOY_SERVICES, 2, 3, attempt)
    return CommandFailed(**fields, service=service, error=error)


def ended(status: str) -> OrderEnded:
    return OrderEnded(order_id="o", environment="3", status=status, finished_at=at(20))


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


def progress(*messages: Message) -> Progress:
    result = Progress()
    for second, message in enumerate(messages, start=1):
        result.apply(message, at(second))
    return result


def test_the_stage_after_a_finished_one_is_running() -> None:
    stages = progress(inspected()).stages
    assert stages[Stage.INSPECT].status == "succeeded"
    assert stages[Stage.CONFIGURE_ENVIRONMENT].status == "running"
    assert stages[Stage.ALLOCATE_RESOURCES].status == "pending"


def test_a_task_shows_at_its_service_and_closes_the_stages_before() -> None:
    now = progress(inspected(), planned("create", "create"), task("npm ci"))
    assert now.services["6"].deployment.task == "npm ci"
    assert now.services["6"].decision == "create"
    assert now.services["7"].deployment.status == "pending"
    assert now.stages[Stage.CREATE_VARIABLES].status in {"skipped", "succeeded"}


def test_deployment_is_done_when_every_changing_service_is() -> None:
    one = progress(inspected(), planned("create", "create"), deployed("6", 5))
    assert one.stages[Stage.DEPLOY_SERVICES].status == "running"
    both = progress(inspected(), planned("create", "create"), deployed("6", 5), deployed("7", 9))
    assert both.stages[Stage.DEPLOY_SERVICES].status == "succeeded"
    assert both.stages[Stage.DEPLOY_SERVICES].finished_at == at(9)
    less = progress(inspected(), planned("create", "unchanged"), deployed("6", 5))
    assert less.stages[Stage.DEPLOY_SERVICES].status == "succeeded"


def test_a_retryable_failure_is_retried_and_a_terminal_one_is_not() -> None:
    retrying = progress(inspected(), failure("retryable", service="7"))
    assert retrying.services["7"].deployment.status == "retrying"
    again = progress(inspected(), failure("retryable", service="7"), task("npm ci", "7", attempt=2))
    assert again.services["7"].deployment.status == "running"
    assert again.services["7"].deployment.attempts == 2
    dead = progress(inspected(), failure("terminal", service="7"), ended("failed"))
    assert dead.stages[Stage.DEPLOY_SERVICES].status == "failed"
    assert dead.stages[Stage.UPDATE_ROUTES].status == "pending"


def test_a_stage_that_had_nothing_to_do_is_skipped_at_the_end() -> None:
    routes = RoutesUpdated(**outcome(Stage.UPDATE_ROUTES, 2, 3), routes=())
    configured = EnvironmentConfigured(**outcome(Stage.CONFIGURE_ENVIRONMENT, 1, 2), records=())
    done = progress(inspected(), planned("unchanged", "unchanged"), configured, routes, ended("succeeded"))
    assert done.stages[Stage.DEPLOY_SERVICES].status == "skipped"
    assert done.stages[Stage.UPDATE_ROUTES].status == "succeeded"
    assert done.ended is not None


def test_every_message_is_told_in_words() -> None:
    told = [list(describe(m)) for m in (inspected(), planned("create", "unchanged"), failure("terminal"))]
    assert told[0] == [("inspect", f"done in 1.00 s: 6 at {COMMIT[:10]}, 7 at {COMMIT[:10]}")]
    assert told[1][1] == ("plan", f"7 unchanged at {COMMIT[:10]}: why")
    assert "it broke. [a.b] Mend it." in told[2][0][1]
    assert list(describe(task("begins"))) == []

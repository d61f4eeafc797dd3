"""How far an order is, folded from messages."""

from console.narration import describe
from stagewright.contracts.base import Stage
from stagewright.contracts.events import EnvironmentConfigured, RoutesUpdated
from tests.support.console_told import (
    COMMIT,
    at,
    deployed,
    ended,
    failure,
    inspected,
    outcome,
    planned,
    progress,
    task,
)


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
    assert told[1][0] == ("plan", "environment update: domains changes")
    assert told[1][2] == ("plan", f"7 unchanged at {COMMIT[:10]}: why")
    assert "it broke. [a.b] Mend it." in told[2][0][1]
    assert list(describe(task("begins"))) == []

"""The life of an order as the console folds and tells it: approval, pause, retry, reversal, cleaning."""

from console.following import Entry, last_end
from console.narration import describe
from stagewright.contracts.base import CLEANING, STAGES, Stage
from stagewright.contracts.events import (
    CANCELLED,
    LEASE_LOST,
    EnvironmentDeconfigured,
    ResourcesReleased,
    RoutesUpdated,
    ServiceRemoved,
    ServicesProbed,
    VariablesDeleted,
)
from stagewright.contracts.order_events import (
    ApprovalRequested,
    HealthObserved,
    OrderApproved,
    OrderCancelled,
    OrderPaused,
    OrderResumed,
    OrderRetried,
)
from tests.support.console_told import (
    ABOUT,
    BEGUN,
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


def test_an_order_shows_the_stages_that_it_has() -> None:
    usual = {stage for stage in STAGES if stage not in CLEANING}
    assert set(progress(inspected()).stages) == usual
    assert set(progress(inspected(), action="redeploy").stages) == {Stage.INSPECT, Stage.DEPLOY_SERVICES}
    assert set(progress(inspected(), action="maintenance").stages) == {Stage.INSPECT, Stage.UPDATE_ROUTES}
    dropping = progress(inspected(), planned("drop", "drop"), action="drop").stages
    assert set(dropping) == {Stage.INSPECT, Stage.UPDATE_ROUTES} | CLEANING
    assert dropping[Stage.UPDATE_ROUTES].status == "running", "the stages between are none of its"


def test_a_cleaning_stage_shows_when_it_has_begun() -> None:
    removed = ServiceRemoved(**outcome(Stage.REMOVE_SERVICES, 5, 6), service="7")
    seen = progress(inspected(), planned("create", "drop"), removed, ended("succeeded"))
    assert seen.stages[Stage.REMOVE_SERVICES].status == "succeeded"
    assert Stage.RELEASE_RESOURCES not in seen.stages
    assert list(seen.stages)[-1] is Stage.REMOVE_SERVICES


def test_services_that_are_not_deployed_are_passed_over() -> None:
    seen = progress(inspected(), planned("unchanged", "drop"))
    assert [seen.services[name].deployment.status for name in "67"] == ["skipped", "skipped"]


def test_states_of_an_order_follow_what_people_say() -> None:
    told = (
        (ApprovalRequested(**ABOUT, due=at(9)), "awaiting_approval"),
        (OrderPaused(**ABOUT, by="eve"), "paused"),
        (OrderResumed(**ABOUT, by="eve"), "awaiting_approval"),
        (OrderApproved(**ABOUT, by="alice"), "running"),
        (OrderCancelled(**ABOUT, by="eve"), "cancelling"),
        (ended("cancelled"), "cancelled"),
    )
    seen = progress(inspected(), planned("create", "create"))
    for message, state in told:
        seen.apply(message, at(9))
        assert seen.state == state


def test_nothing_runs_while_an_order_waits_for_approval() -> None:
    waiting = progress(inspected(), planned("create", "create"), ApprovalRequested(**ABOUT, due=at(9)))
    assert "running" not in {stage.status for stage in waiting.stages.values()}
    approved = progress(
        inspected(),
        planned("create", "create"),
        ApprovalRequested(**ABOUT, due=at(9)),
        OrderApproved(**ABOUT, by="alice"),
    )
    assert approved.stages[Stage.CONFIGURE_ENVIRONMENT].status == "running"


def test_a_retry_goes_on_from_what_failed() -> None:
    failed = (
        inspected(),
        planned("create", "create"),
        deployed("6", 5),
        failure("terminal", service="7"),
        ended("failed"),
    )
    seen = progress(*failed, OrderRetried(**ABOUT, by="eve"))
    assert (seen.state, seen.ended) == ("running", None)
    assert seen.services["6"].deployment.status == "succeeded"
    assert seen.services["7"].deployment.status == "pending"
    assert seen.stages[Stage.DEPLOY_SERVICES].status == "running"
    assert seen.stages[Stage.DEPLOY_SERVICES].error is None


def test_what_is_reversed_has_lines_of_its_own() -> None:
    failed = (inspected(), planned("create", "create"), deployed("6", 5), failure("terminal", service="7"))
    back = RoutesUpdated(**outcome(Stage.UPDATE_ROUTES, 8, 9), routes=())
    gone = ServiceRemoved(**outcome(Stage.REMOVE_SERVICES, 9, 10), service="6")
    seen = progress(*failed, BEGUN, back, gone)
    assert seen.state == "reverting"
    assert list(seen.undone) == [Stage.UPDATE_ROUTES, Stage.REMOVE_SERVICES]
    assert {one.status for one in seen.undone.values()} == {"succeeded"}
    assert seen.stages[Stage.DEPLOY_SERVICES].status == "failed"
    assert seen.stages[Stage.UPDATE_ROUTES].status == "pending"
    seen.apply(ended("failed", reverted=True), at(11))
    seen.apply(OrderRetried(**ABOUT, by="eve"), at(12))
    assert seen.undone == {}
    assert seen.stages[Stage.UPDATE_ROUTES].status == "pending"


def test_a_command_that_was_stopped_is_no_failure_of_its_own() -> None:
    stopped = progress(
        inspected(), OrderCancelled(**ABOUT, by="eve"), failure("terminal", service="7", code=CANCELLED)
    )
    assert stopped.services["7"].deployment.status == "stopped"
    assert stopped.state == "cancelling"


def test_what_nobody_waits_for_changes_nothing() -> None:
    lost = progress(inspected(), task("npm ci", "7"), failure("terminal", service="7", code=LEASE_LOST))
    assert lost.services["7"].deployment.status == "running"
    late = progress(inspected(), task("npm ci", "7", attempt=2), failure("terminal", service="7"))
    assert late.services["7"].deployment.status == "running"
    probed = ServicesProbed(**outcome(Stage.PROBE_SERVICES, 8, 9), services=())
    assert Stage.PROBE_SERVICES not in progress(inspected(), ended("succeeded"), probed).stages


def test_health_is_seen_after_the_end_too() -> None:
    seen = progress(inspected(), ended("succeeded"), HealthObserved(**ABOUT, service="7", health="ready"))
    assert seen.services["7"].health == "ready"
    assert seen.state == "succeeded"


def test_the_last_end_counts_unless_a_retry_follows() -> None:
    told = [ended("failed"), OrderRetried(**ABOUT, by="eve")]
    entries = [Entry(at(number), "EVENTS", number, each) for number, each in enumerate(told)]
    assert last_end(entries[:1]) is entries[0]
    assert last_end(entries[:1], known_end=at(20)) is None
    assert last_end(entries) is None


def test_the_life_of_an_order_is_told_in_words() -> None:
    told = {
        "waits for approval": ApprovalRequested(**ABOUT, due=at(9)),
        "approved by alice": OrderApproved(**ABOUT, by="alice"),
        "cancelled by eve: wrong branch": OrderCancelled(**ABOUT, by="eve", why="wrong branch"),
        "paused by eve": OrderPaused(**ABOUT, by="eve"),
        "resumed by eve": OrderResumed(**ABOUT, by="eve"),
        "retried by eve: services 7": OrderRetried(**ABOUT, by="eve", services=("7",)),
        "being reversed": BEGUN,
        "ready now": HealthObserved(**ABOUT, service="7", health="ready"),
        "failed, and what was done is reversed": ended("failed", reverted=True),
        "dumped to s3://dumps/7": ServiceRemoved(
            **outcome(Stage.REMOVE_SERVICES, 1, 2), service="7", dump="s3://dumps/7", changed=("x",)
        ),
        "bucket:b": ResourcesReleased(**outcome(Stage.RELEASE_RESOURCES, 1, 2), changed=("bucket:b",)),
        "1 secrets deleted": VariablesDeleted(**outcome(Stage.DELETE_VARIABLES, 1, 2), changed=("a",)),
        "records removed: a.b": EnvironmentDeconfigured(
            **outcome(Stage.DECONFIGURE_ENVIRONMENT, 1, 2), changed=("a.b",)
        ),
        "7 drop: why": planned("create", "drop"),
        "again by hand, on the executor: play": failure("terminal", run="play"),
        "stopped (attempt 1)": failure("terminal", code=CANCELLED),
        "not counted (attempt 1)": failure("retryable", code=LEASE_LOST),
    }
    for words, message in told.items():
        assert words in "\n".join(f"{where} {what}" for where, what in describe(message))
    assert list(describe(ServicesProbed(**outcome(Stage.PROBE_SERVICES, 1, 2), services=()))) == []

"""The saga's decisions, given what happened before."""

from orchestrator.domain.environment import EnvironmentState
from orchestrator.domain.facts import (
    AllocationsRecorded,
    EnvironmentClaimed,
    EnvironmentReleased,
    OrderQueued,
    PieceGivenUp,
    PortLeased,
    PortOccupied,
    RetryScheduled,
    ServiceRecorded,
)
from orchestrator.domain.policies import Policy, Rule
from orchestrator.domain.server import ServerState
from orchestrator.domain.world import server_stream
from stagewright.contracts.base import STAGES
from stagewright.contracts.commands import (
    AllocateResources,
    Command,
    ConfigureEnvironment,
    CreateVariables,
    DeployService,
    InspectEnvironment,
    UpdateRoutes,
)
from stagewright.contracts.events import CommandFailed, EnvironmentInspected, ServiceDeployed
from stagewright.contracts.order_events import OrderEnded, OrderPlanned
from stagewright.contracts.orders import OrderReceived
from tests.support.saga import Saga, an_order, failure, outcome, received


def decisions(saga: Saga, order_id: str = "o1") -> dict[str, str]:
    return {line.service: line.decision for line in saga.order(order_id).decisions}


def test_a_received_order_claims_its_environment_and_is_inspected() -> None:
    Saga().when(received()).then(OrderReceived, EnvironmentClaimed, InspectEnvironment)


def test_the_same_order_again_changes_nothing() -> None:
    Saga().when(received()).when(received()).then_nothing()


def test_the_inspection_leads_to_the_plan_and_the_first_stage() -> None:
    saga = Saga().when(received()).answer()
    saga.then(EnvironmentInspected, OrderPlanned, ConfigureEnvironment)
    assert decisions(saga) == {"6": "create", "7": "create", "8": "create"}


def test_all_stages_run_in_their_order_and_each_service_has_its_command() -> None:
    saga = Saga().when(received()).finish()
    commands = [change.event for change in saga.log if isinstance(change.event, Command)]
    assert list(dict.fromkeys(command.stage for command in commands)) == list(STAGES[:6])
    assert [c.service.id for c in commands if isinstance(c, DeployService)] == ["6", "7", "8"]
    assert saga.order().status == "succeeded"


def test_the_end_releases_the_environment() -> None:
    saga = Saga().when(received())
    saga.until(UpdateRoutes)
    saga.answer()
    assert [type(event) for event in saga.last[-2:]] == [OrderEnded, EnvironmentReleased]
    assert saga.environment().owner is None


def test_the_environment_knows_what_was_deployed() -> None:
    saga = Saga().when(received()).finish()
    environment = saga.environment()
    assert isinstance(environment, EnvironmentState)
    assert {("3", name): entry.commit for name, entry in environment.services.items()} == {
        place: commit for place, (_, commit) in saga.reality.running.items()
    }
    assert environment.domains == ("api-3.example.com", "www-3.example.com")
    assert {(route.domain, route.path) for route in environment.routes} == {
        ("api-3.example.com", "/core"),
        ("api-3.example.com", "/"),
        ("www-3.example.com", "/"),
    }
    assert environment.secrets["6"][0].version == 1


def test_the_same_content_again_is_unchanged_and_deploys_nothing() -> None:
    saga = Saga().when(received()).finish()
    known = saga.environment()
    saga.when(received("o2")).finish("o2")
    assert set(decisions(saga, "o2").values()) == {"unchanged"}
    again = [change.event for change in saga.log if getattr(change.event, "order_id", None) == "o2"]
    assert not [
        event for event in again if isinstance(event, DeployService | ServiceRecorded | AllocationsRecorded)
    ]
    assert saga.environment().services == known.services
    assert saga.environment().allocations == known.allocations


def test_a_new_commit_updates_that_service_alone() -> None:
    saga = Saga().when(received()).finish()
    saga.reality.generation["7"] = 2
    saga.when(received("o2")).finish("o2")
    assert decisions(saga, "o2") == {"6": "unchanged", "7": "update", "8": "unchanged"}
    line = next(line for line in saga.order("o2").decisions if line.service == "7")
    assert line.before["commit"] != line.after["commit"] == saga.reality.commit("7")


def test_a_service_that_is_gone_is_deployed_again() -> None:
    saga = Saga().when(received()).finish()
    del saga.reality.running["3", "6"]
    saga.when(received("o2")).answer(order_id="o2")
    line = next(line for line in saga.order("o2").decisions if line.service == "6")
    assert line.decision == "update"
    assert "runs, not" in line.reasons[0]


def test_a_moved_path_is_an_update_with_before_and_after() -> None:
    saga = Saga().when(received()).finish()
    saga.when(received("o2", an_order(s6={"path": "/auth"}))).answer(order_id="o2")
    line = next(line for line in saga.order("o2").decisions if line.service == "6")
    assert (line.before, line.after) == ({"path": "/core"}, {"path": "/auth"})


def test_a_role_that_others_are_told_of_updates_them_too() -> None:
    saga = Saga().when(received()).finish()
    saga.when(received("o2", an_order(s6={"roles": ["auth", "upload"]}))).answer(order_id="o2")
    assert decisions(saga, "o2")["7"] == "update"


def test_a_busy_environment_queues_and_the_next_order_starts_at_the_end() -> None:
    saga = Saga().when(received("o1")).when(received("o2")).then(OrderReceived, OrderQueued)
    saga.when(received("o3")).then(OrderReceived, OrderQueued)
    saga.finish("o1")
    assert [type(event) for event in saga.last[-2:]] == [EnvironmentClaimed, InspectEnvironment]
    assert saga.environment().owner == "o2"
    assert saga.environment().queue == ("o3",)
    saga.finish("o2").finish("o3")
    assert saga.order("o3").status == "succeeded"


def test_other_environments_do_not_wait() -> None:
    saga = Saga().when(received("o1")).when(received("o2", an_order("4")))
    saga.then(OrderReceived, EnvironmentClaimed, InspectEnvironment)


def test_a_retryable_failure_is_tried_again_when_its_time_has_come() -> None:
    saga = Saga().when(received())
    first = saga.until(ConfigureEnvironment)
    saga.when(failure(first)).then(CommandFailed, RetryScheduled)
    saga.pass_time(0.1).then_nothing()
    saga.pass_time(60).then(ConfigureEnvironment)
    second = saga.outstanding()[0]
    assert (second.attempt, second.command_id != first.command_id) == (2, True)
    saga.finish()
    assert saga.order().status == "succeeded"


def test_retries_end() -> None:
    saga = Saga(Policy(rule=Rule(max_attempts=2))).when(received())
    saga.when(failure(saga.until(ConfigureEnvironment))).pass_time(60)
    saga.when(failure(saga.outstanding()[0])).then(
        CommandFailed, PieceGivenUp, OrderEnded, EnvironmentReleased
    )
    error = saga.order().error
    assert error is not None
    assert (error.kind, error.code) == ("terminal", "test.failed")
    assert "2 attempts" in error.reason


def test_a_terminal_failure_waits_for_the_services_that_still_run() -> None:
    saga = Saga().when(received())
    saga.until(DeployService)
    one, two, three = saga.outstanding()
    saga.when(failure(one, kind="terminal")).then(CommandFailed)
    saga.when(outcome(two, saga.reality)).then(ServiceDeployed, ServiceRecorded)
    saga.when(outcome(three, saga.reality)).then(
        ServiceDeployed, ServiceRecorded, OrderEnded, EnvironmentReleased
    )
    assert saga.order().status == "failed"
    assert set(saga.environment().services) == {"7", "8"}


def test_a_failing_order_tries_nothing_again() -> None:
    saga = Saga().when(received())
    saga.until(DeployService)
    one, two, three = saga.outstanding()
    saga.when(failure(one)).then(CommandFailed, RetryScheduled)
    saga.when(failure(two, kind="terminal")).then(CommandFailed)
    saga.when(outcome(three, saga.reality))
    assert saga.order().status == "failed"
    saga.pass_time(120).then_nothing()


def test_only_the_failed_service_is_tried_again() -> None:
    saga = Saga().when(received())
    saga.until(DeployService)
    one, two, three = saga.outstanding()
    saga.when(outcome(two, saga.reality)).when(outcome(three, saga.reality)).when(failure(one)).pass_time(60)
    saga.then(DeployService)
    assert [command.target for command in saga.outstanding()] == ["6"]


def test_answers_count_once_and_only_from_the_current_attempt() -> None:
    saga = Saga().when(received())
    first = saga.until(ConfigureEnvironment)
    saga.when(failure(first)).pass_time(60)
    saga.when(outcome(first, saga.reality)).then_nothing()
    second = saga.outstanding()[0]
    saga.when(outcome(second, saga.reality))
    saga.when(outcome(second, saga.reality)).then_nothing()


def test_ports_are_leased_with_the_command_and_never_twice() -> None:
    saga = Saga()
    for name in ("3", "4", "5"):
        saga.when(received(f"o{name}", an_order(name)))
        saga.until(AllocateResources, f"o{name}")
    ports = [change.event.port for change in saga.log if isinstance(change.event, PortLeased)]
    assert ports == [3000, 3001, 3002, 3003, 3004, 3005]


def test_an_allocation_that_is_tried_again_keeps_the_ports_that_it_leased() -> None:
    saga = Saga(Policy(servers={"one": "10.0.0.1", "two": "10.0.0.2"})).when(received())
    first = saga.until(AllocateResources)
    saga.when(failure(first)).pass_time(60)
    again = saga.until(AllocateResources)
    assert (again.attempt, again.allocations) == (2, first.allocations)
    assert len([change for change in saga.log if isinstance(change.event, PortLeased)]) == 2


def test_an_occupied_port_is_given_up_for_another() -> None:
    saga = Saga().when(received())
    command = saga.until(AllocateResources)
    saga.when(failure(command, code="port.occupied", resource="server-1:3000"))
    saga.then(CommandFailed, PortOccupied, RetryScheduled)
    saga.pass_time(60)
    again = saga.outstanding()[0]
    assert isinstance(again, AllocateResources)
    assert [entry.port for entry in again.allocations if entry.port] == [3002, 3001]
    server = saga.state(server_stream("server-1"))
    assert isinstance(server, ServerState)
    assert 3000 not in server.leases


def test_a_port_taken_during_deployment_goes_back_to_allocation_and_tells_the_peers() -> None:
    saga = Saga().when(received())
    saga.until(DeployService)
    one, two, three = saga.outstanding()
    saga.when(failure(one, code="port.occupied", resource="server-1:3000"))
    saga.then(CommandFailed, PortOccupied, RetryScheduled)
    saga.pass_time(60).then(RetryScheduled)  # the others still run
    saga.when(outcome(two, saga.reality)).when(outcome(three, saga.reality))
    saga.pass_time(60).then(PortLeased, AllocationsRecorded, AllocateResources)
    again = saga.until(DeployService)
    assert isinstance(again, DeployService)
    assert again.attempt == 2
    assert again.allocation.port == 3002
    assert {c.target for c in saga.outstanding()} == {"6", "7", "8"}
    assert all(
        "http://127.0.0.1:3002" in [place.url for place in c.discovery]
        for c in saga.outstanding()
        if isinstance(c, DeployService)
    )
    saga.finish()
    assert saga.order().status == "succeeded"


def test_leases_begin_where_the_server_says() -> None:
    saga = Saga(Policy(first_ports={"server-1": 9999})).when(received())
    command = saga.until(AllocateResources)
    assert isinstance(command, AllocateResources)
    assert [entry.port for entry in command.allocations if entry.port] == [9999, 3000]


def test_ports_that_inspection_saw_in_use_are_not_leased() -> None:
    saga = Saga().when(received())
    command = saga.outstanding()[0]
    seen = outcome(command, saga.reality).model_copy(update={"occupied_ports": (("server-1", 3000),)})
    saga.when(seen)
    allocate = saga.until(AllocateResources)
    assert isinstance(allocate, AllocateResources)
    assert [entry.port for entry in allocate.allocations if entry.port] == [3001, 3002]


def test_a_full_server_fails_the_order_with_a_remedy() -> None:
    saga = Saga(Policy(servers={}))
    saga.policy = Policy(servers={"tiny": "127.0.0.1"})
    saga.states[server_stream("tiny")] = ServerState(occupied=frozenset(range(3000, 10_000)))
    saga.when(received())
    saga.answer().answer()
    error = saga.order().error
    assert error is not None
    assert (error.code, error.resource) == ("port.exhausted", "tiny")
    assert saga.environment().owner is None


def test_names_of_databases_and_buckets_are_told_apart_by_more_than_their_spelling() -> None:
    saga = Saga()
    found = set()
    for number, name in enumerate(("a-b", "A-b", "a--b")):
        saga.when(received(f"o{number}", an_order(name)))
        command = saga.until(AllocateResources, f"o{number}")
        assert isinstance(command, AllocateResources)
        found |= {(entry.database, entry.bucket) for entry in command.allocations}
    assert len({database for database, _ in found if database}) == 6
    assert len({bucket for _, bucket in found if bucket}) == 3


def test_variables_and_deployments_get_references_only() -> None:
    saga = Saga().when(received())
    saga.until(CreateVariables)
    command = saga.until(DeployService)
    assert isinstance(command, DeployService)
    assert [ref.name for ref in command.secrets] == ["DB_DATABASE", "DB_USERNAME", "DB_PASSWORD"]
    assert {location.service for location in command.discovery} == {"6", "7"}

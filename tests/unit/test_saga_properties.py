"""What holds whatever the executors do, in whatever order their answers come."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.facts import PortLeased
from orchestrator.domain.plan import plan
from orchestrator.domain.world import evolve, initial
from stagewright.clock import rfc3339
from stagewright.contracts.commands import DeployService
from stagewright.contracts.events import EnvironmentInspected, Outcome
from tests.support.saga import Saga, an_order, failure, outcome, received


def chaos(saga: Saga, orders: list[str], rng: random.Random) -> None:
    """Answer outstanding commands in any order, sometimes twice, late, or with a failure."""
    sent: list[Outcome] = []
    for _ in range(2000):
        waiting = [command for order in orders for command in saga.outstanding(order)]
        if not waiting:
            saga.pass_time(120)
            if not any(saga.outstanding(order) for order in orders):
                return
            continue
        command = rng.choice(waiting)
        roll = rng.random()
        if roll < 0.1:
            reply = failure(command)
        elif roll < 0.12 and isinstance(command, DeployService) and command.allocation.port:
            place = f"{command.allocation.server}:{command.allocation.port}"
            reply = failure(command, code="port.occupied", resource=place)
        elif roll < 0.14:
            reply = failure(command, kind="terminal")
        else:
            reply = outcome(command, saga.reality)
        sent.append(reply)
        saga.when(reply)
        if rng.random() < 0.3:
            saga.when(rng.choice(sent))
        if rng.random() < 0.1:
            saga.when(received(rng.choice(orders), an_order(rng.choice(["3", "4"]))))
    raise AssertionError("the orders did not end")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_every_order_ends_and_folding_afresh_gives_the_same(seed: int) -> None:
    rng = random.Random(seed)
    saga = Saga()
    orders = [f"o{number}" for number in range(6)]
    for number, order in enumerate(orders):
        saga.when(received(order, an_order("3" if number % 2 else "4")))
    chaos(saga, orders, rng)
    assert all(saga.order(order).ended for order in orders)
    fresh = {}
    for change in saga.log:
        state = fresh.get(change.stream) or initial(change.stream)
        fresh[change.stream] = evolve(change.stream, state, change.event, rfc3339(saga.now))
    assert {stream: state for stream, state in fresh.items() if stream.startswith("environment")} == {
        stream: state for stream, state in saga.states.items() if stream.startswith("environment")
    }
    leases = [
        (change.event.server, change.event.port)
        for change in saga.log
        if isinstance(change.event, PortLeased)
    ]
    assert len(leases) == len(set(leases))
    issued = [change.event.command_id for change in saga.log if isinstance(change.event, DeployService)]
    assert len(issued) == len(set(issued))


@settings(max_examples=100, deadline=None)
@given(
    st.permutations(["6", "7"]),
    st.dictionaries(
        st.sampled_from(["s6", "s7", "s8"]), st.fixed_dictionaries({"path": st.sampled_from(["/a", "/b"])})
    ),
)
def test_planning_after_applying_gives_all_unchanged(
    sequence: list[str], changes: dict[str, dict[str, str]]
) -> None:
    if {"s6", "s7"} <= changes.keys():
        changes["s7"] = {"path": "/c"}
    saga = Saga().when(received("o1", an_order(**changes))).finish("o1")
    order = an_order(**changes)
    inspected = saga.order("o1").inspected
    assert isinstance(inspected, EnvironmentInspected)
    now = inspected.model_copy(
        update={
            "services": tuple(
                entry.model_copy(update={"running": saga.reality.running[entry.service]})
                for entry in inspected.services
            )
        }
    )
    services = sorted(order.api.services, key=lambda spec: sequence.index(spec.id))
    shuffled = order.model_copy(update={"api": order.api.model_copy(update={"services": tuple(services)})})
    for variant in (order, shuffled):
        lines = plan(variant, saga.environment(), now)
        assert {line.decision for line in lines} == {"unchanged"}

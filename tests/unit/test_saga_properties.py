"""What holds of plans, whatever was ordered before."""

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.plan import observed, plan
from stagewright.contracts.events import EnvironmentInspected
from stagewright.contracts.orders import Order
from tests.support.saga import Saga, a_drop, an_order, received


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
                entry.model_copy(update={"running": saga.reality.running["3", entry.service][1]})
                for entry in inspected.services
            )
        }
    )
    services = sorted(order.api.services, key=lambda spec: sequence.index(spec.id))
    shuffled = order.model_copy(update={"api": order.api.model_copy(update={"services": tuple(services)})})
    for variant in (order, shuffled):
        found = plan(variant, saga.environment(), observed(now), saga.policy.servers)
        assert not found.changes, found


orders = st.builds(
    an_order,
    without=st.sampled_from(["", "s6", "s7"]),
    s6=st.fixed_dictionaries(
        {"path": st.sampled_from(["/core", "/a"]), "type": st.sampled_from(["node", "python"])}
    ),
    s7=st.fixed_dictionaries({"path": st.sampled_from(["/", "/b"]), "roles": st.sampled_from([[], ["x"]])}),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(orders, min_size=1, max_size=4))
def test_the_plan_of_a_drop_leaves_nothing(sequence: list[Order]) -> None:
    saga = Saga()
    for number, order in enumerate(sequence):
        saga.when(received(f"o{number}", order)).finish(f"o{number}")
    there = set(saga.environment().services)
    saga.when(received("drop", a_drop())).finish("drop")
    assert {line.service for line in saga.order("drop").decisions} == there
    assert {line.decision for line in saga.order("drop").decisions} == {"drop"}
    assert saga.environment().empty
    assert saga.reality.left("3") == {}


@settings(max_examples=100, deadline=None)
@given(st.lists(orders, min_size=1, max_size=3), orders)
def test_the_sequence_of_services_does_not_matter(before: list[Order], order: Order) -> None:
    saga = Saga()
    for number, one in enumerate(before):
        saga.when(received(f"o{number}", one)).finish(f"o{number}")
    assert order.api is not None
    turned = order.api.model_copy(update={"services": order.api.services[::-1]})
    saga.when(received("p1", order, purpose="plan")).answer(order_id="p1")
    saga.when(received("p2", order.model_copy(update={"api": turned}), purpose="plan")).answer(order_id="p2")
    one, two = saga.order("p1"), saga.order("p2")
    assert {line.service: line for line in one.decisions} == {line.service: line for line in two.decisions}
    assert one.environment_decision == two.environment_decision

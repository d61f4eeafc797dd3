"""The saga under everything that can happen: 5,000 orders, each example a dozen of them over three places.

Answers come in any order, twice, too late, or not at all; executors fail; people cancel, pause, retry,
approve and reject; time passes. Whatever happens, every accepted order ends, each effect happens once, and
everything that people see is what a fresh reading of the log gives.
"""

import contextlib
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orchestrator.app.working_set import WorkingSet
from orchestrator.domain.facts import PortLeased, PortReleased
from orchestrator.domain.folding import evolve
from orchestrator.domain.order import OrderState, status_of
from orchestrator.domain.transitions import TRANSITIONS, Transition, cause_of
from orchestrator.domain.world import order_stream
from orchestrator.projections.index import Index
from orchestrator.projections.runner import Runner
from orchestrator.projections.views import environment_view, order_view
from orchestrator.store.event_store import Append, EventStore
from stagewright.clock import rfc3339
from stagewright.contracts.base import Stage
from stagewright.contracts.commands import Command, DeployService
from stagewright.contracts.control import VERBS, Verb
from stagewright.contracts.events import CANCELLED, LEASE_LOST, Outcome
from stagewright.contracts.order_events import OrderCancelled
from stagewright.contracts.orders import Order
from stagewright.errors import Terminal
from tests.support.saga import Reality, Saga, a_drop, an_order, failure, outcome, received

ORDERS = 12
EXAMPLES = 420
"""Together 5,040 orders."""
ENVIRONMENTS = ("3", "4", "5")
HOWS = ("well", "well", "well", "well", "retryable", "terminal", "port", "lease", "lost")


def some_order(number: int, kind: int) -> Order:
    """One of many orders; the same numbers give the same."""
    name = ENVIRONMENTS[kind % 3]
    if kind % 7 == 6:
        return a_drop(name)
    if kind % 11 == 10:
        return Order.model_validate(
            {"action": "maintenance", "environment_id": name, "maintenance": bool(kind & 1)}
        )
    more: dict[str, Any] = {}
    if kind % 2:
        more["on_failure"] = "revert"
    if kind % 5 == 4:
        more["require_approval"] = True
    if kind % 13 == 12:
        more["supersedes"] = True
    paths = {"s6": {"path": f"/p{number}"}} if kind % 3 == 0 else {}
    without = ("", "", "s7", "s6")[kind // 4 % 4]
    return an_order(name, without if not paths or without != "s6" else "", more, **paths)


class Orders(RuleBasedStateMachine):
    """Rules are what can happen; `teardown` lets everything come to its end and looks at all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.saga = Saga()
        self.ids: list[str] = []
        self.said: list[Outcome] = []
        self.cancelled_at: dict[str, int] = {}

    @initialize(kinds=st.lists(st.integers(0, 2000), min_size=ORDERS, max_size=ORDERS))
    def some_orders(self, kinds: list[int]) -> None:
        self.kinds = list(enumerate(kinds))
        for _ in range(ORDERS // 2):
            self.submit()

    @precondition(lambda self: self.kinds)
    @rule()
    def submit(self) -> None:
        number, kind = self.kinds.pop()
        self.ids.append(f"o{number}")
        self.saga.when(received(f"o{number}", some_order(number, kind)))

    def waiting(self) -> list[Command]:
        return [command for order_id in self.ids for command in self.saga.outstanding(order_id)]

    @rule(pick=st.integers(0, 10**6), how=st.sampled_from(HOWS))
    def answer(self, pick: int, how: str) -> None:
        waiting = self.waiting()
        if waiting:
            self.say(waiting[pick % len(waiting)], how)

    @precondition(lambda self: self.ids)
    @rule(pick=st.integers(0, 10**6))
    def go_on(self, pick: int) -> None:
        """Everything that one order waits for goes well."""
        for command in self.saga.outstanding(self.ids[pick % len(self.ids)]):
            self.say(command, "well")

    def say(self, command: Command, how: str) -> None:
        """`lost`: it was done, and nobody heard of it, so that it is done once more later."""
        order = self.saga.order(command.order_id)
        if how != "well" and order.cancelled is not None and not command.undo:
            reply = failure(command, kind="terminal", code=CANCELLED)
        elif how == "retryable":
            reply = failure(command)
        elif how == "terminal":
            reply = failure(command, kind="terminal")
        elif how == "lease":
            reply = failure(command, code=LEASE_LOST, executor="frozen")
        elif how == "port" and isinstance(command, DeployService) and command.allocation.port:
            place = f"{command.allocation.server}:{command.allocation.port}"
            reply = failure(command, code="port.occupied", resource=place)
        else:
            reply = outcome(command, self.saga.reality)
        if how != "lost":
            self.said.append(reply)
            self.saga.when(reply)

    @precondition(lambda self: self.said)
    @rule(pick=st.integers(0, 10**6), other=st.booleans())
    def hear_again(self, pick: int, other: bool) -> None:
        """An answer comes twice, or a second executor gives one to the same command."""
        reply = self.said[pick % len(self.said)]
        self.saga.when(reply.model_copy(update={"executor": "second"}) if other else reply)

    @rule(
        pick=st.integers(0, 10**6),
        verb=st.sampled_from(("pause", *VERBS)),
        by=st.sampled_from(["ann", "bob"]),
    )
    def ask(self, pick: int, verb: Verb, by: str) -> None:
        """Mostly of an order of which it can be asked; the others are refused."""
        fit = [name for name in self.ids if self.saga.order(name).ended == (verb == "retry")]
        candidates = fit if fit and pick % 10 else self.ids
        with contextlib.suppress(Terminal):
            self.saga.ask(verb, candidates[pick % len(candidates)], by=by)

    @rule(seconds=st.sampled_from([0.5, 2.0, 5.0, 10.0, 70.0, 1000.0]))
    def sleep(self, seconds: float) -> None:
        self.saga.pass_time(seconds)

    @invariant()
    def one_order_works_on_an_environment(self) -> None:
        busy = {
            (command.environment, command.order_id)
            for command in self.waiting()
            if command.stage not in {Stage.PROBE_SERVICES}
        }
        assert len(busy) == len({environment for environment, _ in busy}), busy

    def teardown(self) -> None:
        self.come_to_the_end()
        assert len(self.ids) == ORDERS
        self.retry_what_can_be()
        steps = set(transitions(self.saga))
        assert steps <= TRANSITIONS, steps - TRANSITIONS
        self.everything_ended_once()
        self.dropping_leaves_nothing()
        with tempfile.TemporaryDirectory() as directory:
            self.a_fresh_reading_gives_the_same(Path(directory))

    def come_to_the_end(self) -> None:
        while self.kinds:
            self.submit()
        for _ in range(600):
            for order_id in self.ids:
                state = self.saga.order(order_id)
                if state.paused and not state.ended:
                    self.saga.ask("resume", order_id)
                elif state.awaiting and not state.ended:
                    self.saga.ask("approve", order_id)
            for command in self.waiting():
                self.say(command, "well")
            self.saga.pass_time(5)
            if not any(self.saga.order(order_id).open for order_id in self.ids):
                return
        open_ = {name: self.saga.order(name) for name in self.ids if self.saga.order(name).open}
        raise AssertionError(f"these never ended: {open_}")

    def retry_what_can_be(self) -> None:
        for order_id in self.ids:
            with contextlib.suppress(Terminal):
                self.saga.ask("retry", order_id)
        self.come_to_the_end()

    def everything_ended_once(self) -> None:
        commands = Counter(c.event.command_id for c in self.saga.log if isinstance(c.event, Command))
        assert set(commands.values()) <= {1}, commands.most_common(2)
        answers = Counter(c.event.command_id for c in self.saga.log if isinstance(c.event, Outcome))
        assert set(answers.values()) <= {1}, answers.most_common(2)
        assert answers.keys() <= commands.keys()
        held: set[tuple[str, int]] = set()
        for change in self.saga.log:
            if isinstance(change.event, PortLeased):
                assert (change.event.server, change.event.port) not in held
                held.add((change.event.server, change.event.port))
            elif isinstance(change.event, PortReleased):
                held.discard((change.event.server, change.event.port))
        self.nothing_new_after_a_cancellation()

    def nothing_new_after_a_cancellation(self) -> None:
        stopped: set[str] = set()
        for change in self.saga.log:
            event = change.event
            if isinstance(event, OrderCancelled):
                stopped.add(event.order_id)
            elif type(event).__name__ == "OrderRetried":
                stopped.discard(event.order_id)
            elif isinstance(event, Command) and event.order_id in stopped:
                assert event.undo, f"{event.stage} of a cancelled order"

    def dropping_leaves_nothing(self) -> None:
        for name in ENVIRONMENTS:
            order_id = f"drop-{name}"
            self.ids.append(order_id)
            self.saga.when(received(order_id, a_drop(name))).finish(order_id)
            assert self.saga.order(order_id).status == "succeeded"
            assert self.saga.environment(name).empty, self.saga.environment(name)
            left = {key: value for key, value in self.saga.reality.left(name).items() if key != "records"}
            assert left == {}, left

    def a_fresh_reading_gives_the_same(self, directory: Path) -> None:
        """Through the real store: contiguous versions, every type encoded and decoded, views as they were."""
        store = EventStore.open("", directory)
        try:
            versions: Counter[str] = Counter()
            batch = []
            for change in self.saga.log:
                versions[change.stream] += 1
                batch.append(
                    Append(change.stream, versions[change.stream], change.event, rfc3339(self.saga.now), "c")
                )
            store.append(batch)
            world = WorkingSet(store)
            for stream, version in versions.items():
                assert [row.version for row in store.load(stream)] == list(range(1, version + 1))
                self.same_view(world.state(stream), self.saga.states[stream])
            self.index_agrees(store, world, directory)
        finally:
            store.close()

    def same_view(self, fresh: Any, known: Any) -> None:
        """Moments differ: the log was written at once."""
        if isinstance(known, OrderState):
            one, two = order_view(fresh, 443), order_view(known, 443)
        elif hasattr(known, "queue"):
            one, two = environment_view(fresh, 443), environment_view(known, 443)
        else:
            assert fresh == known
            return
        assert _timeless(one.model_dump(mode="json")) == _timeless(two.model_dump(mode="json"))

    def index_agrees(self, store: EventStore, world: WorkingSet, directory: Path) -> None:
        index = Index(directory / "index.sqlite", log=store.identity(), last_position=store.last_position())
        runner = Runner(store, index, world)
        while index.position() < store.last_position():
            runner._index_chunk()
        rows = {row.order_id: row for row in index.orders(None, None, "apply", None, 1000)}
        index.close()
        assert rows.keys() == set(self.ids)
        for order_id, row in rows.items():
            state = world.state(order_stream(order_id))
            assert isinstance(state, OrderState)
            assert (row.status, row.open) == (status_of(state), state.open)


def _timeless(view: Any) -> Any:
    return json.loads(
        json.dumps(view), object_hook=lambda found: {k: v for k, v in found.items() if not k.endswith("_at")}
    )


def transitions(saga: Saga) -> Iterator[Transition]:
    """Every step from one status to another that the log holds."""
    states: dict[str, OrderState] = {}
    for change in saga.log:
        if not change.stream.startswith("order/"):
            continue
        before = states.get(change.stream, OrderState())
        states[change.stream] = after = evolve(before, change.event, rfc3339(saga.now))
        one, two = status_of(before) if before.known else None, status_of(after)
        if one != two:
            yield one, cause_of(change.event), two


TestOrders = Orders.TestCase
TestOrders.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),  # making a failure small takes minutes: add Phase.shrink to understand one
)


def bad(command: Command, _reality: Reality) -> Outcome:
    return failure(command, kind="terminal")


def new(**more: Any) -> Saga:
    return Saga().when(received(order=an_order(more=more)))


def deploying(**more: Any) -> Saga:
    saga = new(**more)
    saga.until(DeployService)
    return saga


REVERT, APPROVAL = {"on_failure": "revert"}, {"require_approval": True}


def lives() -> Iterator[Saga]:
    """Orders that between them take every step: chance need not lead them."""
    yield new().ask("cancel").answer(how=bad).ask("retry").finish()
    yield new().answer(how=bad)
    yield new().ask("pause").ask("resume").finish()
    yield new().ask("pause").ask("cancel").answer(how=bad)
    yield deploying().ask("pause").ask("resume").finish()
    yield deploying().ask("pause").answer(how=bad)
    yield deploying().answer(how=bad).ask("retry").finish()
    yield deploying().ask("cancel").answer(how=bad)
    yield deploying(**REVERT).ask("cancel").answer(how=bad).finish()
    yield deploying(**REVERT).ask("pause").answer(how=bad).finish()
    yield deploying(**REVERT).answer(how=bad).answer(how=bad).ask("retry").finish()
    alone = deploying(**REVERT).answer(how=bad).finish().ask("retry", service="6").finish()
    yield alone.ask("retry").answer(how=bad).finish()
    for turn in ("cancel", "reject"):
        yield new(**APPROVAL).answer().ask(turn)
    yield new(**APPROVAL).answer().ask("pause").ask("resume").ask("approve").finish()
    yield new(**APPROVAL).answer().ask("pause").ask("approve").ask("resume").finish()
    waiting = new().when(received("o2")).when(received("o3")).ask("pause", "o2")
    yield waiting.when(received("o4", an_order(more={"supersedes": True}))).finish().finish("o4")
    empty = Order.model_validate({"action": "maintenance", "environment_id": "3", "maintenance": True})
    yield Saga().when(received(order=empty)).finish()
    yield Saga().when(received(purpose="plan")).finish()


def test_every_transition_of_the_diagram_happens_and_no_other() -> None:
    seen = {step for saga in lives() for step in transitions(saga)}
    assert seen == TRANSITIONS, f"never seen: {TRANSITIONS - seen}, unknown: {seen - TRANSITIONS}"

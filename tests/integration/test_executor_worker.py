"""The worker on a real bus, with the executor's own rights: what is answered, acknowledged and given back."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from executor.handling import Context
from executor.leases import Leases
from executor.operators.ports import TaskProgress
from stagewright import ids
from stagewright.contracts.base import Stage
from stagewright.contracts.commands import Command
from stagewright.contracts.events import CommandFailed, EnvironmentConfigured, ServiceDeployed
from stagewright.errors import Retryable, Terminal
from stagewright.messaging import topology
from tests.support import executor_bus as make
from tests.support.eventually import eventually
from tests.support.executor_bus import Bus, executor_bus, only, working
from tests.support.parts import NatsServer, fresh_layout, run_nats


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with fresh_layout() as layout, run_nats(layout, users=True) as found:
        yield found


@pytest.fixture
async def bus(server: NatsServer) -> AsyncIterator[Bus]:
    async with executor_bus(server) as found:
        yield found


async def configured(_command: Command, context: Context) -> EnvironmentConfigured:
    return context.answer(EnvironmentConfigured, records=(), changed=())


async def deployed(command: Command, context: Context) -> ServiceDeployed:
    return context.answer(ServiceDeployed, service=command.target, commit=make.COMMIT, health="ready")


async def test_an_outcome_answers_its_command_and_then_the_command_is_gone(bus: Bus) -> None:
    command = make.configure()
    async with working(bus, only(configured), name="first"):
        await bus.send(command)
        (outcome,) = await eventually(bus.outcomes)
        await eventually(bus.waiting, until=lambda seen: seen == (0, 0))
    (raw,) = await bus.stored(topology.EVENTS)
    assert raw.subject == "events.configure_environment.3.o-1"
    assert raw.headers["Nats-Msg-Id"] == str(ids.outcome_id(command.command_id, outcome.fence))
    assert raw.headers["correlation-id"] == "o-1"
    assert raw.headers["causation-id"] == str(command.command_id)
    assert outcome.command_id == command.command_id
    assert outcome.executor == "first"
    assert outcome.fence


async def test_a_copy_of_a_command_that_a_later_one_followed_is_not_done_again(bus: Bus) -> None:
    done: list[str] = []

    async def noted(command: Command, context: Context) -> ServiceDeployed:
        done.append(command.order_id)
        return await deployed(command, context)

    old, new = make.deploy("o-1"), make.deploy("o-2")
    copy = {"ce-type": old.ce_type, "Nats-Msg-Id": "published once more"}
    async with working(bus, only(noted, stage=Stage.DEPLOY_SERVICES)):
        for command in (old, new):
            await bus.send(command)
            await eventually(bus.waiting, until=lambda seen: seen == (0, 0))
        subject = topology.command_subject(old.stage, old.environment, old.order_id)
        await bus.js.publish(subject, old.to_json(), stream=topology.COMMANDS, headers=copy)
        await eventually(bus.waiting, until=lambda seen: seen == (0, 0))
    assert done == ["o-1", "o-2"]


@pytest.mark.parametrize(
    ("raised", "kind", "code"),
    [
        (Terminal("variable.missing", "x", "is missing.", "Add it."), "terminal", "variable.missing"),
        (
            Retryable("vault.unavailable", "x", "is away.", "Wait.", retry_after=3),
            "retryable",
            "vault.unavailable",
        ),
        (ValueError("canary-value"), "retryable", "executor.unexpected"),
        (TimeoutError("canary-value"), "retryable", "executor.unexpected"),
    ],
)
async def test_a_failure_is_an_outcome_in_its_own_words(
    bus: Bus, capfd, raised: Exception, kind: str, code: str
) -> None:
    async def failing(_command: Command, _context: Context) -> EnvironmentConfigured:
        raise raised

    async with working(bus, only(failing)):
        await bus.send(make.configure())
        (outcome,) = await eventually(bus.outcomes)
    assert isinstance(outcome, CommandFailed)
    assert (outcome.error.kind, outcome.error.code) == (kind, code)
    assert "canary-value" not in outcome.to_json().decode() + "".join(capfd.readouterr())


async def test_a_failure_carries_how_to_run_it_again_by_hand(bus: Bus) -> None:
    async def failing(_command: Command, _context: Context) -> EnvironmentConfigured:
        error = Terminal("playbook.failed", "x", "is so.", "See there.")
        error.run = "BAO_TOKEN=… /somewhere/run.sh"
        raise error

    async with working(bus, only(failing)):
        await bus.send(make.configure())
        (outcome,) = await eventually(bus.outcomes)
    assert outcome.run == "BAO_TOKEN=… /somewhere/run.sh"


async def test_a_lease_that_was_lost_is_said_and_leaves_the_command_to_others(bus: Bus) -> None:
    begun, client = asyncio.Event(), await bus.executor()

    async def endless(_command: Command, _context: Context) -> EnvironmentConfigured:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    command = make.configure()
    async with working(bus, only(endless), name="first", leases=Leases(client.jetstream(), ttl=1)):
        await bus.send(command)
        await begun.wait()
        taken = await client.jetstream().publish("$KV.leases.3._", b"another")
        (outcome,) = await eventually(bus.outcomes)
        assert await bus.waiting() == (1, 1)
    await client.close()
    assert isinstance(outcome, CommandFailed)
    assert (outcome.error.kind, outcome.error.code) == ("retryable", "lease.lost")
    assert (outcome.executor, outcome.command_id) == ("first", command.command_id)
    assert outcome.fence < taken.seq
    assert await bus.waiting() == (1, 1), "neither acknowledged nor given back"


async def test_a_command_that_takes_too_long_is_ended_and_retryable(bus: Bus) -> None:
    ended = asyncio.Event()

    async def endless(_command: Command, _context: Context) -> EnvironmentConfigured:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async with working(bus, only(endless)):
        await bus.send(make.configure(timeout=0.1))
        (outcome,) = await eventually(bus.outcomes)
    assert isinstance(outcome, CommandFailed)
    assert outcome.error.code == "stage.timeout"
    assert ended.is_set()


async def test_what_is_no_command_is_kept_aside_and_not_delivered_again(bus: Bus) -> None:
    subject = "commands.inspect.3.o-1"
    named = {"ce-type": "stagewright.environment.inspect.v1"}
    await bus.js.publish(subject, b"not json", headers=dict(named))
    await bus.js.publish(subject, b"{}")
    await bus.js.publish("commands.inspect.4.o-1", make.inspect().to_json(), headers=dict(named))
    async with working(bus, only(configured)):
        dead = await eventually(lambda: bus.stored(topology.DEAD), until=lambda found: len(found) == 3)
        await eventually(bus.waiting, until=lambda seen: seen == (0, 0))
    assert [raw.data for raw in dead] == [b"not json", b"{}", make.inspect().to_json()]
    assert dead[0].headers["dead-origin"] == subject
    assert await bus.outcomes() == []


async def test_a_stage_that_this_executor_does_not_do_fails_the_command(bus: Bus) -> None:
    async with working(bus, only(configured)):
        await bus.send(make.inspect())
        (outcome,) = await eventually(bus.outcomes)
    assert isinstance(outcome, CommandFailed)
    assert outcome.error.code == "stage.unsupported"


@pytest.mark.parametrize("leased", [True, False])
async def test_a_command_that_is_done_twice_says_so_where_it_changes_something(
    bus: Bus, leased: bool
) -> None:
    runs: list[int] = []

    async def counted(command: Command, context: Context) -> EnvironmentConfigured:
        runs.append(command.attempt)
        return await configured(command, context)

    await bus.send(make.configure())
    taken = await bus.take()
    await taken.nak()
    async with working(bus, only(counted, leased=leased)):
        await eventually(bus.outcomes)
        await eventually(bus.waiting, until=lambda seen: seen == (0, 0))
        # The window in which the command's own id keeps it from being stored again is no help to us here:
        await bus.js.publish(
            "commands.configure_environment.3.o-1",
            make.configure().to_json(),
            headers={"ce-type": "stagewright.environment.configure.v1"},
        )
        await eventually(lambda: len(runs) == 2)
        await eventually(bus.waiting, until=lambda seen: seen == (0, 0))
    fences = [outcome.fence for outcome in await bus.outcomes()]
    assert len(set(fences)) == len(fences) == (2 if leased else 1)


async def test_no_more_run_at_once_than_there_are_slots(bus: Bus) -> None:
    running, most, go = 0, 0, asyncio.Event()

    async def counted(command: Command, context: Context) -> ServiceDeployed:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go.wait()
        running -= 1
        return await deployed(command, context)

    await bus.send(*(make.deploy(service=make.deployable(str(n))) for n in range(5)))
    async with working(bus, only(counted, stage=Stage.DEPLOY_SERVICES), slots=2):
        await eventually(lambda: running == 2)
        go.set()
        await eventually(bus.outcomes, until=lambda found: len(found) == 5)
    assert most == 2


async def test_a_long_command_is_renewed_and_runs_once(bus: Bus) -> None:
    runs, go = 0, asyncio.Event()

    async def slow(command: Command, context: Context) -> EnvironmentConfigured:
        nonlocal runs
        runs += 1
        await go.wait()
        return await configured(command, context)

    await bus.shorten_ack_wait(0.5)
    started = time.monotonic()
    async with working(bus, only(slow, leased=False), slots=2, ack_wait=0.5):
        await bus.send(make.configure())
        await eventually(lambda: time.monotonic() - started > 2)
        go.set()
        (outcome,) = await eventually(bus.outcomes)
        await eventually(bus.waiting, until=lambda seen: seen == (0, 0))
    assert isinstance(outcome, EnvironmentConfigured)
    assert runs == 1


async def test_stopping_lets_work_end_and_gives_the_rest_back(bus: Bus) -> None:
    go, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(command: Command, context: Context) -> ServiceDeployed:
        try:
            await (go.wait() if command.target == "quick" else asyncio.Event().wait())
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return await deployed(command, context)

    handlers = only(handler, stage=Stage.DEPLOY_SERVICES)
    await bus.send(*(make.deploy(service=make.deployable(name)) for name in ("quick", "endless")))
    async with working(bus, handlers, grace=0.3) as stop:
        await eventually(bus.waiting, until=lambda seen: seen == (2, 2))
        stop.set()
        go.set()
        await eventually(cancelled.is_set)
    (outcome,) = await bus.outcomes()
    assert (outcome.service, (await bus.waiting())[0]) == ("quick", 1)
    # Redelivered to the next at once, long before ACK_WAIT: it was given back, not just dropped.
    async with working(bus, only(deployed, stage=Stage.DEPLOY_SERVICES)):
        await eventually(bus.outcomes, until=lambda found: len(found) == 2)


async def test_a_killed_executor_leaves_the_command_to_the_next_and_one_outcome(bus: Bus, tmp_path) -> None:
    effects = tmp_path / "effects"
    seed = bus.server.settings.seed(topology.EXECUTOR.name)
    argv = (sys.executable, "-m", "tests.support.executor_victim", bus.server.url, str(seed), str(effects))
    await bus.send(make.configure())
    first = await asyncio.create_subprocess_exec(*argv, "hang")
    await eventually(effects.exists)
    first.kill()
    await first.wait()
    await bus.hurry()
    second = await asyncio.create_subprocess_exec(*argv)
    try:
        (outcome,) = await eventually(bus.outcomes)
        await eventually(bus.waiting, until=lambda seen: seen == (0, 0))
    finally:
        second.kill()
        await second.wait()
    assert isinstance(outcome, EnvironmentConfigured)
    assert (effects.read_text(), outcome.changed) == ("made\n", ())


async def test_live_output_reaches_its_stream(bus: Bus) -> None:
    async def talking(command: Command, context: Context) -> ServiceDeployed:
        for task in ("one", "two"):
            await context.on_task(TaskProgress(task, "ok", "2026-11-23T10:00:00.000000Z", 0.5))
        return await deployed(command, context)

    async with working(bus, only(talking, stage=Stage.DEPLOY_SERVICES)):
        await bus.send(make.deploy())
        lines = await eventually(lambda: bus.stored(topology.LOGS), until=lambda found: len(found) == 2)
    assert [raw.subject for raw in lines] == ["logs.3.o-1.deploy_services"] * 2
    assert b'"task":"one"' in lines[0].data


async def test_instant_handlers_take_the_same_road(bus: Bus) -> None:
    async with working(bus, only(configured, leased=False, instant=True), slots=64):
        await bus.send(*(make.configure(order=f"o-{n}") for n in range(200)))
        found = await eventually(bus.outcomes, until=lambda seen: len(seen) == 200)
        await eventually(bus.waiting, until=lambda seen: seen == (0, 0))
    assert {outcome.order_id for outcome in found} == {f"o-{n}" for n in range(200)}

"""The bus gives each service what it needs and nothing more: every denied subject is really denied."""

import asyncio

import pytest
from nats.errors import Error as NatsError

from stagewright.contracts.control import VERBS, control_subject
from stagewright.messaging.connecting import BusHealth, connect
from stagewright.messaging.declaring import declare
from stagewright.messaging.tailing import Tail
from stagewright.messaging.topology import (
    CONSOLE,
    EXECUTOR,
    EXECUTOR_WITHDRAWALS,
    INTAKE,
    ORCHESTRATOR,
    ORDERS,
    PLAN,
    SUBMIT,
    USERS,
    WITHDRAWALS,
    User,
    command_subject,
    event_subject,
    logs_subject,
    received_subject,
    withdrawal_subject,
)
from tests.support.eventually import eventually
from tests.support.parts import NatsServer

COMMAND = command_subject("deploy_services", "3", "o-1")
SAGA_EVENT = event_subject("order", "3", "o-1")
STAGE_EVENT = event_subject("deploy_services", "3", "o-1")
RECEIVED = received_subject("3")
WITHDRAWAL = withdrawal_subject("3", "o-1")
CANCEL, APPROVE = control_subject("cancel"), control_subject("approve")
LATER = ("remove_services", "release_resources", "deconfigure_environment", "probe_services")
BELIEVED = "queries.plans.believed"
LOGS = logs_subject("3", "o-1", "deploy_services")
STREAM_DELETE = f"$JS.API.STREAM.DELETE.{ORDERS}"
STREAM_PURGE = "$JS.API.STREAM.PURGE.EVENTS"
ANOTHERS_INBOX = "_INBOX_orchestrator.x"

DENIED = {
    INTAKE: [
        COMMAND,
        WITHDRAWAL,
        SAGA_EVENT,
        STAGE_EVENT,
        LOGS,
        SUBMIT,
        PLAN,
        CANCEL,
        APPROVE,
        "queries.plans.show",
        "queries.orders.rollback",
        STREAM_DELETE,
        "$KV.leases.x",
        ANOTHERS_INBOX,
    ],
    EXECUTOR: [
        COMMAND,
        WITHDRAWAL,
        SAGA_EVENT,
        RECEIVED,
        SUBMIT,
        PLAN,
        CANCEL,
        APPROVE,
        STREAM_DELETE,
        f"$JS.API.STREAM.PURGE.{WITHDRAWALS}",
        f"$JS.API.STREAM.UPDATE.{WITHDRAWALS}",
        f"$JS.API.CONSUMER.CREATE.{ORDERS}",
        "queries.orders.list",
        ANOTHERS_INBOX,
    ],
    CONSOLE: [
        COMMAND,
        WITHDRAWAL,
        SAGA_EVENT,
        STAGE_EVENT,
        RECEIVED,
        LOGS,
        STREAM_DELETE,
        "$KV.leases.x",
        STREAM_PURGE,
        f"$JS.API.STREAM.PURGE.{WITHDRAWALS}",
    ],
    ORCHESTRATOR: [RECEIVED, STAGE_EVENT, LOGS, SUBMIT, PLAN, CANCEL],
}
ALLOWED = {
    INTAKE: [RECEIVED, BELIEVED],
    EXECUTOR: [STAGE_EVENT, *(event_subject(stage, "3", "o-1") for stage in LATER), LOGS, "$KV.leases.x"],
    CONSOLE: [SUBMIT, PLAN, *map(control_subject, VERBS), "queries.orders.list", "$SRV.PING.executor"],
    ORCHESTRATOR: [COMMAND, WITHDRAWAL, SAGA_EVENT],
}
OVERHEARD = {
    INTAKE: ["commands.>", "events.>", "control.>", "withdrawals.>", "_INBOX_console.>", "_INBOX.>", ">"],
    EXECUTOR: [
        "orders.>",
        SUBMIT,
        PLAN,
        "events.>",
        "control.>",
        "withdrawals.>",
        "_INBOX_orchestrator.>",
        "queries.>",
    ],
    CONSOLE: [SUBMIT, PLAN, "control.>", "commands.>", "withdrawals.>", "_INBOX_executor.>"],
    ORCHESTRATOR: [SUBMIT, PLAN, "logs.>", "_INBOX_intake.>"],
}


async def refusal(server: NatsServer, user: User, act) -> str | None:
    """What the server says against this, None where it lets it pass."""
    health = BusHealth()
    client = await connect(server.url, user, seed_file=server.settings.seed(user.name), health=health)
    try:
        await act(client)
        await client.flush()
        await client.flush()
        return health.last_error
    finally:
        await client.close()


def cases(table: dict[User, list[str]]) -> list:
    return [
        pytest.param(user, subject, id=f"{user.name} {subject}")
        for user, subjects in table.items()
        for subject in subjects
    ]


@pytest.mark.parametrize(("user", "subject"), cases(DENIED))
async def test_publishing_is_denied(nats_users_server: NatsServer, user: User, subject: str):
    said = await refusal(nats_users_server, user, lambda client: client.publish(subject, b"x"))
    assert said is not None
    assert "permissions violation" in said.lower()


@pytest.mark.parametrize(("user", "subject"), cases(ALLOWED))
async def test_publishing_is_allowed(nats_users_server: NatsServer, user: User, subject: str):
    assert await refusal(nats_users_server, user, lambda client: client.publish(subject, b"x")) is None


@pytest.mark.parametrize(("user", "subject"), cases(OVERHEARD))
async def test_listening_is_denied(nats_users_server: NatsServer, user: User, subject: str):
    said = await refusal(nats_users_server, user, lambda client: client.subscribe(subject))
    assert said is not None
    assert "permissions violation" in said.lower()


@pytest.mark.parametrize("user", USERS, ids=lambda user: user.name)
async def test_everybody_may_listen_to_what_is_its_own(nats_users_server: NatsServer, user: User):
    for subject in user.subscriptions:
        assert await refusal(nats_users_server, user, lambda client, to=subject: client.subscribe(to)) is None


async def test_a_request_is_answered_into_the_askers_own_inbox(nats_users_server: NatsServer):
    server = nats_users_server
    intake = await connect(server.url, INTAKE, seed_file=server.settings.seed("intake"))
    console = await connect(server.url, CONSOLE, seed_file=server.settings.seed("console"))

    async def answer(message):
        await message.respond(b"yes")

    await intake.subscribe(SUBMIT, cb=answer)
    await intake.flush()
    try:
        reply = await console.request(SUBMIT, b"order", timeout=2)
        assert reply.data == b"yes"
        assert reply.subject.startswith("_INBOX_console.")
    finally:
        await console.close()
        await intake.close()


async def test_an_acknowledged_order_needs_only_what_intake_has(nats_users_server: NatsServer):
    server = nats_users_server
    saga = await connect(server.url, ORCHESTRATOR, seed_file=server.settings.seed("orchestrator"))
    intake = await connect(server.url, INTAKE, seed_file=server.settings.seed("intake"))
    try:
        await declare(saga.jetstream())
        ack = await intake.jetstream().publish(RECEIVED, b"{}", stream=ORDERS)
        assert ack.stream == ORDERS
        found = await eventually(lambda: saga.jetstream().get_msg(ORDERS, ack.seq))
        assert found.data == b"{}"
        with pytest.raises((NatsError, TimeoutError)):
            await intake.jetstream().purge_stream(ORDERS)
    finally:
        await intake.close()
        await saga.close()


async def test_an_executor_reads_withdrawals_with_what_it_has(nats_users_server: NatsServer):
    server = nats_users_server
    saga = await connect(server.url, ORCHESTRATOR, seed_file=server.settings.seed("orchestrator"))
    executor = await connect(server.url, EXECUTOR, seed_file=server.settings.seed("executor"))

    async def read() -> bytes:
        missing = pytest.fail
        async for tailed in Tail(executor, EXECUTOR_WITHDRAWALS, limit=1, missing=missing).batches(
            lambda _: 0
        ):
            return tailed.messages[0].data
        raise AssertionError("a tail never ends")

    try:
        await declare(saga.jetstream())
        await saga.jetstream().publish(WITHDRAWAL, b"stop", stream=WITHDRAWALS)

        assert await asyncio.wait_for(read(), 10) == b"stop"
        with pytest.raises((NatsError, TimeoutError)):
            await executor.jetstream().purge_stream(WITHDRAWALS)
    finally:
        await executor.close()
        await saga.close()


async def test_control_is_answered_by_the_orchestrator_into_the_console_s_inbox(
    nats_users_server: NatsServer,
):
    server = nats_users_server
    saga = await connect(server.url, ORCHESTRATOR, seed_file=server.settings.seed("orchestrator"))
    console = await connect(server.url, CONSOLE, seed_file=server.settings.seed("console"))

    async def answer(message):
        await message.respond(b"done")

    await saga.subscribe("control.>", cb=answer)
    await saga.flush()
    try:
        for verb in VERBS:
            assert (await console.request(control_subject(verb), b"{}", timeout=2)).data == b"done"
    finally:
        await console.close()
        await saga.close()

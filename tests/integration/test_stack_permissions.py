"""The bus gives each service what it needs and nothing more: every denied subject is really denied."""

import pytest
from nats.errors import Error as NatsError

from stagewright.messaging.connecting import BusHealth, connect
from stagewright.messaging.declaring import declare
from stagewright.messaging.topology import (
    CONSOLE,
    EXECUTOR,
    INTAKE,
    ORCHESTRATOR,
    ORDERS,
    SUBMIT,
    USERS,
    User,
    command_subject,
    event_subject,
    logs_subject,
    received_subject,
)
from tests.support.eventually import eventually
from tests.support.parts import NatsServer

COMMAND = command_subject("deploy_services", "3", "o-1")
SAGA_EVENT = event_subject("order", "3", "o-1")
STAGE_EVENT = event_subject("deploy_services", "3", "o-1")
RECEIVED = received_subject("3")
LOGS = logs_subject("3", "o-1", "deploy_services")
STREAM_DELETE = f"$JS.API.STREAM.DELETE.{ORDERS}"
STREAM_PURGE = "$JS.API.STREAM.PURGE.EVENTS"
ANOTHERS_INBOX = "_INBOX_orchestrator.x"

DENIED = {
    INTAKE: [COMMAND, SAGA_EVENT, STAGE_EVENT, LOGS, SUBMIT, STREAM_DELETE, "$KV.leases.x", ANOTHERS_INBOX],
    EXECUTOR: [COMMAND, SAGA_EVENT, RECEIVED, SUBMIT, STREAM_DELETE, "queries.orders.list", ANOTHERS_INBOX],
    CONSOLE: [
        COMMAND,
        SAGA_EVENT,
        STAGE_EVENT,
        RECEIVED,
        LOGS,
        STREAM_DELETE,
        "$KV.leases.x",
        "$JS.API.STREAM.PURGE.EVENTS",
    ],
    ORCHESTRATOR: [RECEIVED, STAGE_EVENT, LOGS, SUBMIT],
}
ALLOWED = {
    INTAKE: [RECEIVED],
    EXECUTOR: [STAGE_EVENT, LOGS, "$KV.leases.x"],
    CONSOLE: [SUBMIT, "queries.orders.list", "$SRV.PING.executor"],
    ORCHESTRATOR: [COMMAND, SAGA_EVENT],
}
OVERHEARD = {
    INTAKE: ["commands.>", "events.>", "_INBOX_console.>", "_INBOX.>", ">"],
    EXECUTOR: ["orders.>", SUBMIT, "events.>", "_INBOX_orchestrator.>", "queries.>"],
    CONSOLE: [SUBMIT, "commands.>", "_INBOX_executor.>"],
    ORCHESTRATOR: [SUBMIT, "logs.>", "_INBOX_intake.>"],
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

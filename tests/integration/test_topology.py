"""What is declared: streams as they are read, and a refusal where the bus holds something else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from nats.aio.client import Client

from stagewright.contracts.base import Stage
from stagewright.errors import Terminal
from stagewright.messaging import topology
from stagewright.messaging.connecting import connect
from stagewright.messaging.declaring import declare
from stagewright.messaging.tailing import Tail
from tests.support.parts import fresh_layout, run_nats


@asynccontextmanager
async def connected() -> AsyncIterator[Client]:
    with fresh_layout() as layout, run_nats(layout) as server:
        client = await connect(server.url, topology.ORCHESTRATOR, seed_file=None)
        try:
            yield client
        finally:
            await client.close()


async def test_what_cannot_be_changed_is_said_with_its_remedy() -> None:
    async with connected() as client:
        js = client.jetstream()
        await declare(js)
        await declare(js)

        name = topology.EXECUTOR_COMMANDS.name
        found = (await js.consumer_info(topology.COMMANDS, name)).config
        await js.delete_consumer(topology.COMMANDS, name)
        await js.add_consumer(topology.COMMANDS, replace(found, ack_wait=77))
        with pytest.raises(Terminal, match="ack_wait"):
            await declare(js)

        (commands,) = [stream for stream in topology.STREAMS if stream.name == topology.COMMANDS]
        await js.delete_stream(topology.COMMANDS)
        await js.add_stream(replace(commands, storage="file"))
        with pytest.raises(Terminal, match="storage type") as refused:
            await declare(js)
        assert (refused.value.info.code, refused.value.info.resource) == ("topology.mismatch", "COMMANDS")


async def test_a_withdrawal_reaches_who_comes_later_and_is_held_once() -> None:
    """An executor that starts after it must know it before it takes a command."""
    subject = topology.withdrawal_subject("3", "order-1")
    async with connected() as client:
        js = client.jetstream()
        await declare(js)
        for _ in range(2):
            await js.publish(
                subject, b"stop", stream=topology.WITHDRAWALS, headers={"Nats-Msg-Id": "withdrawn-1"}
            )

        tail = Tail(client, topology.EXECUTOR_WITHDRAWALS, limit=10, missing=pytest.fail)
        async with asyncio.timeout(10):
            tailed = await anext(aiter(tail.batches(lambda _: 0)))
        assert [(msg.subject, msg.data) for msg in tailed.messages] == [(subject, b"stop")]
        stored = (await js.stream_info(topology.WITHDRAWALS)).state
        assert stored.messages == 1


async def test_the_saga_reads_the_answers_of_every_stage_and_none_of_its_own() -> None:
    async with connected() as client:
        js = client.jetstream()
        await declare(js)
        own = topology.event_subject(topology.ORDER_EVENTS_STAGE, "3", "order-1")
        for subject in (own, *(topology.event_subject(stage, "3", "order-1") for stage in Stage), own):
            await js.publish(subject, subject.encode(), stream=topology.EVENTS)

        found: list[str] = []
        async with asyncio.timeout(10):
            async for tailed in Tail(client, topology.SAGA_EVENTS, limit=100, missing=pytest.fail).batches(
                lambda _: 0
            ):
                found += [msg.subject.split(".")[1] for msg in tailed.messages]
                if len(found) == len(Stage):
                    break
        assert found == list(Stage)

"""What is declared on a bus that holds something else: refused with a remedy, never passed over."""

from dataclasses import replace

import pytest

from stagewright.errors import Terminal
from stagewright.messaging import topology
from stagewright.messaging.connecting import connect
from stagewright.messaging.declaring import declare
from tests.support.parts import fresh_layout, run_nats


async def test_what_cannot_be_changed_is_said_with_its_remedy() -> None:
    with fresh_layout() as layout, run_nats(layout) as server:
        client = await connect(server.url, topology.ORCHESTRATOR, seed_file=None)
        try:
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
        finally:
            await client.close()

"""Publishing when acknowledgements never come: the client must not run out of places for later ones."""

import pytest
from nats.js.api import StreamConfig

from stagewright.messaging import publishing
from stagewright.messaging.connecting import connect
from stagewright.messaging.envelope import Envelope
from stagewright.messaging.publishing import Outgoing, publish_all
from stagewright.messaging.topology import ORCHESTRATOR
from tests.support.eventually import eventually
from tests.support.parts import NatsServer


def _outgoing(number: int) -> Outgoing:
    headers = Envelope(str(number), "t", "s", "2026-11-23T10:00:00Z", "order", "cause")
    return Outgoing("mute.subject", "MUTE", b"{}", headers)


async def test_lost_acknowledgements_leave_nothing_behind(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "PUBLISH_TIMEOUT", 0.2)
    client = await connect(nats_server.url, ORCHESTRATOR, seed_file=None)
    js = client.jetstream(publish_async_max_pending=10)
    await js.add_stream(StreamConfig(name="MUTE", subjects=["mute.>"], no_ack=True))
    try:
        for round_ in range(3):
            with pytest.raises(TimeoutError):
                await publish_all(js, [_outgoing(round_ * 5 + number) for number in range(5)])

        await eventually(js.publish_async_pending, until=lambda pending: pending == 0)
    finally:
        await js.delete_stream("MUTE")
        await client.close()

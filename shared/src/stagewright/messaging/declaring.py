"""Makes the topology true on a server: only the orchestrator declares, everybody else finds."""

from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig
from nats.js.errors import APIError, NotFoundError

from stagewright.errors import Terminal
from stagewright.messaging.topology import ACK_WAIT, DURABLES, STREAMS, Durable

_UPDATE_REFUSED = 10052


def _consumer_config(durable: Durable) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=durable.name,
        filter_subjects=list(durable.filters) or None,
        ack_policy=AckPolicy.EXPLICIT,
        deliver_policy=DeliverPolicy.ALL,
        ack_wait=ACK_WAIT,
        max_deliver=-1,
        max_ack_pending=durable.max_ack_pending,
        max_waiting=512,
        # A work-queue holds exactly what is not acknowledged: the consumer's state may die with the server.
        mem_storage=True,
        num_replicas=1,
    )


async def declare(js: JetStreamContext) -> None:
    """Make every stream and durable consumer exist as declared here. Safe to repeat.

    Raises:
        Terminal: `topology.mismatch`, where a durable exists with another configuration (the server would
            otherwise go on with the old one in silence), or a stream with one that cannot be changed.
    """
    for stream in STREAMS:
        await _declare_stream(js, stream)
    for durable in DURABLES:
        await _declare_consumer(js, durable)


async def _declare_stream(js: JetStreamContext, stream: StreamConfig) -> None:
    if not await _exists(js, stream):
        await js.add_stream(stream)
        return
    try:
        await js.update_stream(stream)
    except APIError as error:
        if error.err_code != _UPDATE_REFUSED:
            raise
        raise Terminal(
            "topology.mismatch",
            stream.name or "",
            f"the stream cannot become what this version declares: {error.description}.",
            "Delete the stream while the services are stopped; what is open is published again from the log.",
        ) from error


async def _exists(js: JetStreamContext, stream: StreamConfig) -> bool:
    try:
        await js.stream_info(stream.name or "")
    except NotFoundError:
        return False
    return True


async def _declare_consumer(js: JetStreamContext, durable: Durable) -> None:
    wanted = _consumer_config(durable)
    try:
        found = (await js.consumer_info(durable.stream, durable.name)).config
    except NotFoundError:
        await js.add_consumer(durable.stream, wanted)
        return
    filters = tuple(found.filter_subjects or ([found.filter_subject] if found.filter_subject else []))
    for field, want, have in (
        ("filters", durable.filters, filters),
        ("ack_wait", wanted.ack_wait, found.ack_wait),
        ("max_ack_pending", wanted.max_ack_pending, found.max_ack_pending),
    ):
        if want != have:
            raise Terminal(
                "topology.mismatch",
                f"{durable.stream}/{durable.name}",
                f"the consumer's {field} is {have}, not {want}.",
                "Delete the consumer while the services are stopped; it is made again at start.",
            )

"""Presence on the bus: each service answers `$SRV.PING.<name>` as a NATS micro service (ADR-32)."""

from nats.aio.client import Client
from nats.micro import add_service
from nats.micro.service import Service, ServiceConfig

from stagewright import __version__
from stagewright.messaging.answering import guarded


async def announce(client: Client, name: str, description: str) -> Service:
    """Register the service; who pings it knows that it is connected and serving. It answers inboxes only."""
    config = ServiceConfig(name=name, version=__version__, description=description)
    return await add_service(guarded(client), config)

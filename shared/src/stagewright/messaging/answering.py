"""Whom a service answers: inboxes, and nobody else.

The sender of a request names the subject of the reply, and the service publishes there with its own rights.
A reply subject like `commands.…` or `$JS.API.STREAM.PURGE.…` would borrow them.
"""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

_INBOXES = ("_INBOX.", "_INBOX_")


def is_inbox(subject: str | None) -> bool:
    """Whether this reply subject is an inbox: `_INBOX.…`, or `_INBOX_<user>.…` as our users have."""
    return subject is not None and subject.startswith(_INBOXES)


class _Guarded:
    """A client whose subscriptions see only requests that may be answered."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def subscribe(
        self, subject: str, queue: str = "", cb: Callable[[Msg], Awaitable[None]] | None = None
    ) -> Subscription:
        async def asked(msg: Msg) -> None:
            if cb and is_inbox(msg.reply):
                await cb(msg)

        return await self._client.subscribe(subject, queue=queue, cb=asked)


def guarded(client: Client) -> Client:
    """`client`, as a micro service may have it: what names no inbox for the reply is not heard."""
    return cast(Client, _Guarded(client))

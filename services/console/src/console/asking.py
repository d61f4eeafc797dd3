"""Asking over the bus: a request, its reply of the contract, and errors that say what to do."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import TypeVar

import nats.errors
from nats.aio.client import Client
from pydantic import BaseModel, ValidationError

from stagewright.contracts.base import Contract
from stagewright.contracts.queries import QueryError
from stagewright.errors import ErrorInfo, Retryable, StagewrightError, Terminal
from stagewright.messaging.connecting import BusHealth

View = TypeVar("View", bound=BaseModel)

_TRY = 5.0
_NO_RESPONDERS_PAUSE = 0.25


class Unreachable(Retryable):
    """The bus, or the service behind a subject, does not answer."""


class Asking:
    """Requests on one connection."""

    def __init__(self, client: Client, health: BusHealth) -> None:
        self._client = client
        self._health = health

    async def ask(self, subject: str, query: Contract | None, view: type[View]) -> View:
        """The answer to a query.

        Raises:
            StagewrightError: what the service says instead. Unreachable: nobody answers.
        """
        body = query.model_dump_json().encode() if query else b""
        try:
            reply = await self._client.request(subject, body, timeout=_TRY)
        except (nats.errors.TimeoutError, nats.errors.NoRespondersError) as error:
            raise self.silent(subject, error) from error
        return _parsed(view, reply.data, subject)

    async def send(
        self, subject: str, body: bytes, headers: Mapping[str, str], view: type[View], timeout: float
    ) -> View:
        """The answer to what is safe to repeat: where no reply comes, it is sent again with the same headers.

        Raises:
            Unreachable: nobody answered within `timeout` seconds.
            Terminal: `order.too_large`, more than the bus carries.
        """
        self._check_size(body)
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            try:
                reply = await self._client.request(
                    subject, body, timeout=max(0.1, min(_TRY, left)), headers=dict(headers)
                )
                return _parsed(view, reply.data, subject)
            except (nats.errors.TimeoutError, nats.errors.NoRespondersError) as error:
                if deadline - time.monotonic() <= 0 or self._hopeless(error, deadline, timeout):
                    raise self.silent(subject, error) from error
                await asyncio.sleep(_NO_RESPONDERS_PAUSE)

    def silent(self, subject: str, error: Exception) -> Unreachable:
        """The error of a subject that does not answer."""
        if isinstance(error, nats.errors.NoRespondersError):
            reason = "the bus answers, but no service listens there."
        elif self._health.last_error:
            reason = f"no answer in time; the bus said: {self._health.last_error}."
        else:
            reason = "no answer in time."
        return Unreachable(
            "bus.no_answer", subject, reason, "See `stagewright status` and `stagewright doctor`."
        )

    def _check_size(self, body: bytes) -> None:
        if len(body) > self._client.max_payload:
            raise Terminal(
                "order.too_large",
                "",
                f"the order has {len(body)} bytes, more than the bus carries.",
                "Write it in at most 64 KiB; describe one environment only.",
            )

    @staticmethod
    def _hopeless(error: Exception, deadline: float, timeout: float) -> bool:
        """Nobody listens: give a restarting service two seconds, not the whole timeout."""
        waited = timeout - (deadline - time.monotonic())
        return isinstance(error, nats.errors.NoRespondersError) and waited > min(2.0, timeout)


def _parsed(view: type[View], data: bytes, subject: str) -> View:
    with contextlib.suppress(ValidationError):
        return view.model_validate_json(data)
    with contextlib.suppress(ValidationError):
        raise failure(QueryError.model_validate_json(data).error)
    raise Terminal(
        "bus.reply_invalid",
        subject,
        "the reply is not of the contract.",
        "Run the same version of the console and of the services.",
    )


def failure(info: ErrorInfo) -> StagewrightError:
    """The error that a service's `info` stands for."""
    kind = Terminal if info.kind == "terminal" else Retryable
    return kind(info.code, info.resource, info.reason, info.remedy, retry_after=info.retry_after)

"""Headers of every message: CloudEvents 1.0 attributes, correlation, causation and W3C trace context.

Sources: CloudEvents NATS protocol binding 1.0 (binary mode, `ce-` prefix); W3C Trace Context, level 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from stagewright.contracts.base import Message
from stagewright.ids import derived_id


@dataclass(frozen=True)
class Envelope:
    """What a message says about itself beside its body.

    `correlation_id` is the order's id; `causation_id` is the id of the message that this one follows from.
    """

    id: str
    type: str
    source: str
    time: str
    correlation_id: str
    causation_id: str

    def headers(self) -> dict[str, str]:
        """A fresh dict each time: the client writes into what it is given."""
        return {
            "Nats-Msg-Id": self.id,
            "ce-specversion": "1.0",
            "ce-id": self.id,
            "ce-type": self.type,
            "ce-source": self.source,
            "ce-time": self.time,
            "content-type": "application/json",
            "correlation-id": self.correlation_id,
            "causation-id": self.causation_id,
            "traceparent": traceparent(self.correlation_id, self.id),
        }


def traceparent(correlation_id: str, message_id: str) -> str:
    """One trace per order: the trace id follows from the order, the span id from the message."""
    return f"00-{_trace(correlation_id)}-{derived_id('span', message_id).hex[:16]}-01"


@lru_cache(maxsize=4096)
def _trace(correlation_id: str) -> str:
    return derived_id("trace", correlation_id).hex


def envelope(
    message: Message,
    *,
    message_id: UUID | str,
    source: str,
    time: str,
    correlation_id: str,
    causation_id: str,
) -> Envelope:
    """The envelope of a message under its own type."""
    return Envelope(str(message_id), message.ce_type, source, time, correlation_id, causation_id)


def header(headers: Mapping[str, str] | None, name: str) -> str | None:
    """A header's value, whatever its case; None where it is missing."""
    if not headers:
        return None
    value = headers.get(name)
    if value is not None:
        return value
    return next((found for key, found in headers.items() if key.lower() == name.lower()), None)

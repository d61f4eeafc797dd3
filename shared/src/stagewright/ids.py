"""Identifiers: UUIDv7 for what is new, UUIDv5 of a name for what must come out the same every time."""

import os
import time
from hashlib import sha1
from uuid import UUID

NAMESPACE = UUID("5f0c1f3e-7a55-5c0b-9d6e-2b1f4a9c3d10")
_PREFIX = NAMESPACE.bytes


def uuid7() -> UUID:
    """A time-ordered UUID, version 7 (RFC 9562, section 5.7)."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def derived_id(*parts: str | int) -> UUID:
    """The UUIDv5 of the parts, in this project's namespace; parts never contain a NUL."""
    name = "\0".join([str(part) for part in parts])
    return UUID(bytes=sha1(_PREFIX + name.encode()).digest()[:16], version=5)  # noqa: S324 - RFC 9562 says so


def command_id(order_id: str, stage: str, service: str | None, attempt: int) -> UUID:
    """A command's id: the same order, stage, service and attempt always give the same command."""
    return derived_id("command", order_id, stage, service or "", attempt)


def outcome_id(command: UUID, fence: int | None) -> UUID:
    """The id of the event that says what came of a command when it was done under this fencing token.

    Done again under another lease it is another event: whoever reads both sees that there were two.
    """
    return derived_id("outcome", str(command), "" if fence is None else fence)

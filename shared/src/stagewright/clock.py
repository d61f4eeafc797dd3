"""Time as it travels: RFC 3339 in UTC with microseconds, so that text order is time order."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The present moment, in UTC. Only edges call it; decisions get `now` handed in."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """`2026-11-23T10:00:00.000000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[: -len("+00:00")] + "Z"


def parse_rfc3339(text: str) -> datetime:
    """The moment that `rfc3339` wrote.

    Raises:
        ValueError: the text is no such moment.
    """
    return datetime.fromisoformat(text)

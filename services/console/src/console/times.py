"""Times as people read them."""

from stagewright.clock import parse_rfc3339


def when(at: str | None) -> str:
    """A moment as people read it, in local time."""
    return parse_rfc3339(at).astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else ""


def seconds_between(start: str | None, end: str | None) -> str:
    """`1.23 s`, or nothing where one of them is missing."""
    if not start or not end:
        return ""
    return f"{(parse_rfc3339(end) - parse_rfc3339(start)).total_seconds():.2f} s"

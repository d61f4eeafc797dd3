"""Polling instead of sleeping: a condition holds eventually, or the test says what was last seen."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
INTERVAL = 0.02
"""Seconds between two looks."""


async def eventually(
    look: Callable[[], T | Awaitable[T]], *, timeout: float = 10, until: Callable[[T], object] = bool
) -> T:
    """Look (plain or async) until `until` holds of what is seen, and return that.

    An AssertionError raised by `look` counts as not yet. Raises AssertionError after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        last: object
        try:
            seen = look()
            last = value = await seen if inspect.isawaitable(seen) else seen
            if until(value):
                return value
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s; last seen: {last!r}")
        await asyncio.sleep(INTERVAL)


def eventually_sync(look: Callable[[], T], *, timeout: float = 10, until: Callable[[T], object] = bool) -> T:
    """The same for tests that are not async."""
    deadline = time.monotonic() + timeout
    while True:
        last: object
        try:
            last = value = look()
            if until(value):
                return value
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s; last seen: {last!r}")
        time.sleep(INTERVAL)

"""Completion of ids: asks the running system, and offers nothing where it does not answer at once."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import get_args

from console.cli.common import quiet_logs
from console.client import Console, connected
from stagewright.contracts.queries import OrderListQuery, OrderStatus
from stagewright.errors import StagewrightError
from stagewright.settings import Settings

_PATIENCE = 0.8


def order_ids(incomplete: str) -> list[str]:
    """Ids of the newest orders that begin with what is typed."""
    return [found for found in _ask(_orders) if found.startswith(incomplete)]


def environment_ids(incomplete: str) -> list[str]:
    """Ids of the environments that the newest orders are about."""
    return [found for found in _ask(_environments) if found.startswith(incomplete)]


def statuses(incomplete: str) -> list[str]:
    """Statuses that an order may have."""
    return [status for status in get_args(OrderStatus) if status.startswith(incomplete)]


async def _orders(console: Console) -> list[str]:
    return [order.order_id for order in (await console.orders()).orders]


async def _environments(console: Console) -> list[str]:
    listed = await console.orders(OrderListQuery(limit=1000))
    return list(dict.fromkeys(order.environment_id for order in listed.orders))


def _ask(question: Callable[[Console], Awaitable[list[str]]]) -> list[str]:
    async def ask() -> list[str]:
        async with asyncio.timeout(_PATIENCE), connected(Settings(), timeout=_PATIENCE / 2) as console:
            return await question(console)

    quiet_logs()
    with contextlib.suppress(StagewrightError, TimeoutError, ValueError):
        return asyncio.run(ask())
    return []

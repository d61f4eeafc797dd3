"""What an installation decides once: attempts, backoff, servers. Values only."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Policy:
    """How the saga behaves. Times in seconds; `servers` maps a server's name to its address.

    `first_ports` says from which port upward a server's leases begin; 3000 where it says nothing.
    """

    max_attempts: int = 5
    backoff: float = 1.0
    backoff_cap: float = 60.0
    stage_timeout: float = 900.0
    servers: Mapping[str, str] = field(default_factory=lambda: {"server-1": "127.0.0.1"})
    first_ports: Mapping[str, int] = field(default_factory=dict)
    bucket_prefix: str = "stagewright"


def retry_at(policy: Policy, command: UUID, attempt: int, now: datetime, hint: float | None) -> datetime:
    """When to try again: exponential with full jitter between half and whole, capped; a hint is a minimum.

    The jitter follows from the command's id, so that the decision is the same each time.
    """
    ceiling = min(policy.backoff_cap, policy.backoff * 2 ** (attempt - 1))
    jitter = random.Random(command.int).uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
    return now + timedelta(seconds=max(ceiling * jitter, min(hint or 0.0, policy.backoff_cap)))

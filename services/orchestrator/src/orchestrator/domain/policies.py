"""What an installation decides once: attempts, backoff, servers. Values only."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from uuid import UUID

from stagewright.contracts.base import Stage
from stagewright.contracts.orders import Order


@dataclass(frozen=True, slots=True)
class Rule:
    """How often a piece is tried, and how long between: seconds, doubling up to a cap."""

    max_attempts: int = 5
    backoff: float = 1.0
    backoff_cap: float = 60.0


@dataclass(frozen=True, slots=True)
class Policy:
    """How the saga behaves. Times in seconds; `servers` maps a server's name to its address.

    `rules` are by error code or its first words. `first_ports` says from which port upward a server's leases
    begin; 3000 where it says nothing. `approval` are shell patterns of environments.
    """

    rule: Rule = field(default_factory=Rule)
    rules: Mapping[str, Rule] = field(default_factory=dict)
    probe: Rule = field(default_factory=lambda: Rule(max_attempts=50, backoff=0.5))
    stage_timeout: float = 900.0
    stage_timeouts: Mapping[Stage, float] = field(default_factory=dict)
    approval: tuple[str, ...] = ()
    approval_timeout: float = 86_400.0
    servers: Mapping[str, str] = field(default_factory=lambda: {"server-1": "127.0.0.1"})
    first_ports: Mapping[str, int] = field(default_factory=dict)
    bucket_prefix: str = "stagewright"

    def rule_for(self, code: str) -> Rule:
        """The rule of the longest beginning of an error code that has one."""
        words = code.split(".")
        names = (".".join(words[:count]) for count in range(len(words), 0, -1))
        return next((self.rules[name] for name in names if name in self.rules), self.rule)

    def timeout(self, order: Order, stage: Stage) -> float:
        """Seconds that a command of a stage may take: the order's word, else the stage's, else anybody's."""
        return order.timeouts.get(stage) or self.stage_timeouts.get(stage, self.stage_timeout)

    def approves(self, environment: str) -> bool:
        """Whether changes of an environment need approval whatever the order says."""
        return any(fnmatchcase(environment, pattern) for pattern in self.approval)


PATIENCE = 60.0
"""Seconds beyond a command's time in which its executor can still answer; then the saga waits no longer."""


def retry_at(rule: Rule, command: UUID, attempt: int, now: datetime, hint: float | None) -> datetime:
    """When to try again: exponential with full jitter between half and whole, capped; a hint is a minimum.

    The jitter follows from the command's id, so that the decision is the same each time.
    """
    ceiling = min(rule.backoff_cap, rule.backoff * 2 ** min(attempt - 1, 30))
    jitter = random.Random(command.int).uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
    return now + timedelta(seconds=max(ceiling * jitter, min(hint or 0.0, rule.backoff_cap)))

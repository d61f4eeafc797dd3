"""Live output of a stage: what Ansible does now, without any value that could be a secret."""

from typing import ClassVar, Literal

from stagewright.contracts.base import Message, Stage


class TaskLog(Message):
    """One Ansible task or play recap, as it happens."""

    ce_type: ClassVar[str] = "stagewright.task.logged.v1"

    order_id: str
    environment: str
    stage: Stage
    service: str | None = None
    attempt: int = 1
    task: str
    status: Literal["started", "ok", "changed", "failed", "skipped", "unreachable"]
    at: str
    duration_s: float | None = None
    detail: str | None = None

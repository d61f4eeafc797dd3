"""Fail with the first problem of a list, in the words that the task before could not say under `no_log`."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """`of`: problems `{reason, resource, remedy, retryable}`, none of which holds a secret's value.

    `result` is handed back where there are none: what a task under `no_log` found and could not say either.
    """

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Succeed where every problem is empty."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        for problem in self._task.args.get("of", []):
            if problem:
                return {**result, **problem, "failed": True, "msg": problem["reason"]}
        found = self._task.args.get("result")
        return {**result, "changed": False, **({"result": found} if found else {})}

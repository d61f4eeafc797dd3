"""supervisord's answers while a process takes its time to end."""

import runpy
import sys
import xmlrpc.client
from pathlib import Path
from typing import Any

import pytest

STEP = runpy.run_path(str(Path(__file__).parents[2] / "playbooks" / "action_plugins" / "step.py"))


class Stopping:
    """A process that supervisord is stopping already, for so many questions."""

    def __init__(self, rounds: float) -> None:
        self.rounds = rounds

    def getProcessInfo(self, _name: str) -> dict[str, str]:  # noqa: N802 - supervisord's name
        return {"statename": "STOPPING"}

    def stopProcessGroup(self, _name: str) -> list[object]:  # noqa: N802
        return []

    def removeProcessGroup(self, _name: str) -> bool:  # noqa: N802
        self.rounds -= 1
        if self.rounds > 0:
            raise xmlrpc.client.Fault(91, "STILL_RUNNING")
        return True


def supervisor(rounds: float) -> Any:
    STEP["load"]("service_process")
    module = sys.modules["ansible.module_utils.stagewright.supervision"]
    made = object.__new__(module.Supervisor)
    made._server = Stopping(rounds)
    return module, made


def test_a_process_that_is_stopping_already_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    module, made = supervisor(3)
    monkeypatch.setattr(module, "STEP_S", 0.0)
    made.remove("e-s")
    assert made._server.rounds == 0


def test_a_process_that_never_ends_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    module, made = supervisor(float("inf"))
    monkeypatch.setattr(module, "GONE_S", 0.0)
    monkeypatch.setattr(module, "STEP_S", 0.0)
    with pytest.raises(Exception, match="does not end") as caught:
        made.remove("e-s")
    assert getattr(caught.value, "answer")["retryable"]  # noqa: B009 - a class of the playbooks' own

"""Run one of our modules: in this process where the target is this machine, else as Ansible runs any module.

The shipped way costs about half a second of CPU a task before the module does anything (packing, a new
Python, compiling everything it imports), and a deployment has half a dozen tasks.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import ansible.module_utils
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

ROOT = Path(__file__).resolve().parent.parent


def load(name: str) -> ModuleType:
    """One of `library/`, with `module_utils/` where it expects it."""
    shared = str(ROOT / "module_utils")
    if shared not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(shared)
    specification = importlib.util.spec_from_file_location(f"library_{name}", ROOT / "library" / f"{name}.py")
    if specification is None or specification.loader is None:
        raise FileNotFoundError(name)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def plain(value: Any) -> Any:
    """Ansible's tagged values as plain ones."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return json.loads(json.dumps(value))


def run_here(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Validate and run, as the module's own entry point does."""
    module = load(name)
    checked = ArgumentSpecValidator(module.ARGUMENT_SPEC).validate(arguments)
    if checked.error_messages:
        return {"failed": True, "msg": "; ".join(checked.error_messages)}
    commands = importlib.import_module("ansible.module_utils.stagewright.commands")
    try:
        answer: dict[str, Any] = module.ensure(checked.validated_parameters)
    except commands.Failure as failure:
        return {"failed": True, "changed": False, **failure.answer}
    return answer


class ActionModule(ActionBase):
    """`module`: its name; `arguments`: what it takes."""

    TRANSFERS_FILES = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The module's answer."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        name, arguments = str(self._task.args["module"]), plain(self._task.args["arguments"])
        if self._connection.transport != "local":
            return {**result, **self._execute_module(name, arguments, task_vars=task_vars)}
        try:
            return {**result, **run_here(name, arguments)}
        except Exception as error:
            if not self._task.no_log:
                raise
            # Ansible prints the text of an exception, whatever the task says about logging.
            return {**result, "failed": True, "msg": type(error).__name__}

"""What every module of ours is: a specification of arguments, and a function from them to an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.stagewright.commands import Failure

Ensure = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes it so and answers `{"changed", "detail"?, "result"?}`; raises Failure."""


def main(specification: Mapping[str, Any], ensure: Ensure) -> None:
    """A module's entry point."""
    module = AnsibleModule(argument_spec=dict(specification))
    try:
        answer = ensure(module.params)
    except Failure as failure:
        module.fail_json(**failure.answer)
    else:
        module.exit_json(**answer)

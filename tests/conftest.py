"""What every test finds: real servers as fixtures (`tests/support/parts.py`)."""

import os

import pytest

pytest_plugins = [
    "tests.support.parts",
    "tests.support.ansible_world",
    "tests.support.whole_stack",
    "tests.support.proxied",
]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that need root are left out, not skipped, where nobody is root: CI runs them as root besides."""
    if os.getuid() == 0:
        return
    left_out = [item for item in items if item.get_closest_marker("root")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]

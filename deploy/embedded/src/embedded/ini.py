"""supervisord's configuration format: INI, in which a percent sign starts a substitution."""

import shlex
from collections.abc import Iterable, Mapping

Sections = Mapping[str, Mapping[str, str]]


def render(sections: Sections) -> str:
    """The text of a file; values are taken to the letter."""
    return "\n".join(f"[{name}]\n{_lines(values)}" for name, values in sections.items())


def command(argv: Iterable[str]) -> str:
    """A command line that supervisord splits into exactly these arguments."""
    return shlex.join(argv)


def environment(values: Mapping[str, str]) -> str:
    """Variables for a program, `KEY="value"` by commas.

    Raises:
        ValueError: a value has both kinds of quotes or a line break; the format has no escapes.
    """
    return ",".join(f"{key}={_quoted(key, value)}" for key, value in values.items())


def _lines(values: Mapping[str, str]) -> str:
    return "".join(f"{key}={value.replace('%', '%%')}\n" for key, value in values.items())


def _quoted(key: str, value: str) -> str:
    for quote in "\"'":
        if quote not in value and value.isprintable():
            return f"{quote}{value}{quote}"
    raise ValueError(f"the variable {key} cannot be passed on: quotes of both kinds, or a control character")

"""Free loopback ports: chosen once, kept across restarts, chosen again only where somebody else took one."""

import json
import random
import socket
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from embedded.layout import LOOPBACK
from stagewright.errors import Terminal

RANGE = range(20_000, 32_000)
"""Above the ports of deployed services (3000-9999), below the kernel's ephemeral ones (32768 and up), which
an outgoing connection of anybody could hold when the stack starts again."""

Ports = Mapping[str, int]


def choose(names: Iterable[str], kept: Ports | None = None) -> dict[str, int]:
    """A free port for each name, the kept one where it is still free.

    Raises:
        Terminal: `stack.no_free_port`.
    """
    chosen: dict[str, int] = {}
    with ExitStack() as held:
        for name in names:
            chosen[name] = _hold(held, (kept or {}).get(name))
    return chosen


def load(path: Path) -> dict[str, int]:
    """The ports that an earlier start chose; none where there was none."""
    return dict(json.loads(path.read_text())) if path.exists() else {}


def dump(ports: Ports) -> str:
    """What `load` reads."""
    return json.dumps(dict(ports), indent=1)


def _hold(held: ExitStack, preferred: int | None) -> int:
    candidates = random.sample(RANGE, 200)
    for port in [preferred, *candidates] if preferred else candidates:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # As servers do: a connection that lingers in TIME_WAIT after a restart does not take the port.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((LOOPBACK, port))
        except OSError:
            bound.close()
            continue
        held.enter_context(bound)
        return port
    raise Terminal(
        "stack.no_free_port",
        f"{LOOPBACK}:{RANGE.start}-{RANGE.stop}",
        "no free port was found.",
        "Stop what listens there, then start again.",
    )

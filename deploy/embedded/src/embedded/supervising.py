"""supervisord whose children die with it: `python -m embedded.supervising [--parent PID] -n -c FILE`.

supervisord stops its children when it is told to stop, but SIGKILL gives it no chance. Here the kernel does
it: every child asks for SIGKILL at the death of its parent, and with `--parent` supervisord itself is told
to stop when that process dies.
"""

import os
import signal
import sys
from typing import Any

from supervisor import supervisord
from supervisor.options import ServerOptions

from embedded.guard import die_with_parent


class _Options(ServerOptions):  # type: ignore[misc]
    def execve(self, filename: str, argv: list[str], env: dict[str, str]) -> Any:
        die_with_parent(os.getppid(), signal.SIGKILL)
        return super().execve(filename, argv, env)


def main(argv: list[str]) -> None:
    """Run supervisord with these arguments until it is told to stop."""
    if argv[:1] == ["--parent"]:
        die_with_parent(int(argv[1]), signal.SIGTERM)
        argv = argv[2:]
    supervisord.ServerOptions = _Options
    supervisord.main(argv)


if __name__ == "__main__":
    main(sys.argv[1:])

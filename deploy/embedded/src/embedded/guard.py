"""Run a command that dies with its parent: `guard.py PARENT_PID SIGNAL COMMAND…`.

Stands alone (no imports of ours), so that it costs some milliseconds. Linux only: see prctl(2),
PR_SET_PDEATHSIG.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int, signal_number: int) -> None:
    """Have the kernel send the signal when the parent thread ends; leave at once if it is gone already."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent is gone")


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]), signal.Signals[f"SIG{sys.argv[2]}"].value)
    os.execvp(sys.argv[3], sys.argv[3:])  # noqa: S606 - replaces this process on purpose

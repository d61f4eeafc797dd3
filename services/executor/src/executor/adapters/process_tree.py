"""Ending a process tree, by whoever is above it."""

import os
import signal

import psutil

_LOOK = 0.05


def kill_below(root: psutil.Process) -> None:
    """Kill every descendant, until none is alive: what is being killed may still be starting others.

    While the root lives and is the reaper of what is orphaned, none of them can hide from the search.
    """
    while living := _living_below(root):
        for process in living:
            kill(process.pid)
        psutil.wait_procs(living, timeout=_LOOK)


def kill(pid: int) -> None:
    """Kill one process, if it is there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _living_below(root: psutil.Process) -> list[psutil.Process]:
    try:
        found = root.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [process for process in found if _lives(process)]


def _lives(process: psutil.Process) -> bool:
    """A zombie does nothing any more, and stays until its parent asks for it."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

"""What a server's supervisor keeps running."""

import asyncio
import sys
from pathlib import Path

from stagewright.errors import Retryable
from stagewright.settings import ServerSettings

# supervisorctl says 3 where some process is not running: that is an answer, not a failure.
_ANSWERED = (0, 3)


async def processes(server: ServerSettings) -> dict[str, str]:
    """Every supervised process with its state: `RUNNING pid 4711, uptime 0:01:02`.

    Raises:
        Retryable: the supervisor does not answer.
    """
    if server.supervisor is None:
        return {}
    control = Path(sys.executable).parent / "supervisorctl"
    process = await asyncio.create_subprocess_exec(
        str(control),
        "-c",
        server.supervisor,
        "status",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    lines = [line.split(None, 2) for line in output.decode(errors="replace").splitlines()]
    if process.returncode not in _ANSWERED:
        raise Retryable(
            "server.unreachable",
            server.name,
            "its supervisor does not answer.",
            "Start supervisord on it, or correct servers[].supervisor.",
        )
    return {line[0]: " ".join(line[1:]) for line in lines if len(line) > 1}


async def check_server(server: ServerSettings) -> str:
    """One line about it. Raises as `processes` does."""
    if server.connection == "ssh":
        return "reached by executors over SSH; not asked from here"
    found = await processes(server)
    running = sum(state.startswith("RUNNING") for state in found.values())
    return f"supervises {len(found)} process{'' if len(found) == 1 else 'es'}, {running} running"

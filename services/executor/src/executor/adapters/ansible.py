"""Playbooks by ansible-runner: one child process and one private directory a run, nothing of either left."""

import asyncio
import json
import re
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import structlog

from executor.adapters import ansible_directory, ansible_process
from executor.operators.ports import OnTask, Playbook, PlaybookResult, TaskProgress, by_hand
from executor.tenure import TENURE
from stagewright.errors import Retryable, StagewrightError, Terminal
from stagewright.settings import Settings

VaultTokens = Callable[[str, str], Awaitable[str]]
"""A short-lived vault token for one play: takes environment and service."""

PLAYBOOKS = Path(__file__).resolve().parents[5] / "playbooks"
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_log = structlog.get_logger(__name__)


@dataclass
class _Report:
    """What the child said."""

    tasks: list[Mapping[str, Any]] = field(default_factory=list)
    end: dict[str, Any] | None = None


class AnsiblePlaybooks:
    """Runs the project's playbooks; see the port `Playbooks`."""

    def __init__(self, settings: Settings, vault_tokens: VaultTokens, playbooks: Path = PLAYBOOKS) -> None:
        self._run_dir = settings.executor.run_dir
        self._runs = settings.data_dir.resolve() / "runs"
        self._vault_tokens = vault_tokens
        self._playbooks = playbooks
        self._namespace: asyncio.Future[Sequence[str] | None] | None = None

    def names(self) -> Sequence[str]:
        """The playbooks there are."""
        return sorted(path.stem for path in self._playbooks.glob("*.yml"))

    async def run(self, playbook: Playbook, on_task: OnTask) -> PlaybookResult:
        """Run to the end; cancelling ends every process of the run before it returns.

        Under a lease the run also ends by itself before the lease can be another's, whatever becomes of this
        process.

        Raises:
            Terminal: `playbook.unknown`, `playbook.failed`.
            Retryable: `playbook.failed` where the task says so, `playbook.unreachable`, `playbook.timeout`,
                `playbook.died`.
        """
        file = self._file(playbook)
        token = await self._vault_tokens(*_subject(playbook))
        kept, report = ansible_directory.place(self._runs, playbook.run_id), _Report()
        try:
            with ansible_directory.private_directory(self._run_dir) as directory:
                ansible_directory.prepare(directory, playbook, file, token)
                try:
                    await self._follow(directory, playbook, report, on_task)
                finally:
                    ansible_directory.keep(directory, kept, playbook, file, report.tasks, report.end)
            return _outcome(playbook, report, kept)
        except StagewrightError as error:
            error.run = by_hand(kept)
            raise

    def _file(self, playbook: Playbook) -> Path:
        if not _RUN_ID.fullmatch(playbook.run_id):
            raise ValueError("run_id names a directory: letters, digits and hyphens")
        if playbook.name not in self.names():
            raise Terminal(
                "playbook.unknown",
                playbook.name,
                "There is no such playbook.",
                f"Use one of {', '.join(self.names())}, or install the playbooks of this version.",
            )
        return self._playbooks / f"{playbook.name}.yml"

    async def _follow(self, directory: Path, playbook: Playbook, report: _Report, on_task: OnTask) -> None:
        environment = ansible_directory.environment(directory, self._playbooks / "ansible.cfg")
        errors, tenure, prefix = directory / "child.log", TENURE.get(), await self._prefix()
        until = tenure.until if tenure else None
        process = await ansible_process.start(directory, environment, prefix, errors, until)
        beating = asyncio.create_task(ansible_process.beat(process, tenure, until))
        try:
            async with asyncio.timeout(playbook.timeout):
                await _read(process, report, on_task)
                await process.wait()
        except TimeoutError:
            raise Retryable(
                "playbook.timeout",
                playbook.name,
                f"The playbook took longer than {playbook.timeout:.0f} s; all its processes were ended.",
                "See which task took the time; raise saga.stage_timeout if it needs it.",
            ) from None
        finally:
            beating.cancel()
            await asyncio.shield(ansible_process.end(process))
            if report.end is None:
                _log.warning("the run ended early", action="ansible.ended", run_id=playbook.run_id)

    async def _prefix(self) -> Sequence[str] | None:
        """Found once, also when several runs begin at the same time."""
        if self._namespace is None:
            self._namespace = asyncio.ensure_future(ansible_process.namespace())
        return await asyncio.shield(self._namespace)


def _subject(playbook: Playbook) -> tuple[str, str]:
    return str(playbook.variables["environment"]), str(playbook.variables["service"]["id"])


async def _read(process: Process, report: _Report, on_task: OnTask) -> None:
    assert process.stdout is not None  # noqa: S101 - it was started with a pipe
    async for line in process.stdout:
        said = json.loads(line)
        if "end" in said:
            report.end = said["end"]
        else:
            progress = TaskProgress(**said["task"])
            if progress.status != "started":
                report.tasks.append(asdict(progress))
            await on_task(progress)


def _outcome(playbook: Playbook, report: _Report, kept: Path) -> PlaybookResult:
    end = report.end
    if end is None:
        raise Retryable(
            "playbook.died",
            playbook.name,
            "The process of the playbook ended before the playbook did.",
            f"See {kept}/errors.log, and whether the executor's machine lacks memory.",
        )
    if end["failure"] and end["status"] != "successful":
        _refuse(end["failure"], kept)
    if end["status"] != "successful":
        raise Terminal(
            "playbook.failed",
            playbook.name,
            f"ansible-playbook ended with code {end['code']} before any task failed: {_complaint(kept)}",
            f"See {kept}/output.log.",
        )
    return PlaybookResult(tuple(end["changed"]), end["result"], kept)


def _complaint(kept: Path) -> str:
    """Ansible's own error message: it read no secret yet."""
    lines = (kept / "output.log").read_text().splitlines()
    return next((line for line in lines if line.startswith("[ERROR]")), "it does not say why")[:500]


def _refuse(failure: Mapping[str, Any], kept: Path) -> NoReturn:
    """The error of a task that failed. Under `no_log` there is its name, and nothing else."""
    resource = failure["resource"] or failure["task"]
    reason = failure["msg"] or f"The task `{failure['task']}` failed; it holds secrets and says no more."
    remedy = failure["remedy"] or f"See {kept}/output.log; {kept}/run.sh runs it again by hand."
    if failure["status"] == "unreachable":
        raise Retryable("playbook.unreachable", resource, reason, "See that the server is up and lets us in.")
    kind = Retryable if failure["retryable"] else Terminal
    raise kind("playbook.failed", resource, str(reason)[:2000], remedy)

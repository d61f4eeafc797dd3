"""Git: which commit a repository's branch, tag or commit is, without a working copy.

Nothing of a repository is executed: no hooks, no submodules, no prompts; the transports are named one by one.
"""

import asyncio
import os
import re
import tempfile
from collections.abc import Mapping, Sequence

from stagewright.errors import Retryable, StagewrightError, Terminal
from stagewright.settings import GitSettings

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_CREDENTIALS = re.compile(r"//[^/@\s]*@")
_REFUSED = (
    "not found",
    "does not exist",
    "does not appear to be a git repository",
    "could not read username",
    "could not read password",
    "authentication failed",
    "permission denied",
    "access denied",
    "not allowed",
    "not our ref",
    "unadvertised object",
    "couldn't find remote ref",
)
_KEPT = (
    "PATH",
    "HOME",
    "SSH_AUTH_SOCK",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
)


def git_environment(settings: GitSettings, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The whole environment of a git process: mirrors as `insteadOf`, transports limited, no prompts.

    `file` is allowed only where a mirror points to a local path.
    """
    source = os.environ if base is None else base
    pairs = [(f"url.{to}.insteadOf", prefix) for prefix, to in sorted(settings.mirrors.items())]
    local = any(_is_local(to) for to in settings.mirrors.values())
    return {
        **{name: source[name] for name in _KEPT if name in source},
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oConnectTimeout=10",
        "GIT_ALLOW_PROTOCOL": "https:ssh:file" if local else "https:ssh",
        "GIT_CONFIG_COUNT": str(len(pairs)),
        **{f"GIT_CONFIG_KEY_{index}": key for index, (key, _) in enumerate(pairs)},
        **{f"GIT_CONFIG_VALUE_{index}": value for index, (_, value) in enumerate(pairs)},
    }


def _is_local(address: str) -> bool:
    return address.startswith(("/", "file:", "."))


class GitSources:
    """The `Git` port over the git command."""

    def __init__(self, settings: GitSettings) -> None:
        self._settings = settings
        self._environment = git_environment(settings)

    async def resolve(self, url: str, version: str | None) -> str:
        """See `Git.resolve`. A tag goes before a branch of the same name, as in gitrevisions(7).

        A full commit is taken where the remote advertises it or hands it out.
        """
        if version is not None and _COMMIT.match(version):
            return await self._commit(url, version)
        names = ["HEAD"] if version is None else _names(version)
        found = _refs(await self._run(url, "ls-remote", "--", url, *names))
        for name in names:
            if name in found:
                return found[name]
        raise _no_ref(url, version)

    async def _commit(self, url: str, commit: str) -> str:
        if commit in _refs(await self._run(url, "ls-remote", "--", url)).values():
            return commit
        with tempfile.TemporaryDirectory(prefix="stagewright-git-") as scratch:
            await self._run(url, "init", "--quiet", "--bare", scratch)
            fetch = ("fetch", "--quiet", "--depth=1", "--no-tags", "--filter=tree:0", "--", url, commit)
            try:
                await self._run(url, "-C", scratch, *fetch)
            except Terminal as error:
                raise _no_ref(url, commit) from error
        return commit

    async def _run(self, url: str, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            "git",
            *arguments,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._settings.timeout):
                out, err = await process.communicate()
        except TimeoutError:
            raise _unreachable(url, f"git gave no answer within {self._settings.timeout:g} s") from None
        finally:
            if process.returncode is None:
                _kill(process)
                await process.wait()
        if process.returncode:
            raise _failure(url, err.decode(errors="replace"))
        return out.decode()


def _kill(process: asyncio.subprocess.Process) -> None:
    """The whole session: git's transport helpers are children of their own."""
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        return


def _names(version: str) -> Sequence[str]:
    """Peeled tag, tag, branch: the first that exists counts."""
    return [f"refs/tags/{version}^{{}}", f"refs/tags/{version}", f"refs/heads/{version}"]


def _refs(listing: str) -> dict[str, str]:
    pairs = (line.split("\t", 1) for line in listing.splitlines() if "\t" in line)
    return {name: commit for commit, name in pairs if _COMMIT.match(commit)}


def _failure(url: str, stderr: str) -> StagewrightError:
    lines = [line for line in stderr.splitlines() if line.strip()]
    fatal = next((line for line in lines if line.lower().startswith(("fatal:", "error:"))), "git failed")
    said = _CREDENTIALS.sub("//", fatal)[:300]
    if any(sign in stderr.lower() for sign in _REFUSED):
        return Terminal(
            "repository.not_accessible",
            url,
            f"the repository is missing or closed to the executor ({said}).",
            "Correct the address, or give the executor a deploy key or credential helper.",
        )
    return _unreachable(url, said)


def _unreachable(url: str, said: str) -> Retryable:
    return Retryable(
        "repository.unreachable",
        url,
        f"the repository could not be read ({said}).",
        "Check the executor's way to the git server, or set a mirror.",
        retry_after=2.0,
    )


def _no_ref(url: str, version: str | None) -> Terminal:
    return Terminal(
        "repository.ref_not_found",
        f"{url}@{version or 'HEAD'}",
        "the repository has no such branch, tag or commit.",
        "Push it, or name a branch, a tag or a commit with all its 40 digits.",
    )

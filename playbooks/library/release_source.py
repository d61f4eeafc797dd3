"""Ansible module: the source of one exact commit, in a release directory of its own, without `.git`."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.stagewright import step
from ansible.module_utils.stagewright.commands import Failure, environment, run, tail
from ansible.module_utils.stagewright.places import ARGUMENTS, Place

ARGUMENT_SPEC: dict[str, Any] = {
    **ARGUMENTS,
    "url": {"type": "str", "required": True},
    "mirrors": {"type": "list", "elements": "list", "default": []},
}

TIMEOUT_S = 120
GUARDS = (
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "protocol.ext.allow=never",
    "-c",
    "fetch.recurseSubmodules=no",
)
TERMINAL = re.compile(
    r"not our ref|couldn't find remote ref|repository .*not found|does not appear to be a git repository"
    r"|authentication failed|could not read username|permission denied|dubious ownership"
    r"|transport '\w+' not allowed|returned error: 4(01|03|04)",
    re.IGNORECASE,
)


class Git:
    """git in one bare repository, told nothing but what it must know."""

    def __init__(self, repository: Path, mirrors: Sequence[Sequence[str]]) -> None:
        self.repository = repository
        protocols = ["https", "ssh"]
        if any(target.startswith(("file://", "/")) for _, target in mirrors):
            protocols.append("file")
        self._environment = environment(
            GIT_TERMINAL_PROMPT="0",
            GIT_ALLOW_PROTOCOL=":".join(protocols),
            GIT_SSH_COMMAND="ssh -oBatchMode=yes",
            GIT_LFS_SKIP_SMUDGE="0",
            GIT_CONFIG_COUNT=str(len(mirrors)),
            **{f"GIT_CONFIG_KEY_{n}": f"url.{to}.insteadOf" for n, (_, to) in enumerate(mirrors)},
            **{f"GIT_CONFIG_VALUE_{n}": prefix for n, (prefix, _) in enumerate(mirrors)},
        )

    def try_(self, *arguments: str, index: Path | None = None) -> tuple[bool, str]:
        """Whether it went well, and what it said."""
        extra = {"GIT_INDEX_FILE": str(index)} if index else {}
        done = run(
            ["git", *GUARDS, "--git-dir", str(self.repository), *arguments],
            cwd=self.repository, env={**self._environment, **extra}, timeout=TIMEOUT_S,
        )  # fmt: skip
        return done.returncode == 0, done.stdout + done.stderr

    def do(self, *arguments: str, index: Path | None = None) -> None:
        """Must go well.

        Raises:
            Failure: it did not.
        """
        ok, said = self.try_(*arguments, index=index)
        if not ok:
            raise Failure(f"git failed: {tail(said)}", "See what git says.", resource="git")


def fetch(git: Git, url: str, commit: str) -> bool:
    """Get the commit, if it is not here already: alone where the server gives it, else with all history."""
    if git.try_("cat-file", "-e", f"{commit}^{{commit}}")[0]:
        return False
    alone = ("fetch", "--quiet", "--no-tags", "--depth=1", "--", url, commit)
    whole = ("fetch", "--quiet", "--no-tags", "--", url, "+refs/*:refs/fetched/*")
    for arguments in (alone, whole):
        ok, said = git.try_(*arguments)
        if git.try_("cat-file", "-e", f"{commit}^{{commit}}")[0]:
            return True
    if ok or TERMINAL.search(said):
        reason = "the repository does not have it" if ok else tail(said)
        raise Failure(
            f"Commit {commit[:12]} cannot be fetched: {reason}",
            "Check the repository's address, its mirror, the access to it, and that the commit exists.",
            resource=url,
        )
    raise Failure(
        f"The repository cannot be reached: {tail(said)}", "Check the network or set a mirror.",
        resource=url, retryable=True,
    )  # fmt: skip


def check_out(git: Git, place: Place) -> None:
    """Write the tree aside and rename, so that a release directory is always whole."""
    aside = place.releases / f".{place.commit}"
    index = place.root / f"index.{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        git.do("read-tree", place.commit, index=index)
        git.do(f"--work-tree={aside}", "checkout-index", "--all", "--force", index=index)
        aside.rename(place.release)
    finally:
        index.unlink(missing_ok=True)
        shutil.rmtree(aside, ignore_errors=True)


def ensure(parameters: dict[str, Any]) -> dict[str, Any]:
    """The module's answer."""
    place = Place(parameters)
    if place.release.is_dir():
        return {"changed": False}
    repository = place.root / "repository.git"
    repository.mkdir(parents=True, exist_ok=True)
    git = Git(repository, parameters["mirrors"])
    if not (repository / "HEAD").exists():
        git.do("init", "--quiet", "--bare", "--template=")
    fetched = fetch(git, parameters["url"], place.commit)
    check_out(git, place)
    detail = f"{'fetched and ' if fetched else ''}checked out {place.commit[:12]}"
    return {"changed": True, "detail": detail}


def main() -> None:
    """Entry point."""
    step.main(ARGUMENT_SPEC, ensure)


if __name__ == "__main__":
    main()

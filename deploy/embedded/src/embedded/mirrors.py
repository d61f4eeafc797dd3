"""The example services as bare git repositories: what the one-machine stack mirrors the order's addresses to.

Commits are deterministic: author, date and message are fixed and the content is the folder's, so that one
folder is one commit on every machine.
"""

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

MANIFEST = "mirrors.toml"
BRANCH = "main"
_EPOCH = 1_700_000_000
_IGNORED = frozenset({"node_modules", "dist", "uploads", ".env", ".discovery.json"})
_CONFIG = ("-c", "core.hooksPath=/dev/null", "-c", "core.autocrlf=false", "-c", "gc.auto=0")


def build_mirrors(source: Path, target: Path) -> dict[str, str]:
    """Make or update one bare repository below `target` for every folder that `source/mirrors.toml` names.

    Idempotent: an unchanged folder leaves its repository alone, a changed one adds one commit to `main`.

    Returns:
        The order's addresses with the `file://` address of each mirror: the setting `git.mirrors`.

    Raises:
        FileNotFoundError: the manifest or a folder that it names is missing.
        subprocess.CalledProcessError: git failed; its standard error is in `stderr`.
    """
    folders: dict[str, str] = tomllib.loads((source / MANIFEST).read_text())["mirrors"]
    target.mkdir(parents=True, exist_ok=True)
    return {address: _mirror(source / name, target / f"{name}.git") for address, name in folders.items()}


def _mirror(folder: Path, repository: Path) -> str:
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    if not (repository / "HEAD").exists():
        _create(repository)
    parent = _git(repository, "rev-parse", "--verify", "--quiet", BRANCH, check=False)
    tree = _tree(folder, repository)
    if not parent or _git(repository, "rev-parse", f"{BRANCH}^{{tree}}") != tree:
        _commit(repository, tree, parent)
    return repository.resolve().as_uri()


def _create(repository: Path) -> None:
    """Build aside and rename, so that an interrupted start leaves no half repository behind."""
    aside = repository.with_name(f".{repository.name}.{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    _git(aside, "init", "--quiet", "--bare", "--template=", f"--initial-branch={BRANCH}", ".")
    aside.rename(repository)


def _tree(folder: Path, repository: Path) -> str:
    """The id of the tree of the folder's files; modes are 644 or 755, as git keeps them."""
    lines = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not path.is_symlink() and _IGNORED.isdisjoint(name.parts):
            blob = _git(repository, "hash-object", "-w", "--no-filters", "--", str(path.resolve()))
            mode = "100755" if os.access(path, os.X_OK) else "100644"
            lines.append(f"{mode} {blob}\t{name.as_posix()}\n")
    index = repository / "mirror-index"
    index.unlink(missing_ok=True)
    try:
        _git(repository, "update-index", "--index-info", index=index, text="".join(lines))
        return _git(repository, "write-tree", index=index)
    finally:
        index.unlink(missing_ok=True)


def _commit(repository: Path, tree: str, parent: str) -> None:
    count = int(_git(repository, "rev-list", "--count", BRANCH)) if parent else 0
    message = "Update the service" if parent else "Add the service"
    parents = ("-p", parent) if parent else ()
    commit = _git(repository, "commit-tree", tree, *parents, "-m", message, at=_EPOCH + count)
    _git(repository, "update-ref", f"refs/heads/{BRANCH}", commit, *((parent,) if parent else ()))


def _git(
    repository: Path,
    *arguments: str,
    check: bool = True,
    index: Path | None = None,
    text: str | None = None,
    at: int = _EPOCH,
) -> str:
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "Stagewright examples",
        "GIT_AUTHOR_EMAIL": "examples@stagewright.invalid",
        "GIT_COMMITTER_NAME": "Stagewright examples",
        "GIT_COMMITTER_EMAIL": "examples@stagewright.invalid",
        "GIT_AUTHOR_DATE": f"@{at} +0000",
        "GIT_COMMITTER_DATE": f"@{at} +0000",
        "GIT_DIR": "." if arguments[0] == "init" else str(repository.resolve()),
        **({"GIT_INDEX_FILE": str(index.resolve())} if index else {}),
    }
    done = subprocess.run(
        ["git", *_CONFIG, *arguments],
        cwd=repository,
        env=environment,
        input=text,
        capture_output=True,
        text=True,
        check=check,
        timeout=60,
    )
    return done.stdout.strip()

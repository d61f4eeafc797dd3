"""Which commit a branch, tag or commit is: the git command on real repositories, through a mirror."""

import asyncio
from pathlib import Path

import pytest

from executor.adapters.git import GitSources, git_environment
from stagewright.errors import Retryable, Terminal
from stagewright.settings import GitSettings
from tests.support.executor_bus import git

URL = "https://git.example.com/acme/api"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits on main, a branch and tags at the first; `both` is a tag and another branch."""
    where = tmp_path / "mirror" / "acme" / "api"
    where.mkdir(parents=True)
    git(where, "init", "--quiet", "--initial-branch=main")
    git(where, "commit", "--quiet", "--allow-empty", "-m", "one")
    for name in ("light", "both"):
        git(where, "tag", name)
    git(where, "tag", "-a", "annotated", "-m", "release")
    git(where, "branch", "feature/x")
    git(where, "commit", "--quiet", "--allow-empty", "-m", "two")
    git(where, "branch", "both")
    return where


@pytest.fixture
def sources(repository: Path) -> GitSources:
    mirrors = {"https://git.example.com/": f"{repository.parents[1]}/"}
    return GitSources(GitSettings(mirrors=mirrors, timeout=10))


@pytest.mark.parametrize(
    ("version", "which"),
    [
        (None, "main"),
        ("main", "main"),
        ("feature/x", "main~1"),
        ("light", "main~1"),
        ("annotated", "main~1"),
        ("both", "main~1"),
    ],
)
async def test_a_name_is_its_commit(repository: Path, sources: GitSources, version, which: str) -> None:
    assert await sources.resolve(URL, version) == git(repository, "rev-parse", which)


async def test_a_full_commit_is_taken_where_the_remote_has_it(repository: Path, sources: GitSources) -> None:
    git(repository, "commit", "--quiet", "--allow-empty", "-m", "three")
    inside = git(repository, "rev-parse", "main~1")
    assert await sources.resolve(URL, inside) == inside
    with pytest.raises(Terminal) as raised:
        await sources.resolve(URL, "0" * 40)
    assert raised.value.info.code == "repository.ref_not_found"


@pytest.mark.parametrize("version", ["nowhere", "mai", "0123abc", "ligh*"])
async def test_what_is_not_there_is_for_a_person(sources: GitSources, version: str) -> None:
    with pytest.raises(Terminal) as raised:
        await sources.resolve(URL, version)
    assert raised.value.info.code == "repository.ref_not_found"


async def test_a_missing_repository_is_for_a_person(sources: GitSources) -> None:
    with pytest.raises(Terminal) as raised:
        await sources.resolve("https://git.example.com/acme/none", None)
    assert raised.value.info.code == "repository.not_accessible"


async def test_a_server_that_is_away_is_retryable() -> None:
    with pytest.raises(Retryable) as raised:
        await GitSources(GitSettings(timeout=10)).resolve("https://127.0.0.1:9/acme/api", None)
    assert raised.value.info.code == "repository.unreachable"


async def test_a_server_that_never_answers_is_ended(repository: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(Retryable) as raised:
        await GitSources(GitSettings(timeout=0.5)).resolve(f"https://127.0.0.1:{port}/acme/api", None)
    server.close()
    assert "0.5 s" in raised.value.info.reason


@pytest.mark.parametrize("url", ["ext::sh -c touch% {canary}", "--upload-pack=touch {canary}", "{mirror}"])
async def test_no_address_runs_or_reads_what_it_should_not(
    tmp_path: Path, repository: Path, url: str
) -> None:
    canary = tmp_path / "canary"
    with pytest.raises((Terminal, Retryable)):
        await GitSources(GitSettings(timeout=10)).resolve(url.format(canary=canary, mirror=repository), None)
    assert not canary.exists()


def test_file_is_a_transport_only_with_a_local_mirror() -> None:
    def allowed(to: str) -> str:
        settings = GitSettings(mirrors={"https://github.com/": to})
        return git_environment(settings, {"SECRET": "x"})["GIT_ALLOW_PROTOCOL"]

    assert allowed("https://mirror.example.com/") == "https:ssh"
    assert allowed("/srv/mirrors/") == "https:ssh:file"
    assert allowed("file:///srv/mirrors/") == "https:ssh:file"
    assert "SECRET" not in git_environment(GitSettings(), {"SECRET": "x"})

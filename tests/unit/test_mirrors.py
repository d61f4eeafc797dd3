"""Mirrors of the example services: deterministic, idempotent, keeping history."""

import shutil
import subprocess
from pathlib import Path

import pytest

from embedded.mirrors import build_mirrors

EXAMPLES = Path(__file__).parents[2] / "examples" / "repositories"


def head(url: str) -> str:
    lines = subprocess.run(
        ["git", "ls-remote", "--", url, "HEAD"], capture_output=True, text=True, check=True
    )
    return lines.stdout.split()[0]


def log(url: str) -> list[str]:
    where = url.removeprefix("file://")
    done = subprocess.run(
        ["git", "-C", where, "log", "--format=%H"], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_every_address_of_the_example_order_has_a_mirror(tmp_path: Path) -> None:
    mirrors = build_mirrors(EXAMPLES, tmp_path / "mirrors")
    order = (EXAMPLES.parent / "orders" / "environment-3.yml").read_text()
    assert len(mirrors) == 3
    assert all(f"url: '{address}'" in order for address in mirrors)
    assert all(len(head(url)) == 40 for url in mirrors.values())


def test_one_folder_is_one_commit_everywhere(tmp_path: Path) -> None:
    first = build_mirrors(EXAMPLES, tmp_path / "one")
    copy = tmp_path / "copy"
    shutil.copytree(EXAMPLES, copy)
    (copy / "makeitsaas-manager-api" / "node_modules").mkdir(exist_ok=True)
    (copy / "makeitsaas-manager-api" / "node_modules" / "left-over.js").write_text("x")
    second = build_mirrors(copy, tmp_path / "two")
    assert [head(url) for url in first.values()] == [head(url) for url in second.values()]


def test_a_changed_folder_is_one_more_commit_and_an_unchanged_one_is_none(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(EXAMPLES, source)
    address = "https://github.com/Duwab/makeitsaas-manager-api"
    before = log(build_mirrors(source, tmp_path / "mirrors")[address])
    assert log(build_mirrors(source, tmp_path / "mirrors")[address]) == before
    (source / "makeitsaas-manager-api" / "README.md").write_text("changed\n")
    after = log(build_mirrors(source, tmp_path / "mirrors")[address])
    assert after[1:] == before
    assert len(after) == 2


def test_a_folder_that_is_missing_is_said(tmp_path: Path) -> None:
    (tmp_path / "mirrors.toml").write_text('[mirrors]\n"https://example.com/a/b" = "nowhere"\n')
    with pytest.raises(FileNotFoundError, match="nowhere"):
        build_mirrors(tmp_path, tmp_path / "mirrors")

"""The page about the saga is what the code makes it."""

from pathlib import Path

from orchestrator.diagram import document

PAGE = Path(__file__).parents[2] / "docs/reference/saga.md"


def test_the_page_is_the_one_that_the_code_writes() -> None:
    assert PAGE.read_text() == "\n".join(document()) + "\n", "run `make diagram`"

"""The mirrors of the example order, so that it runs to the letter without the world outside."""

from pathlib import Path

from embedded.layout import layout
from embedded.mirrors import MANIFEST, build_mirrors

REPOSITORIES = Path(__file__).parents[4] / "examples" / "repositories"
"""In a checkout of the project; an installation elsewhere has none."""


def example_mirrors(data_dir: Path, source: Path = REPOSITORIES) -> dict[str, str]:
    """Build the mirrors below the data directory; none where there are no examples.

    Raises:
        subprocess.CalledProcessError: git failed.
    """
    if not (source / MANIFEST).is_file():
        return {}
    return build_mirrors(source, layout(data_dir).root / "mirrors")

"""Where the one-machine stack keeps everything: one data directory, and a short private one for sockets."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from stagewright.errors import Terminal

LOOPBACK = "127.0.0.1"
SERVER = "server-1"
"""The one server that services are deployed on."""


@dataclass(frozen=True)
class Layout:
    """Paths of one stack. `run` holds sockets only: a unix socket's path may have at most 107 bytes."""

    root: Path
    run: Path

    def part(self, name: str) -> Path:
        """A part's own data directory."""
        return self.root / "parts" / name

    def socket(self, name: str) -> Path:
        """A part's unix socket."""
        return self.run / f"{name}.sock"

    @property
    def credentials(self) -> Path:
        """Seeds, keys and secret ids, one file each, all 0600."""
        return self.root / "credentials"

    @property
    def logs(self) -> Path:
        """One `<part>.log` each, rotated by the supervisor."""
        return self.root / "logs"

    @property
    def ports(self) -> Path:
        """The ports that were chosen, kept across restarts."""
        return self.root / "ports.json"

    @property
    def node_links(self) -> Path:
        """node and npm, where the machine has none of its own."""
        return self.root / "node"

    @property
    def server_home(self) -> Path:
        """Where services are deployed."""
        return self.root / "servers" / SERVER


def layout(data_dir: Path) -> Layout:
    """The layout of a data directory; writes nothing.

    Once a stack was started, `<root>/run` says where its sockets are: the runtime directory of the one who
    asks may be another than of the one who started it.
    """
    root = data_dir.expanduser().absolute()
    link = root / "run"
    if link.is_symlink() and link.readlink().parent.is_dir():
        return Layout(root, link.readlink())
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp")  # noqa: S108 - private and checked below
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:12]
    return Layout(root, base / f"stagewright-{os.getuid()}-{name}")


def make_private(directory: Path) -> None:
    """Create the directory (0700), or make sure that the one there is ours alone.

    Raises:
        Terminal: `stack.directory_not_private`, where somebody else owns it or it is a link.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise Terminal(
            "stack.directory_not_private",
            str(directory),
            "it is a link or belongs to another user.",
            "Remove it, or choose another data directory with --data-dir.",
        )
    directory.chmod(0o700)


def remember_runtime(found: Layout) -> None:
    """Let `layout` find the sockets' directory again."""
    link = found.root / "run"
    if not link.is_symlink() or link.readlink() != found.run:
        link.unlink(missing_ok=True)
        link.symlink_to(found.run)

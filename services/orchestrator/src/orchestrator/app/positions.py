"""How far everything is: kept in the store, moved together with the events that follow from it."""

from collections.abc import Callable, Mapping

from orchestrator.app.relay import NAME as RELAY

WORTH = 256
"""Messages and events that a restart may read again."""


class Positions:
    """Which positions are worth moving with the next append.

    `relay` tells how far the relay is, `stored` what the store has under a name.
    """

    def __init__(self, relay: Callable[[], int], stored: Callable[[str], int]) -> None:
        self._relay = relay
        self._stored = stored
        self._saved: dict[str, int] = {}
        self._latest: dict[str, int] = {}

    def moved(self, read: Mapping[str, int]) -> dict[str, int]:
        """Those of `read` (by stream incarnation) and the relay's that are worth storing by now.

        A position that is behind costs a restart a little reading of what decides to nothing, and storing it
        costs every append: so it moves when much has come together.
        """
        self._latest.update(read)
        self._latest[RELAY] = self._relay()
        behind = {name: value for name, value in self._latest.items() if value > self._last(name)}
        return behind if sum(value - self._last(name) for name, value in behind.items()) >= WORTH else {}

    def saved(self, positions: Mapping[str, int]) -> None:
        """These are stored now."""
        self._saved.update(positions)

    def forget(self) -> None:
        """Ask the store again: what became of the last append is not known."""
        self._saved.clear()

    def _last(self, name: str) -> int:
        if name not in self._saved:
            self._saved[name] = self._stored(name)
        return self._saved[name]

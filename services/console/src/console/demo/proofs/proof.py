"""What a proof says."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Proof:
    """One fact. `detail` stays the same as long as nothing is changed, so that two runs can be compared."""

    what: str
    subject: str
    holds: bool
    detail: str

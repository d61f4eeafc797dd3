"""Two kinds of failure: a person must change something (`Terminal`), or time may heal it (`Retryable`)."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ErrorInfo(BaseModel):
    """What an error says on the wire and to a person. Never carries a secret value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["terminal", "retryable"]
    code: str = Field(description="stable, dotted, for programs: `repository.ref_not_found`")
    resource: str = Field(description="the field or resource it is about: `services[6].repository`")
    reason: str = Field(description="what is wrong, in one sentence")
    remedy: str = Field(description="what to do about it, in one sentence")
    retry_after: float | None = Field(default=None, ge=0, description="seconds; only for retryable errors")


class StagewrightError(Exception):
    """Base of every error that a level hands to its parent; `info` is what it says to others."""

    kind: Literal["terminal", "retryable"] = "terminal"
    run: str | None = None
    """The command that does what failed again by hand, where there is one."""

    def __init__(
        self, code: str, resource: str, reason: str, remedy: str, *, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{code}: {resource}: {reason} {remedy}")
        self.info = ErrorInfo(
            kind=self.kind,
            code=code,
            resource=resource,
            reason=reason,
            remedy=remedy,
            retry_after=retry_after,
        )


class Terminal(StagewrightError):  # noqa: N818 - the field's term
    """Trying again changes nothing: a person must change something first."""

    kind = "terminal"


class Retryable(StagewrightError):  # noqa: N818 - the field's term
    """May succeed later, unchanged; `retry_after` in seconds is a hint to the saga."""

    kind = "retryable"

"""What operators ask of the world. Each port has a real adapter, and a strict double in the tests."""

import shlex
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from stagewright.settings import ServerSettings


@dataclass(frozen=True)
class TaskProgress:
    """One Ansible task as it happens; never holds a module's output where `no_log` is set."""

    task: str
    status: Literal["started", "ok", "changed", "failed", "skipped", "unreachable"]
    at: str
    duration_s: float | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Playbook:
    """One run: `variables` is order data and references, never a secret value.

    `variables` reaches the play as a JSON file that is read by `lookup('file') | from_json`; never as extra
    vars, which Ansible would template.
    """

    name: str
    """File name under `playbooks/` without `.yml`: `deploy_node`."""
    server: ServerSettings
    variables: Mapping[str, Any]
    timeout: float
    run_id: str
    """The command's id: names the private directory and the kept copy."""


@dataclass(frozen=True)
class PlaybookResult:
    """A run that ended well. `facts` is what the play handed back with the `result` of its last task."""

    changed: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    kept: Path | None = None
    """The kept copy without secrets, for running it again by hand."""

    @property
    def command(self) -> str | None:
        """What a person types on the executor's machine to run it again."""
        return by_hand(self.kept) if self.kept else None


def by_hand(kept: Path) -> str:
    """The command that runs a kept copy again; the token is the person's own."""
    return f"BAO_TOKEN=… {shlex.quote(str(kept / 'run.sh'))}"


OnTask = Callable[[TaskProgress], Awaitable[None]]


class Playbooks(Protocol):
    """Runs playbooks, each in a process and a private directory of its own."""

    async def run(self, playbook: Playbook, on_task: OnTask) -> PlaybookResult:
        """Run to the end. What it raises says in `run` how to run it again by hand.

        Raises:
            Terminal: the play failed for a reason that only a person can mend (code `playbook.failed`).
            Retryable: host unreachable, timeout, or the process died.
        """
        ...

    def names(self) -> Sequence[str]:
        """The playbooks there are."""
        ...


@dataclass(frozen=True)
class Zone:
    """A public DNS zone; `name` without the trailing dot."""

    id: str
    name: str


@dataclass(frozen=True)
class Record:
    """One record set of a name; `value` is None where it is not one plain value (an alias, several)."""

    name: str
    type: str
    value: str | None
    handle: Any = field(default=None, compare=False)
    """What the adapter needs to remove it again; opaque to operators."""


class Dns(Protocol):
    """Public DNS. Every method may raise Retryable (`dns.unavailable`) or Terminal (`dns.refused`)."""

    async def zones(self) -> Sequence[Zone]:
        """Every public zone of the account."""
        ...

    async def create_zone(self, name: str) -> Zone:
        """Make a zone; repeating it, also from elsewhere and after a lost response, makes no second one."""
        ...

    async def records(self, zone: Zone, name: str) -> Sequence[Record]:
        """The A, AAAA and CNAME records of exactly this name."""
        ...

    async def change(self, zone: Zone, upsert: Sequence[Record], remove: Sequence[Record] = ()) -> None:
        """Remove and write records, all or none."""
        ...


class Buckets(Protocol):
    """Object storage for fronts. Raises Retryable (`bucket.unavailable`) or Terminal (`bucket.…`)."""

    async def exists(self, bucket: str) -> bool:
        """Whether the bucket is there and ours."""
        ...

    async def create(self, bucket: str) -> None:
        """Make the bucket; one that is there already is as good as made.

        Raises:
            Terminal: `bucket.name_taken`: somebody else has it.
        """
        ...

    async def is_readable(self, bucket: str) -> bool:
        """Whether anybody may read objects (and no more than that)."""
        ...

    async def make_readable(self, bucket: str) -> None:
        """Let anybody read objects by their name: neither list nor write."""
        ...

    async def delete(self, bucket: str) -> Literal["removed", "missing", "kept"]:
        """Remove the bucket if it is ours and empty; `missing` where there is none, or it is not ours."""
        ...

    async def read_json(self, bucket: str, key: str) -> Mapping[str, Any] | None:
        """A small JSON object; None where it, or its bucket, is missing or no JSON object."""
        ...


class Vault(Protocol):
    """Secrets by path under the mount. Values go in and never come out here.

    Raises Retryable (`vault.unavailable`) or Terminal (`vault.refused`, `vault.path_invalid`).
    """

    async def version(self, path: str) -> int | None:
        """The current version of a secret; None where there is none, or it was deleted."""
        ...

    async def versions(self, path: str) -> Mapping[int, bool]:
        """Every version that is not destroyed, and whether it can be read: False after a soft delete."""
        ...

    async def create(self, path: str, value: str) -> tuple[int, bool]:
        """Store `value` where nothing is; (version, whether this call made it). Never overwrites."""
        ...

    async def delete(self, path: str, versions: Sequence[int]) -> None:
        """Delete these versions softly."""
        ...

    async def undelete(self, path: str, versions: Sequence[int]) -> None:
        """Make these versions readable again."""
        ...


@dataclass(frozen=True)
class SiteRoute:
    """One path of one domain: an upstream `host:port`, or a place in a bucket."""

    domain: str
    path: str
    upstream: str | None = None
    bucket: str | None = None
    prefix: str | None = None


class Proxy(Protocol):
    """The reverse proxy in front of the environments. Raises Retryable (`proxy.unavailable`)."""

    async def ensure(
        self, environment: str, routes: Sequence[SiteRoute], *, maintenance: bool = False
    ) -> bool:
        """Make the environment's site exactly these routes; True where something changed.

        Without routes it has no site. In maintenance every domain of the routes answers 503, and no service
        is asked.
        Other environments' sites stay as they are, also when several change at the same time.

        Raises:
            Terminal: `proxy.invalid`: the proxy refused the configuration, and serves the old one still;
                `proxy.domain_taken`: another environment serves one of the domains.
        """
        ...

    async def taken(self, environment: str) -> Collection[str]:
        """The domains of all other environments' sites."""
        ...


class Git(Protocol):
    """Source repositories, through the configured mirrors."""

    async def resolve(self, url: str, version: str | None) -> str:
        """The full commit that a branch, tag or commit stands for; the default branch without one.

        Raises:
            Terminal: `repository.ref_not_found`, `repository.not_accessible`.
            Retryable: `repository.unreachable`.
        """
        ...


@dataclass(frozen=True)
class Running:
    """What a server says about one service."""

    commit: str | None
    port: int | None
    supervised: bool
    """The process is up and under supervision."""


class Hosts(Protocol):
    """What can be seen on a server without changing it. Raises Retryable (`server.unreachable`)."""

    async def look(self, server: ServerSettings, environment: str, service: str) -> Running | None:
        """What is deployed and running for a service; None where nothing was ever deployed."""
        ...

    async def listening(self, server: ServerSettings) -> Mapping[int, int | None]:
        """Listening TCP ports, each with its process id where that can be known."""
        ...

    async def owns(self, server: ServerSettings, environment: str, service: str, pid: int | None) -> bool:
        """Whether the process is the supervised one of the service, or descends from it."""
        ...

    async def answers(self, server: ServerSettings, port: int) -> bool:
        """Whether `GET http://<address>:<port>/health` gives 2xx."""
        ...

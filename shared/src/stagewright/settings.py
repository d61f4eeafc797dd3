"""Settings: one validated model for every service.

Sources, the first that speaks wins: `STAGEWRIGHT_*` environment variables (nested with `__`), then
`stagewright.toml` in the working directory (or `STAGEWRIGHT_CONFIG`), then the connection file that the
one-machine stack writes (`<data_dir>/connection.toml`), then the defaults.
"""

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from stagewright.contracts.base import Stage

CONNECTION_FILE = "connection.toml"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NatsSettings(_Part):
    """The bus. `credentials` is a directory with one `<user>.nk` NKey seed file for each user needed here."""

    url: str = "nats://127.0.0.1:4222"
    credentials: Path | None = None

    def seed(self, user: str) -> Path | None:
        """The seed file of a user, None where the server asks for none."""
        return self.credentials / f"{user}.nk" if self.credentials else None


class VaultSettings(_Part):
    """OpenBao or Vault: KV v2 under `mount`, AppRole login; the secret id stays in its file."""

    address: str = "http://127.0.0.1:8200"
    mount: str = "stagewright"
    role_id: str | None = None
    secret_id_file: Path | None = None
    ca_file: Path | None = None


class AwsSettings(_Part):
    """Route 53 and S3. Without endpoints and credentials here, boto3's own chain decides."""

    region: str = "eu-west-1"
    route53_endpoint: str | None = None
    s3_endpoint: str | None = None
    credentials_file: Path | None = Field(default=None, description="shared credentials file for boto3")
    bucket_prefix: str = Field(
        default="stagewright", description="buckets are `<prefix>-<environment>`, lower case"
    )


class ProxySettings(_Part):
    """Caddy. `dns_target` is what domains point at: an IPv4 address (A) or a host name (CNAME)."""

    admin: str = Field(default="unix//run/caddy/admin.sock", description="`unix/<path>` or an http address")
    dns_target: str = "127.0.0.1"
    https_port: int = 443
    listen: str = Field(default="", description="address that the sites listen on; empty for all")
    root_ca: Path | None = Field(default=None, description="where clients find the CA of internal TLS")
    internal_tls: bool = True
    s3_upstream: str | None = Field(
        default=None, description="host:port of S3 for fronts; from s3_endpoint if unset"
    )


class DatabaseServerSettings(_Part):
    """The PostgreSQL server that services get their databases on.

    Its superuser's password is in the vault at `password_path` (field `value`).
    """

    host: str = "127.0.0.1"
    port: int = 5432
    user: str = "postgres"
    password_path: str = "platform/postgres"  # noqa: S105 - a path, not a password
    bin: str | None = Field(
        default=None,
        description="directory of a pg_dump of the server's version, on executors; PATH decides if unset",
    )


class ServerSettings(_Part):
    """A server that services are deployed on."""

    name: str
    address: str = Field(
        default="127.0.0.1", description="where the proxy and the discovery find its services"
    )
    connection: Literal["local", "ssh"] = "local"
    home: Path = Field(
        default=Path("/srv/stagewright"), description="directory of deployments on that server"
    )
    supervisor: str | None = Field(
        default=None,
        description="supervisord's configuration file on that server: `supervisorctl -c` takes it",
    )
    first_port: int = Field(
        default=3000, ge=3000, le=9999, description="leases of ports go upward from here, and around"
    )
    node_bin: str | None = Field(default=None, description="directory of node and npm; PATH decides if unset")


class GitSettings(_Part):
    """Where sources come from. `mirrors` maps address prefixes to others, as git's `insteadOf` does."""

    mirrors: dict[str, str] = Field(default_factory=dict)
    timeout: float = 60


class ExecutorSettings(_Part):
    """How an executor works."""

    slots: int = Field(default=4, ge=1, le=1024, description="commands at once")
    run_dir: Path | None = Field(
        default=None, description="private directories of runs; tmpfs where possible"
    )
    dumps: str = Field(
        default="",
        description="where databases are dumped before they are dropped: a directory, or "
        "`s3://bucket/prefix` (no bucket of fronts); empty: `dumps` in the data directory",
    )


class RetryRule(_Part):
    """How often a class of errors is tried, and how long between: seconds, doubling up to a cap."""

    max_attempts: int = Field(default=5, ge=1, le=50)
    backoff: float = Field(default=1.0, gt=0)
    backoff_cap: float = Field(default=60.0, gt=0)


class SagaSettings(RetryRule):
    """How the saga treats failures and time. Its own rule is for every error without one in `retries`."""

    retries: dict[str, RetryRule] = Field(
        default_factory=dict,
        description="rules by error code or the first words of it: `repository`, `vault.unavailable`",
    )
    stage_timeout: float = Field(default=900.0, gt=0, description="seconds that one command may take")
    stage_timeouts: dict[Stage, float] = Field(
        default_factory=dict, description="the same, for single stages"
    )
    approval: tuple[str, ...] = Field(
        default=(), description="environments whose changes need approval, as shell patterns: `prod-*`"
    )
    approval_timeout: float = Field(default=86_400.0, gt=0, description="seconds until a plan is denied")
    probe_backoff: RetryRule = RetryRule(max_attempts=50, backoff=0.5, backoff_cap=60.0)
    """How often services that are up but incomplete are asked again whether they are ready."""


class Settings(BaseSettings):
    """Everything that an installation can set. Profiles: `local` (the one-machine stack), `test`, and
    `production` (everything external, nothing embedded, credentials required)."""

    model_config = SettingsConfigDict(
        env_prefix="STAGEWRIGHT_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    profile: Literal["local", "test", "production"] = "local"
    data_dir: Path = Path(".stagewright")
    event_store: str = Field(default="", description="postgresql://… or empty: SQLite in the data directory")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    nats: NatsSettings = NatsSettings()
    vault: VaultSettings = VaultSettings()
    aws: AwsSettings = AwsSettings()
    proxy: ProxySettings = ProxySettings()
    database: DatabaseServerSettings = DatabaseServerSettings()
    servers: tuple[ServerSettings, ...] = ()
    git: GitSettings = GitSettings()
    executor: ExecutorSettings = ExecutorSettings()
    saga: SagaSettings = SagaSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment, then the project's file, then what the one-machine stack wrote."""
        config = Path(os.environ.get("STAGEWRIGHT_CONFIG", "stagewright.toml"))
        data_dir = Path(os.environ.get("STAGEWRIGHT_DATA_DIR", ".stagewright"))
        return (
            init_settings,
            env_settings,
            TomlConfigSettingsSource(settings_cls, config),
            TomlConfigSettingsSource(settings_cls, data_dir / CONNECTION_FILE),
        )

    @model_validator(mode="after")
    def _production_is_external(self) -> Self:
        if self.profile == "production":
            missing = [
                name
                for name, value in (
                    ("nats.credentials", self.nats.credentials),
                    ("vault.role_id", self.vault.role_id),
                    ("vault.secret_id_file", self.vault.secret_id_file),
                    ("event_store", self.event_store),
                )
                if not value
            ]
            if missing:
                raise ValueError(f"profile production needs {', '.join(missing)}")
        return self

    @model_validator(mode="after")
    def _dumps_are_private(self) -> Self:
        """Anybody may read the buckets of fronts, and a front's deployment removes what is not its own."""
        bucket = self.executor.dumps.removeprefix("s3://").partition("/")[0]
        fronts = f"{self.aws.bucket_prefix}-".lower()
        if self.executor.dumps.startswith("s3://") and bucket.lower().startswith(fronts):
            raise ValueError(
                f"executor.dumps must not name a bucket that begins with {fronts} (aws.bucket_prefix): "
                "anybody may read buckets of that name. Use a private bucket with another name"
            )
        return self

"""What playbooks act on: real servers in one layout, mirrors of the example services, documents for plays."""

import json
import random
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import httpx
import pytest

from embedded.mirrors import build_mirrors
from executor.adapters.ansible import AnsiblePlaybooks
from executor.adapters.vault import VaultSecrets
from executor.operators.documents import deployment_document
from executor.operators.ports import Playbook, PlaybookResult, TaskProgress
from executor.operators.service import Removal, ServiceOperator
from executor.operators.world import World
from stagewright.contracts.commands import DeployService, RemoveService
from stagewright.contracts.work import Allocation, Deployable, Location, SecretRef
from stagewright.settings import ExecutorSettings, GitSettings, ServerSettings, Settings
from tests.support.executor_doubles import memory_world
from tests.support.parts import (
    Postgres,
    fresh_layout,
    run_openbao,
    run_postgres,
    run_seaweed,
    run_supervisord,
)

EXAMPLES = Path(__file__).parents[2] / "examples" / "repositories"
AUTH = "https://github.com/makeitsaas/makeitsaas-auth-instance"
MANAGER = "https://github.com/Duwab/makeitsaas-manager-api"
FRONT = "https://github.com/Duwab/makeitsaas-manager-front"


@dataclass
class AnsibleWorld:
    """The servers with one executor's adapters over them."""

    settings: Settings
    vault: VaultSecrets
    postgres: Postgres
    work: Path
    tasks: list[TaskProgress] = field(default_factory=list)

    @property
    def server(self) -> ServerSettings:
        return self.settings.servers[0]

    @property
    def playbooks(self) -> AnsiblePlaybooks:
        return AnsiblePlaybooks(self.settings, self.vault.short_lived_token)

    @property
    def s3(self) -> Any:
        aws = self.settings.aws
        key, secret = credentials_of(aws.credentials_file)
        return boto3.client(
            "s3", region_name=aws.region, endpoint_url=aws.s3_endpoint,
            aws_access_key_id=key, aws_secret_access_key=secret,
        )  # fmt: skip

    async def secret(self, path: str, value: str) -> SecretRef:
        version, _ = await self.vault.create(path, value)
        return SecretRef(name=path.rsplit("/", 1)[-1], path=path, version=version)

    async def run(self, command: DeployService, **changes: Any) -> PlaybookResult:
        playbook = self.playbook(command)
        self.tasks.clear()

        async def on_task(progress: TaskProgress) -> None:
            self.tasks.append(progress)

        return await self.playbooks.run(replace(playbook, **changes), on_task)

    def playbook(self, command: DeployService) -> Playbook:
        return Playbook(
            name=f"deploy_{command.service.type}",
            server=self.server,
            variables=deployment_document(command, self.settings),
            timeout=120,
            run_id=str(command.command_id),
        )

    def world(self) -> World:
        """What operators act on; only the playbooks of it are real."""
        return memory_world(self.settings, playbooks=self.playbooks)

    async def remove(self, command: DeployService, **more: Any) -> Removal:
        """Remove what was deployed, from the allocation that it was deployed on."""
        removal = RemoveService(
            command_id=uuid4(), order_id=more.pop("order_id", "order-2"), environment=command.environment,
            service=command.service, allocation=command.allocation, **more,
        )  # fmt: skip
        self.tasks.clear()

        async def on_task(progress: TaskProgress) -> None:
            self.tasks.append(progress)

        operator = ServiceOperator(removal.environment, removal.service, self.world())
        return await operator.remove(removal, on_task)

    def service_dir(self, environment: str, service: str) -> Path:
        return self.server.home / "environments" / environment / service

    def repository(self, name: str, files: dict[str, str]) -> tuple[str, str]:
        """A repository of these files on a mirror of its own; its address and its commit."""
        source = self.work / "sources"
        address = f"https://example.com/tests/{name}"
        for path, text in files.items():
            (source / name / path).parent.mkdir(parents=True, exist_ok=True)
            (source / name / path).write_text(text)
        (source / "mirrors.toml").write_text(f'[mirrors]\n"{address}" = "{name}"\n')
        mirrors = build_mirrors(source, self.work / "mirrors")
        git = GitSettings(mirrors={**self.settings.git.mirrors, **mirrors})
        self.settings = self.settings.model_copy(update={"git": git})
        return address, head(mirrors[address])


def credentials_of(file: Path | None) -> tuple[str, str]:
    assert file is not None
    lines = dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)
    values = {key.strip(): value.strip() for key, value in lines.items()}
    return values["aws_access_key_id"], values["aws_secret_access_key"]


def head(url: str) -> str:
    done = subprocess.run(["git", "ls-remote", "--", url, "HEAD"], capture_output=True, text=True, check=True)
    return done.stdout.split()[0]


def api_command(
    world: AnsibleWorld,
    *,
    environment: str = "3",
    service: str = "6",
    url: str = AUTH,
    commit: str | None = None,
    type_: str = "node",
    database: str | None = None,
    port: int | None = None,
    secrets: tuple[SecretRef, ...] = (),
    discovery: tuple[Location, ...] = (),
    path: str = "/core",
) -> DeployService:
    return DeployService(
        command_id=uuid4(),
        order_id="order-1",
        environment=environment,
        service=Deployable(
            id=service, block="api", path=path, type=type_, repository={"url": url}, roles=("auth",)
        ),
        commit=commit or head(world.settings.git.mirrors[url]),
        allocation=Allocation(
            service=service, server=world.server.name, port=port or free_port(), database=database
        ),
        secrets=secrets,
        discovery=discovery,
        domains=("manager-api.example.com",),
    )


def front_command(
    world: AnsibleWorld, bucket: str, *, url: str = FRONT, commit: str | None = None, type_: str = "angular",
    secrets: tuple[SecretRef, ...] = (),
) -> DeployService:  # fmt: skip
    return DeployService(
        command_id=uuid4(),
        order_id="order-1",
        environment="3",
        service=Deployable(id="8", block="front", path="/", type=type_, repository={"url": url}),
        commit=commit or head(world.settings.git.mirrors[url]),
        allocation=Allocation(service="8", bucket=bucket, prefix="front-8"),
        secrets=secrets,
        domains=("manager-angular.example.com",),
    )


def free_port() -> int:
    """In the range of services."""
    for port in random.sample(range(3000, 10000), 200):
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                trial.bind(("127.0.0.1", port))
                return port
    raise AssertionError("no free port")


def get(url: str) -> httpx.Response:
    """One plain request."""
    return httpx.get(url, timeout=5, trust_env=False)


def run_by_hand(script: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What a person does with a kept run."""
    return subprocess.run(
        [str(script)], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def texts_below(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.fixture(scope="session")
def ansible_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnsibleWorld]:
    """The servers; `ansible_world` is what tests ask for."""
    work = tmp_path_factory.mktemp("ansible")
    with ExitStack() as stack:
        layout = stack.enter_context(fresh_layout())
        vault = stack.enter_context(run_openbao(layout))
        postgres = stack.enter_context(run_postgres(layout))
        server = stack.enter_context(run_supervisord(layout))
        aws = stack.enter_context(run_seaweed(layout))
        settings = Settings(
            profile="test", data_dir=work / "data", vault=vault.settings, database=postgres.settings,
            servers=(server,), aws=aws, git=GitSettings(mirrors=build_mirrors(EXAMPLES, work / "mirrors")),
            executor=ExecutorSettings(run_dir=work / "private"),
        )  # fmt: skip
        secrets = VaultSecrets(vault.settings)
        stack.callback(secrets.close)
        yield AnsibleWorld(settings, secrets, postgres, work)


@pytest.fixture
def ansible_world(ansible_servers: AnsibleWorld) -> AnsibleWorld:
    """The servers, with nothing reported yet."""
    return replace(ansible_servers, tasks=[])

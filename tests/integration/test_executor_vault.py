"""The vault adapter on a real OpenBao, with the executor's own role."""

import asyncio
from collections.abc import Iterator
from uuid import uuid4

import hvac
import pytest

from executor.adapters.vault import PLAY_TTL, VaultSecrets
from executor.operators.service import ServiceOperator
from stagewright.contracts.work import Allocation
from stagewright.errors import Retryable, Terminal
from tests.support.executor_bus import deployable
from tests.support.executor_contracts import settings
from tests.support.executor_doubles import memory_world
from tests.support.parts import OpenBao


@pytest.fixture
def vault(openbao: OpenBao) -> Iterator[VaultSecrets]:
    found = VaultSecrets(openbao.settings)
    yield found
    found.close()


@pytest.fixture
def root(openbao: OpenBao) -> hvac.Client:
    return hvac.Client(url=openbao.settings.address, token=openbao.root_token)


@pytest.fixture
def environment() -> str:
    return f"e{uuid4().hex[:10]}"


def value(root: hvac.Client, path: str, version: int | None = None) -> str:
    found = root.secrets.kv.v2.read_secret_version(
        path, version=version, mount_point="stagewright", raise_on_deleted_version=True
    )
    return found["data"]["data"]["value"]


async def test_what_is_there_is_never_overwritten(vault: VaultSecrets, root, environment: str) -> None:
    path = f"environments/{environment}/services/7/DB_PASSWORD"
    assert await vault.version(path) is None
    assert await vault.create(path, "first") == (1, True)
    assert await vault.create(path, "second") == (1, False)
    assert (await vault.version(path), value(root, path)) == (1, "first")


async def test_many_at_once_make_one(vault: VaultSecrets, root, environment: str) -> None:
    path = f"environments/{environment}/services/7/DB_PASSWORD"
    made = await asyncio.gather(*(vault.create(path, f"value-{n}") for n in range(6)))
    assert sorted(made) == [(1, False)] * 5 + [(1, True)]
    winner = next(n for n, (_, created) in enumerate(made) if created)
    assert value(root, path) == f"value-{winner}"


async def test_a_deleted_secret_is_made_anew(vault: VaultSecrets, root, environment: str) -> None:
    path = f"environments/{environment}/services/7/DB_PASSWORD"
    await vault.create(path, "first")
    root.secrets.kv.v2.delete_latest_version_of_secret(path, mount_point="stagewright")
    assert await vault.version(path) is None
    assert await vault.create(path, "second") == (2, True)
    assert value(root, path) == "second"


async def test_a_service_gets_its_secrets_once(vault: VaultSecrets, root, environment: str) -> None:
    operator = ServiceOperator(environment, deployable("7"), memory_world(settings(), vault=vault))
    allocation = Allocation(service="7", server="server-1", port=3001, database="db_7")
    first, changed = await operator.create_variables(allocation, {})
    password = value(root, changed[2])
    second, again = await operator.create_variables(allocation, {})
    assert (second, again) == (first, ())
    assert [reference.name for reference in first.secrets] == ["DB_DATABASE", "DB_USERNAME", "DB_PASSWORD"]
    assert [value(root, path) for path in changed] == ["db_7", "db_7", password]
    assert len(password) >= 40
    assert password not in first.model_dump_json()


@pytest.mark.parametrize(
    "path",
    ["../../sys/seal", "environments/../../sys", "environments//x", "environments/3/a.b", "a/%2e%2e/b", ""],
)
async def test_a_path_that_leads_elsewhere_is_refused_here(vault: VaultSecrets, path: str) -> None:
    for attempt in (vault.version(path), vault.create(path, "x")):
        with pytest.raises(Terminal) as raised:
            await attempt
        assert raised.value.info.code == "vault.path_invalid"


async def test_a_play_gets_a_token_of_its_own_that_soon_ends(
    vault: VaultSecrets, openbao, environment: str
) -> None:
    path = f"environments/{environment}/services/7/DB_PASSWORD"
    await vault.create(path, "first")
    first, second = [await vault.short_lived_token(environment, "7") for _ in range(2)]
    assert first != second
    play = hvac.Client(url=openbao.settings.address, token=first)
    assert value(play, path) == "first"
    assert play.auth.token.lookup_self()["data"]["ttl"] <= PLAY_TTL


async def test_a_token_that_was_revoked_is_replaced(vault: VaultSecrets, root, environment: str) -> None:
    path = f"environments/{environment}/services/7/DB_PASSWORD"
    await vault.version(path)
    root.auth.token.revoke(vault._client.token)
    assert await vault.create(path, "first") == (1, True)


async def test_what_the_policy_forbids_is_for_a_person(vault: VaultSecrets) -> None:
    with pytest.raises(Terminal) as raised:
        await vault.create("platform/postgres", "mine")
    assert raised.value.info.code == "vault.refused"


async def test_a_vault_that_is_away_is_retryable_and_the_value_stays_unsaid(openbao: OpenBao) -> None:
    away = openbao.settings.model_copy(update={"address": "http://127.0.0.1:9"})
    with pytest.raises(Retryable) as raised:
        await VaultSecrets(away).create("environments/3/x", "canary-value")
    assert raised.value.info.code == "vault.unavailable"
    assert "canary-value" not in repr(raised.value)

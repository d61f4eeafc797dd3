"""The vault adapter on a real OpenBao, with the executor's own role."""

import asyncio
from collections.abc import Iterator
from uuid import uuid4

import hvac
import pytest

from executor.adapters.vault import PLAY_TTL, VaultSecrets
from executor.operators.variables import EnvironmentVariablesOperator
from stagewright.contracts.work import Allocation, SecretRef, ServiceSecrets
from stagewright.errors import Retryable, Terminal
from tests.support.executor_bus import deployable
from tests.support.executor_contracts import settings
from tests.support.executor_doubles import memory_world
from tests.support.parts import OpenBao

ALLOCATION = Allocation(service="7", server="server-1", port=3001, database="db_7")


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
    operator = EnvironmentVariablesOperator(environment, memory_world(settings(), vault=vault))
    ((first,), changed) = await operator.create([deployable("7")], [ALLOCATION])
    password = value(root, changed[2])
    ((second,), again) = await operator.create([deployable("7")], [ALLOCATION])
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


async def test_a_soft_delete_hides_every_version_and_can_be_undone(
    vault: VaultSecrets, root, environment: str
) -> None:
    path = f"environments/{environment}/services/7/DB_PASSWORD"
    operator = EnvironmentVariablesOperator(environment, memory_world(settings(), vault=vault))
    assert await vault.versions(path) == {}
    await vault.create(path, "first")
    root.secrets.kv.v2.create_or_update_secret(path, {"value": "second"}, mount_point="stagewright")
    assert await vault.versions(path) == {1: True, 2: True}
    assert await operator.delete([path, f"{path}_OTHER"]) == (path,)
    assert await operator.delete([path]) == ()
    assert (await vault.versions(path), await vault.version(path)) == ({1: False, 2: False}, None)
    with pytest.raises(hvac.exceptions.InvalidPath):
        value(root, path)
    await vault.undelete(path, [1])
    assert (await vault.versions(path), value(root, path, 1)) == ({1: True, 2: False}, "first")
    assert await operator.delete([path]) == (path,)


async def test_a_destroyed_version_is_no_more(vault: VaultSecrets, root, environment: str) -> None:
    path = f"environments/{environment}/services/7/DB_PASSWORD"
    await vault.create(path, "first")
    root.secrets.kv.v2.destroy_secret_versions(path, [1], mount_point="stagewright")
    assert await vault.versions(path) == {}
    operator = EnvironmentVariablesOperator(environment, memory_world(settings(), vault=vault))
    pins = ServiceSecrets(service="7", secrets=(SecretRef(name="DB_PASSWORD", path=path, version=1),))
    with pytest.raises(Terminal) as raised:
        await operator.create([deployable("7")], [ALLOCATION], [pins])
    assert (raised.value.info.code, raised.value.info.resource) == ("variable.version_missing", path)


async def test_pinned_secrets_of_a_dropped_service_come_back(
    vault: VaultSecrets, root, environment: str
) -> None:
    operator = EnvironmentVariablesOperator(environment, memory_world(settings(), vault=vault))
    ((first,), paths) = await operator.create([deployable("7")], [ALLOCATION])
    assert set(await operator.delete(paths)) == set(paths)
    ((second,), again) = await operator.create([deployable("7")], [ALLOCATION])
    assert ([ref.version for ref in second.secrets], set(again)) == ([2, 2, 2], set(paths))
    await operator.delete(paths)
    assert await operator.create([deployable("7")], [ALLOCATION], [first]) == ((first,), tuple(sorted(paths)))
    assert await operator.create([deployable("7")], [ALLOCATION], [first]) == ((first,), ())
    passwords = {value(root, path, 1) for path in paths if path.endswith("DB_PASSWORD")}
    assert len(passwords) == 1
    assert set(await operator.delete(paths)) == set(paths)
    assert [await vault.versions(path) for path in paths] == [{1: False, 2: False}] * 3


async def test_nothing_can_be_destroyed(openbao: OpenBao, vault: VaultSecrets, environment: str) -> None:
    path = f"environments/{environment}/services/7/DB_PASSWORD"
    await vault.create(path, "first")
    play = hvac.Client(url=openbao.settings.address, token=await vault.short_lived_token(environment, "7"))
    with pytest.raises(hvac.exceptions.Forbidden):
        play.secrets.kv.v2.destroy_secret_versions(path, [1], mount_point="stagewright")
    with pytest.raises(hvac.exceptions.Forbidden):
        play.secrets.kv.v2.delete_metadata_and_all_versions(path, mount_point="stagewright")
    with pytest.raises(hvac.exceptions.Forbidden):
        play.secrets.kv.v2.update_metadata(path, max_versions=1, mount_point="stagewright")

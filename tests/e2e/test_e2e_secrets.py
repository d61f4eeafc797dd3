"""Secret values are in the vault, their service's own `.env` and the database server, and nowhere else."""

import json
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
from nats.js.errors import NotFoundError

from console.client import connected
from console.demo.scene import Scene
from console.probes.vault import vault_reader
from executor.adapters.vault import VaultSecrets
from stagewright.messaging.connecting import connect
from stagewright.messaging.topology import ORCHESTRATOR, STREAMS
from tests.support.canaries import Search, Spy, files_below, forms
from tests.support.whole_stack import WholeStack, fresh, submit, succeeded

VARIABLE = "SMTP_PASSWORD"


async def test_no_secret_value_is_anywhere_but_where_it_belongs(whole: WholeStack) -> None:
    order = whole.order(fresh("secret"))
    scene = whole.scene(order)
    order["api"]["services"][0]["variables"] = [VARIABLE]
    canary = f"canary-{secrets.token_urlsafe(24)}/+&=é"
    await store(whole, f"environments/{scene.order.environment}/variables/{VARIABLE}", canary)

    with Spy(whole.stack.supervision.pid()) as spy:
        async with connected(whole.settings, timeout=10) as console:
            order_id = await submit(console, order)
            await succeeded(console, order_id)
    assert any("ansible-playbook" in " ".join(words) for words in spy.seen), "the spy saw no run"

    search = Search({"the canary": canary, **await passwords(scene)})
    env = scene.home("6") / "current" / ".env"
    assert len(search.in_file(env)) == 2, "the search does not find what is in the service's own .env"

    found = search.in_files(path for path in where_none_may_be(whole) if not belongs(path, scene))
    found |= {
        line for words in spy.seen for line in search.in_bytes("a command line", " ".join(words).encode())
    }
    found |= search_environments(whole, search, scene)
    found |= await search_streams(whole, search)
    found |= search_commands(whole, search, scene, order_id)
    assert not found, "\n".join(sorted(found))


async def test_the_search_finds_what_is_planted(whole: WholeStack) -> None:
    value = f"planted-{secrets.token_urlsafe(24)}/+&=é"
    search = Search({"it": value})
    planted = whole.stack.layout.logs / "planted.log"
    for form in forms(value):
        planted.write_bytes(
            b"a line\n" + b"x" * ((1 << 20) - 20) + form + b"\n"
        )  # across the search's chunks
        try:
            assert search.in_files(where_none_may_be(whole)) == {f"it in {planted}"}, form
        finally:
            planted.unlink()
    assert not search.in_files(where_none_may_be(whole))


async def store(whole: WholeStack, path: str, value: str) -> None:
    """Put a value into the vault, as a person does before the order."""
    vault = VaultSecrets(whole.settings.vault)
    try:
        await vault.create(path, value)
    finally:
        vault.close()


async def passwords(scene: Scene) -> dict[str, str]:
    """The generated passwords, by the service that they are of."""
    async with vault_reader(scene.settings.vault) as vault:
        return {
            f"DB_PASSWORD of {service.spec.id}": await vault.value(
                f"environments/{scene.order.environment}/services/{service.spec.id}/DB_PASSWORD"
            )
            for service in scene.apis
        }


def where_none_may_be(whole: WholeStack) -> Iterator[Path]:
    """Every file of the stack (streams, log, views, logs, kept runs, recordings, buckets, deployed sources),
    and what runs leave in temporary directories; not the storages of the vault and of the database server."""
    layout = whole.stack.layout
    allowed = (layout.part("openbao") / "raft", layout.part("postgres"))
    yield from (
        path for path in files_below(layout.root) if not any(path.is_relative_to(one) for one in allowed)
    )
    for parent in (Path(tempfile.gettempdir()), Path("/dev/shm")):
        for leftover in parent.glob("stagewright-run-*"):
            yield from files_below(leftover)


def belongs(path: Path, scene: Scene) -> bool:
    """A service's own `.env`, readable by nobody else."""
    homes = [scene.server.home / tree / scene.order.environment for tree in ("environments", "fronts")]
    own = any(path.is_relative_to(home) for home in homes)
    return path.name == ".env" and own and path.stat().st_mode & 0o077 == 0


def search_environments(whole: WholeStack, search: Search, scene: Scene) -> set[str]:
    """The environment of every process of the stack; a deployed service has its own values there."""
    found: set[str] = set()
    for process in psutil.Process(whole.stack.supervision.pid()).children(recursive=True):
        try:
            if Path(process.cwd()).is_relative_to(scene.server.home.resolve() / "environments"):
                continue
            values = "\0".join(process.environ().values()).encode()
            found |= search.in_bytes(f"the environment of {process.name()} {process.pid}", values)
        except psutil.Error:
            continue
    return found


async def search_streams(whole: WholeStack, search: Search) -> set[str]:
    """Every message of every stream, headers included, as its readers get it."""
    seed = whole.settings.nats.seed(ORCHESTRATOR.name)
    client = await connect(whole.settings.nats.url, ORCHESTRATOR, seed_file=seed)
    found: set[str] = set()
    try:
        js = client.jetstream()
        for name in (stream.name or "" for stream in STREAMS):
            sequence, last = 1, (await js.stream_info(name)).state.last_seq
            while sequence <= last:
                try:
                    raw = await js.get_msg(name, seq=sequence, next=True, subject=">")
                except NotFoundError:
                    break  # the rest was consumed
                text = json.dumps(raw.headers or {}).encode() + (raw.data or b"")
                found |= search.in_bytes(f"{name} {raw.subject}", text)
                sequence = (raw.seq or sequence) + 1
    finally:
        await client.close()
    return found


def search_commands(whole: WholeStack, search: Search, scene: Scene, order_id: str) -> set[str]:
    """What the command line says, which is what queries answer."""
    found: set[str] = set()
    for words in (
        ("orders", "list"),
        ("orders", "show", order_id),
        ("orders", "events", order_id),
        ("environments", "show", scene.order.environment),
        ("logs", order_id),
        ("status",),
        ("doctor",),
    ):
        for output in ("text", "json"):
            done = whole.cli(*words, "-o", output)
            assert done.stdout, words
            found |= search.in_bytes(f"stagewright {' '.join(words)}", (done.stdout + done.stderr).encode())
    return found

"""Deploying APIs with the real playbooks: database, source, dependencies, files, process, health."""

import stat
from dataclasses import replace

import psycopg
import pytest

from stagewright.contracts.work import Location, SecretRef
from stagewright.errors import Retryable, Terminal
from tests.support.ansible_world import MANAGER, AnsibleWorld, api_command, get, read_json, run_by_hand
from tests.support.eventually import eventually


async def database_secrets(world: AnsibleWorld, service: str, database: str) -> tuple[SecretRef, ...]:
    base = f"environments/3/services/{service}"
    values = {"DB_DATABASE": database, "DB_USERNAME": database, "DB_PASSWORD": f"pw-{database}-0123456789"}
    return tuple([await world.secret(f"{base}/{name}", value) for name, value in values.items()])


async def test_an_api_without_dependencies_runs_and_a_second_run_changes_nothing(
    ansible_world: AnsibleWorld,
) -> None:
    world = ansible_world
    command = api_command(world, service="60")
    result = await world.run(command)
    assert result.facts["health"] == "ready"
    assert "Start the process and ask for its health" in result.changed
    address = f"http://127.0.0.1:{command.allocation.port}"
    assert get(f"{address}/core/health").json() == {"status": "ready"}
    place = world.service_dir("3", "60")
    assert read_json(place / "deployed.json").items() >= {
        "commit": command.commit, "service": "60", "type": "node", "port": command.allocation.port,
        "program": "3-60",
    }.items()  # fmt: skip
    assert (place / "current").resolve().name == command.commit
    assert stat.S_IMODE((place / "current" / ".env").stat().st_mode) == 0o600
    assert not (place / "current" / ".git").exists()

    again = await world.run(command)
    assert again.changed == ()
    assert again.facts["health"] == "ready"


async def test_an_api_gets_a_database_that_is_its_own_and_waits_for_its_peers(
    ansible_world: AnsibleWorld,
) -> None:
    world = ansible_world
    secrets = await database_secrets(world, "7", "env_3_7")
    alone = api_command(world, service="7", url=MANAGER, database="env_3_7", secrets=secrets, path="/")
    result = await world.run(alone)
    assert result.facts["health"] == "incomplete"
    address = f"http://127.0.0.1:{alone.allocation.port}"
    answer = get(f"{address}/health")
    assert (answer.status_code, answer.json()) == (503, {"status": "incomplete", "missing": ["auth"]})
    assert get(f"{address}/projects").json()["projects"][0]["name"] == "makeitsaas"
    with psycopg.connect(world.postgres.dsn) as connection:
        owner, public = connection.execute(
            "SELECT pg_get_userbyid(datdba), has_database_privilege('public', datname, 'CONNECT')"
            " FROM pg_database WHERE datname = 'env_3_7'"
        ).fetchone() or (None, None)
    assert (owner, public) == ("env_3_7", False)

    auth = api_command(world, service="61")
    await world.run(auth)
    url = f"http://127.0.0.1:{auth.allocation.port}"
    peers = (Location(service="61", roles=("auth", "discovery"), url=url),)
    together = alone.model_copy(update={"discovery": peers})
    result = await world.run(together)
    assert result.facts["health"] == "ready"
    assert "Create the database and its user" not in result.changed
    assert read_json(world.service_dir("3", "7") / "current" / ".discovery.json")[0]["url"] == url
    assert (await world.run(together)).changed == ()


async def test_a_lost_database_password_is_set_again(ansible_world: AnsibleWorld) -> None:
    world = ansible_world
    secrets = await database_secrets(world, "71", "env_3_71")
    command = api_command(world, service="71", url=MANAGER, database="env_3_71", secrets=secrets)
    await world.run(command)
    with psycopg.connect(world.postgres.dsn, autocommit=True) as connection:
        connection.execute("ALTER ROLE env_3_71 PASSWORD 'something else'")
    assert (await world.run(command)).changed == ("Create the database and its user",)


async def test_what_crashes_fails_with_its_last_words_and_the_old_release_runs_on(
    ansible_world: AnsibleWorld,
) -> None:
    world = ansible_world
    good = "require('http').createServer((_, r) => r.end('good')).listen(process.env.PORT, '127.0.0.1')"
    address, first = world.repository("crashing", {"package.json": '{"main": "index.js"}', "index.js": good})
    secret = await world.secret("environments/3/services/72/TOKEN", "canary-of-the-crash")
    command = api_command(world, service="72", url=address, commit=first, secrets=(secret,))
    assert (await world.run(command)).facts["health"] == "ready"
    bad = "console.log(process.env.TOKEN); throw new Error('no way to start')"
    _, second = world.repository("crashing", {"index.js": bad})
    with pytest.raises(Terminal) as caught:
        await world.run(command.model_copy(update={"commit": second}))
    info = caught.value.info
    assert (info.code, info.resource) == ("playbook.failed", "process 3-72")
    assert "no way to start" in info.reason
    assert "canary-of-the-crash" not in info.reason
    port = command.allocation.port
    await eventually(lambda: get(f"http://127.0.0.1:{port}/").text == "good", timeout=5)
    assert read_json(world.service_dir("3", "72") / "deployed.json")["commit"] == first


async def test_a_secret_that_it_cannot_live_with_leaves_the_same_release_running_with_the_old_one(
    ansible_world: AnsibleWorld,
) -> None:
    world = ansible_world
    source = (
        "if (process.env.TOKEN === 'canary-bad') throw new Error('this token is no good');\n"
        "require('http').createServer((_, r) => r.end(process.env.TOKEN))"
        ".listen(process.env.PORT, '127.0.0.1')"
    )
    files = {"package.json": '{"main": "index.js"}', "index.js": source}
    address, commit = world.repository("choosy", files)
    good = await world.secret("environments/3/services/81/TOKEN", "canary-good")
    bad = await world.secret("environments/3/variables/TOKEN", "canary-bad")
    command = api_command(world, service="81", url=address, commit=commit, secrets=(good,))
    await world.run(command)
    with pytest.raises(Terminal, match="no good"):
        await world.run(command.model_copy(update={"secrets": (bad,)}))
    port = command.allocation.port
    await eventually(lambda: get(f"http://127.0.0.1:{port}/").text == "canary-good", timeout=5)
    release = (world.service_dir("3", "81") / "current").resolve()
    assert "canary-good" in (release / ".env").read_text()
    assert not list(release.glob(".*.before"))


async def test_a_python_api_gets_its_variables_and_a_venv(ansible_world: AnsibleWorld) -> None:
    world = ansible_world
    app = (
        "import http.server, os\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.end_headers()\n"
        "        self.wfile.write(os.environ['GREETING'].encode())\n"
        "http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()\n"
    )
    address, commit = world.repository("python-api", {"app.py": app})
    value = 'it\'s "quoted" $HOME `x` \\ {{ 1 + 1 }}\nand two lines'
    secret = await world.secret("environments/3/services/73/GREETING", value)
    command = api_command(world, service="73", url=address, commit=commit, type_="python", secrets=(secret,))
    result = await world.run(command)
    assert result.facts["health"] == "ready"
    assert get(f"http://127.0.0.1:{command.allocation.port}/").text == value
    assert (await world.run(command)).changed == ()


async def test_template_markers_in_order_data_are_never_evaluated(ansible_world: AnsibleWorld) -> None:
    world = ansible_world
    proof = world.work / "evaluated"
    marker = f"{{{{ lookup('pipe', 'touch {proof}') }}}}"
    command = api_command(world, service="74")
    playbook = world.playbook(command)
    service = {**playbook.variables["service"], "path": marker, "roles": [marker]}
    discovery = [{"service": "74", "roles": [marker], "url": marker}]
    document = {**playbook.variables, "service": service, "domains": [marker], "discovery": discovery}
    result = await world.run(command, variables=document)
    assert not proof.exists()
    assert read_json(world.service_dir("3", "74") / "current" / ".discovery.json") == discovery
    assert marker in (world.service_dir("3", "74") / "current" / ".env").read_text()
    assert result.kept is not None


async def test_a_lock_that_is_missing_is_said(ansible_world: AnsibleWorld) -> None:
    world = ansible_world
    address, commit = world.repository("lockless", {"package.json": '{"dependencies": {"pg": "8"}}'})
    with pytest.raises(Terminal) as caught:
        await world.run(api_command(world, service="75", url=address, commit=commit))
    assert (caught.value.info.code, caught.value.info.resource) == ("playbook.failed", "package-lock.json")
    assert "npm install" in caught.value.info.remedy


async def test_a_commit_that_the_repository_lacks_is_terminal(ansible_world: AnsibleWorld) -> None:
    with pytest.raises(Terminal) as caught:
        await ansible_world.run(api_command(ansible_world, service="76", commit="0" * 40))
    assert "cannot be fetched" in caught.value.info.reason


async def test_a_kept_run_can_be_run_again_by_hand(ansible_world: AnsibleWorld) -> None:
    world = ansible_world
    result = await world.run(api_command(world, service="77"))
    assert result.kept is not None
    token = await world.vault.short_lived_token("3", "77")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(world.work), "BAO_TOKEN": token}
    done = run_by_hand(result.kept / "run.sh", environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed=0" in done.stdout
    assert "changed=0" in done.stdout


async def test_another_process_on_the_port_is_not_taken_for_the_service(ansible_world: AnsibleWorld) -> None:
    world = ansible_world
    first = api_command(world, service="78")
    await world.run(first)
    second = api_command(world, service="79", port=first.allocation.port)
    with pytest.raises(Retryable) as caught:
        await world.run(second)
    assert caught.value.info.resource == f"port {first.allocation.port}"


async def test_arguments_that_break_the_specification_are_refused(ansible_world: AnsibleWorld) -> None:
    command = api_command(ansible_world, service="80")
    playbook = ansible_world.playbook(command)
    document = {**playbook.variables, "surprise": 1}
    with pytest.raises(Terminal) as caught:
        await ansible_world.playbooks.run(replace(playbook, variables=document), no_report)
    assert "surprise" in caught.value.info.reason


async def no_report(_progress: object) -> None:
    """Nobody listens."""

"""Orders on the whole stack: two at once, one that cannot succeed until a person acts, and bad commits."""

import asyncio

import pytest

from console.client import connected
from console.probes.proxy import get
from executor.adapters.vault import VaultSecrets
from tests.support.eventually import eventually
from tests.support.whole_stack import HOST, WholeStack, ended, fresh, submit, succeeded
from tests.support.whole_stack_facts import answered_once, everything_holds

SITE = {
    "package.json": '{"name": "site", "version": "1.0.0", "scripts": {"build": "node build.js"}}',
    "build.js": "require('fs').cpSync('src', 'dist', { recursive: true })\n",
    "src/index.html": "<html><head><script src='main.js'></script></head>version 1</html>\n",
    "src/main.js": "document.title = 'site'\n",
}
API = {
    "package.json": '{"name": "shaky", "version": "1.0.0"}',
    "server.js": (
        "require('http').createServer((_, answer) => answer.end('version 1'))"
        ".listen(process.env.PORT, process.env.HOST)\n"
    ),
}


async def test_two_environments_at_once(whole: WholeStack) -> None:
    orders = [whole.order(fresh("both")), whole.order(fresh("both"))]
    async with connected(whole.settings, timeout=10) as console:
        ids = await asyncio.gather(*(submit(console, order) for order in orders))
        views = await asyncio.gather(*(succeeded(console, order_id) for order_id in ids))
        shown = [await console.environment(order["environment_id"]) for order in orders]
        for order_id in ids:
            await answered_once(console, order_id)
    first, second = views
    assert second.received_at < (first.finished_at or ""), "they ran one after the other"
    places = [(each.server, each.port) for view in shown for each in view.services if each.port]
    assert len(places) == len(set(places)) == 4
    for order in orders:
        await everything_holds(whole, whole.scene(order))


async def test_a_missing_variable_is_named_and_once_it_is_there_the_order_succeeds(whole: WholeStack) -> None:
    order = whole.order(fresh("var"))
    environment, variable = order["environment_id"], "SMTP_PASSWORD"
    order["api"]["services"][0]["variables"] = [variable]
    async with connected(whole.settings, timeout=10) as console:
        order_id = await submit(console, order)
        view = await ended(console, order_id)
        assert view.status == "failed"
        assert view.error
        assert (view.error.kind, view.error.code) == ("terminal", "variable.missing")
        said = " ".join(whole.cli("orders", "show", order_id).stdout.split())
        for words in (variable, "variable.missing", view.error.resource, view.error.remedy):
            assert " ".join(words.split()) in said, f"{words!r} is not in: {said}"

        vault = VaultSecrets(whole.settings.vault)
        try:
            await vault.create(f"environments/{environment}/variables/{variable}", "a value of the test")
        finally:
            vault.close()
        await succeeded(console, await submit(console, order))
    line = (whole.scene(order).home("6") / "current" / ".env").read_text()
    assert f"{variable}=" in line


@pytest.mark.parametrize(
    ("block", "name", "files", "broken"),
    [
        ("front", "site", SITE, {"build.js": "process.exit(3)\n"}),
        ("api", "shaky", API, {"server.js": "throw new Error('this commit is bad')\n"}),
    ],
    ids=["build", "process"],
)
async def test_a_bad_commit_leaves_the_version_before_answering(
    whole: WholeStack, block: str, name: str, files: dict[str, str], broken: dict[str, str]
) -> None:
    whole.publish(name, files)
    order = whole.order(fresh("bad"))
    service = order[block]["services"][-1]
    service |= {"repository": {"url": f"{HOST}/{name}"}, "type": {"front": "angular", "api": "node"}[block]}
    domain = order[block]["domains"][0]
    async with connected(whole.settings, timeout=10) as console:
        await succeeded(console, await submit(console, order))
        await eventually(lambda: answer(whole, domain), timeout=30, until=lambda text: "version 1" in text)

        whole.publish(name, broken)
        view = await ended(console, await submit(console, order))
        assert view.status == "failed"
        assert view.error
        assert view.error.code == "playbook.failed"
        await eventually(lambda: answer(whole, domain), timeout=30, until=lambda text: "version 1" in text)

        whole.publish(name, {each: text.replace("version 1", "version 2") for each, text in files.items()})
        await succeeded(console, await submit(console, order))
        await eventually(lambda: answer(whole, domain), timeout=30, until=lambda text: "version 2" in text)
    await everything_holds(whole, whole.scene(order))


async def answer(whole: WholeStack, domain: str) -> str:
    """What the domain's root answers over HTTPS."""
    return (await get(whole.settings.proxy, domain, "/")).text

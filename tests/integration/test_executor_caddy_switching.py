"""The proxy while it changes: sites that go, maintenance, and what clients see of the switch."""

import asyncio

import httpx

from executor.adapters.caddy import CaddyProxy
from executor.operators.ports import SiteRoute
from stagewright.settings import AwsSettings, ProxySettings
from tests.support.eventually import eventually
from tests.support.proxied import Site, answered, environment, visiting


async def environment_sites(caddy: ProxySettings, name: str) -> list[str]:
    """What of an environment is in the proxy's configuration, asked past the adapter."""
    transport = httpx.AsyncHTTPTransport(uds=caddy.admin.removeprefix("unix/"))

    async def look() -> str:
        async with httpx.AsyncClient(transport=transport, base_url="http://caddy") as admin:
            return (await admin.get("/config/")).text

    text = await eventually(look)
    return [one for one in (f"env-{name}", f"tls-{name}") if f'"{one}"' in text]


async def test_a_site_without_routes_is_gone_and_its_neighbours_stay(
    caddy: ProxySettings, domain: str, ports
) -> None:
    proxy, name, neighbour = CaddyProxy(caddy, AwsSettings()), environment(), environment()
    beside = f"beside-{domain}"
    await proxy.ensure(neighbour, [SiteRoute(beside, "/", f"127.0.0.1:{ports[1]}")])
    await proxy.ensure(name, [SiteRoute(domain, "/", f"127.0.0.1:{ports[0]}")])
    assert len(await environment_sites(caddy, name)) == 2
    async with visiting(caddy) as site:
        assert (await answered(site, domain, "/")).startswith(f"{ports[0]} ")
        assert await proxy.ensure(name, [])
        assert not await proxy.ensure(name, [])
        assert await environment_sites(caddy, name) == []
        assert (await answered(site, beside, "/")).startswith(f"{ports[1]} ")
    await proxy.ensure(environment(), [SiteRoute(domain, "/", f"127.0.0.1:{ports[0]}")])


async def test_maintenance_says_so_on_every_domain_and_ends(caddy: ProxySettings, domain: str, ports) -> None:
    proxy, name, other = CaddyProxy(caddy, AwsSettings()), environment(), f"www-{domain}"
    routes = [
        SiteRoute(domain, "/core", f"127.0.0.1:{ports[0]}"),
        SiteRoute(other, "/", f"127.0.0.1:{ports[1]}"),
    ]
    await proxy.ensure(name, routes)
    async with visiting(caddy) as site:
        assert (await answered(site, other, "/")).startswith(str(ports[1]))
        assert await proxy.ensure(name, routes, maintenance=True)
        assert not await proxy.ensure(name, routes, maintenance=True)
        for where, path in ((domain, "/core/x"), (domain, "/elsewhere"), (other, "/")):
            page = await site.get(
                where, path, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
            )
            assert (page.status_code, page.headers["content-type"]) == (503, "text/html; charset=utf-8")
            assert int(page.headers["retry-after"]) > 0
            assert "<h1>Maintenance</h1>" in page.text
            assert "http" not in page.text.replace("http-equiv", "")
            for accept in ("application/json", "*/*"):
                said = await site.get(where, path, "POST", headers={"Accept": accept})
                assert (said.status_code, said.headers["content-type"]) == (503, "application/json")
                assert said.json()["status"] == "maintenance"
                assert said.headers["retry-after"] == page.headers["retry-after"]
        assert await proxy.ensure(name, routes)
        assert (await site.get(other, "/")).text.startswith(str(ports[1]))
        await proxy.ensure(name, routes, maintenance=True)
        assert await proxy.ensure(name, [])


class Asking:
    """A client that asks one domain all the while, and what it got.

    Each change of the configuration is a reload of the whole proxy, which closes connections that it has not
    read a request from; as clients do (RFC 9110, 9.2.2), the request is sent again then, once.
    """

    def __init__(self, caddy: ProxySettings, domain: str) -> None:
        self._caddy, self._domain = caddy, domain
        self.answers: list[int | str] = []
        self.done = asyncio.Event()

    async def run(self) -> None:
        async with visiting(self._caddy) as site:
            while not self.done.is_set():
                try:
                    self.answers.append(await self._ask(site))
                except httpx.HTTPError as error:
                    self.answers.append(repr(error))

    async def _ask(self, site: Site) -> int:
        try:
            reply = await site.get(self._domain, "/")
        except (httpx.RemoteProtocolError, httpx.ConnectError):
            reply = await site.get(self._domain, "/")
        return reply.status_code


async def test_switching_loses_no_request_of_others_and_of_itself(
    caddy: ProxySettings, domain: str, ports
) -> None:
    proxy, name, beside = CaddyProxy(caddy, AwsSettings()), environment(), f"beside-{domain}"
    routes = [SiteRoute(domain, "/", f"127.0.0.1:{ports[0]}")]
    await proxy.ensure(environment(), [SiteRoute(beside, "/", f"127.0.0.1:{ports[1]}")])
    await proxy.ensure(name, routes)
    async with visiting(caddy) as site:
        for where in (beside, domain):
            await answered(site, where, "/")
    other, own = Asking(caddy, beside), Asking(caddy, domain)
    asking = asyncio.gather(other.run(), own.run())
    for held in (True, False) * 4:
        assert await proxy.ensure(name, routes, maintenance=held)
        seen = len(other.answers)
        await eventually(lambda seen=seen: len(other.answers) > seen + 10)
    for one in (other, own):
        one.done.set()
    await asking
    assert set(other.answers) == {200}
    assert set(own.answers) == {200, 503}

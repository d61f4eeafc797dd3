"""The proxy on a real Caddy: what clients get over HTTPS, and what becomes of an invalid configuration."""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import httpx
import pytest

from executor.adapters.aws import make_clients
from executor.adapters.aws_s3 import S3Buckets
from executor.adapters.caddy import CaddyProxy
from executor.operators.environment import EnvironmentOperator
from executor.operators.ports import SiteRoute
from stagewright.contracts.work import Allocation
from stagewright.errors import Retryable, Terminal
from stagewright.settings import AwsSettings, ProxySettings
from tests.support.eventually import eventually
from tests.support.executor_contracts import settings
from tests.support.executor_doubles import memory_world


class Echo(BaseHTTPRequestHandler):
    """Says what it was asked."""

    def do_GET(self) -> None:
        body = f"{self.server.server_port} {self.path} {self.headers.get('X-Forwarded-Prefix')}".encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        return


@pytest.fixture(scope="module")
def ports() -> Iterator[tuple[int, int]]:
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Echo) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield servers[0].server_port, servers[1].server_port
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def domain() -> str:
    return f"api-{uuid4().hex[:8]}.lab.example.com"


def environment() -> str:
    return uuid4().hex[:8]


class Site:
    """A client of the proxy that resolves every domain to it, and trusts its authority only."""

    def __init__(self, proxy: ProxySettings) -> None:
        context = ssl.create_default_context(cafile=str(proxy.root_ca))
        self._proxy = proxy
        self._client = httpx.AsyncClient(verify=context, trust_env=False, timeout=10)

    async def get(self, domain: str, path: str, method: str = "GET", **more) -> httpx.Response:
        url = f"https://127.0.0.1:{self._proxy.https_port}{path}"
        headers = {"Host": domain, **more.pop("headers", {})}
        return await self._client.request(
            method, url, headers=headers, extensions={"sni_hostname": domain}, **more
        )


@asynccontextmanager
async def visiting(proxy: ProxySettings) -> AsyncIterator[Site]:
    site = Site(proxy)
    try:
        yield site
    finally:
        await site._client.aclose()


async def answered(site: Site, domain: str, path: str) -> str:
    """The body, once there is a certificate."""

    async def look() -> str:
        try:
            return (await site.get(domain, path)).text
        except httpx.ConnectError as error:
            raise AssertionError(str(error)) from error

    return await eventually(look)


async def test_the_longest_path_goes_first_and_its_prefix_is_stripped(
    caddy: ProxySettings, domain: str, ports
) -> None:
    core, root = ports
    proxy = CaddyProxy(caddy, AwsSettings())
    routes = [SiteRoute(domain, "/", f"127.0.0.1:{root}"), SiteRoute(domain, "/core", f"127.0.0.1:{core}")]
    assert await proxy.ensure(environment(), routes)
    async with visiting(caddy) as site:
        assert await answered(site, domain, "/core/health?a=1") == f"{core} /health?a=1 /core"
        assert (await site.get(domain, "/core")).text == f"{core} / /core"
        forged = await site.get(domain, "/corel", headers={"X-Forwarded-Prefix": "/forged"})
        assert forged.text.split() in ([str(root), "/corel"], [str(root), "/corel", "None"])


async def test_the_same_again_changes_nothing_and_keeps_the_order_of_nothing_else(
    caddy: ProxySettings, domain: str, ports
) -> None:
    proxy, name = CaddyProxy(caddy, AwsSettings()), environment()
    routes = [
        SiteRoute(domain, "/", f"127.0.0.1:{ports[0]}"),
        SiteRoute(domain, "/b", f"127.0.0.1:{ports[1]}"),
    ]
    assert await proxy.ensure(name, routes)
    assert not await proxy.ensure(name, routes)
    assert not await proxy.ensure(name, routes[::-1])
    assert await proxy.ensure(name, routes[:1])


async def test_environments_that_change_at_once_all_keep_their_sites(caddy: ProxySettings, ports) -> None:
    names = [environment() for _ in range(5)]
    domains = {name: f"{name}.lab.example.com" for name in names}
    port = ports[0]

    async def ensure(name: str) -> bool:
        route = SiteRoute(domains[name], "/", f"127.0.0.1:{port}")
        return await CaddyProxy(caddy, AwsSettings()).ensure(name, [route])

    assert await asyncio.gather(*map(ensure, names)) == [True] * 5
    async with visiting(caddy) as site:
        for name in names:
            assert (await answered(site, domains[name], "/")).startswith(f"{port} /")


async def foreign_policy(caddy: ProxySettings, domain: str) -> None:
    """Somebody else's TLS policy for the domain: two for one domain are an invalid configuration."""
    transport = httpx.AsyncHTTPTransport(uds=caddy.admin.removeprefix("unix/"))
    async with httpx.AsyncClient(transport=transport, base_url="http://caddy") as admin:
        policy = {"subjects": [domain], "issuers": [{"module": "internal"}]}
        (await admin.post("/config/apps/tls/automation/policies", json=policy)).raise_for_status()


async def test_an_invalid_configuration_leaves_the_old_one_in_place(
    caddy: ProxySettings, domain: str, ports
) -> None:
    proxy, name = CaddyProxy(caddy, AwsSettings()), environment()
    await proxy.ensure(name, [SiteRoute(domain, "/", f"127.0.0.1:{ports[0]}")])
    foreign = f"foreign-{domain}"
    await foreign_policy(caddy, foreign)
    with pytest.raises(Terminal) as raised:
        await proxy.ensure(name, [SiteRoute(foreign, "/", f"127.0.0.1:{ports[1]}")])
    assert raised.value.info.code == "proxy.invalid"
    assert foreign in raised.value.info.reason
    async with visiting(caddy) as site:
        assert (await answered(site, domain, "/x")).startswith(f"{ports[0]} /x")
    assert not await proxy.ensure(name, [SiteRoute(domain, "/", f"127.0.0.1:{ports[0]}")])


async def test_a_domain_of_another_environment_is_refused(caddy: ProxySettings, domain: str, ports) -> None:
    proxy, first = CaddyProxy(caddy, AwsSettings()), environment()
    route = SiteRoute(domain, "/", f"127.0.0.1:{ports[0]}")
    await proxy.ensure(first, [route])
    with pytest.raises(Terminal) as raised:
        await proxy.ensure(environment(), [route])
    assert raised.value.info.code == "proxy.domain_taken"
    assert first in raised.value.info.reason


async def test_a_proxy_that_is_away_is_retryable(tmp_path) -> None:
    proxy = CaddyProxy(ProxySettings(admin=f"unix/{tmp_path}/no.sock"), AwsSettings())
    with pytest.raises(Retryable) as raised:
        await proxy.ensure("3", [SiteRoute("a.example.com", "/", "127.0.0.1:1")])
    assert raised.value.info.code == "proxy.unavailable"


@pytest.fixture
async def front(caddy: ProxySettings, seaweed_s3: AwsSettings, domain: str) -> tuple[ProxySettings, str]:
    """A front of two files in SeaweedFS, served at /admin too; a neighbour's object beside its prefix."""
    client = make_clients(seaweed_s3).s3
    bucket = f"stagewright-{uuid4().hex[:8]}"
    world = memory_world(settings(), buckets=S3Buckets(client, "eu-west-1"))
    await EnvironmentOperator("3", world).allocate([Allocation(service="8", bucket=bucket, prefix="8")])
    for key, body in (("8/index.html", b"<h1>"), ("8/a/app.js", b"js"), ("9/secret.txt", b"neighbour")):
        client.put_object(Bucket=bucket, Key=key, Body=body)
    proxy = caddy.model_copy(update={"s3_upstream": None})
    routes = [SiteRoute(domain, path, bucket=bucket, prefix="8") for path in ("/", "/admin")]
    await CaddyProxy(proxy, seaweed_s3).ensure(environment(), routes)
    return caddy, domain


async def test_a_front_is_served_from_its_bucket_with_fallback_to_its_page(front) -> None:
    proxy, domain = front
    async with visiting(proxy) as site:
        assert await answered(site, domain, "/") == "<h1>"
        for path, body in (
            ("/index.html", "<h1>"),
            ("/a/app.js", "js"),
            ("/admin/a/app.js", "js"),
            ("/admin", "<h1>"),
            ("/admin/", "<h1>"),
            ("/users/7", "<h1>"),
            ("/a/app.js?acl", "js"),
            ("/?list-type=2", "<h1>"),
        ):
            reply = await site.get(domain, path)
            assert (path, reply.status_code, reply.text) == (path, 200, body)
        assert not [name for name in reply.headers if name.startswith("x-amz")]


@pytest.mark.parametrize(
    "path", ["/../9/secret.txt", "/%2e%2e/9/secret.txt", "/..%2f9/secret.txt", "/a/../../9/x"]
)
async def test_a_front_is_no_way_out_of_its_prefix(front, path: str) -> None:
    proxy, domain = front
    async with visiting(proxy) as site:
        await answered(site, domain, "/")
    request = f"GET {path} HTTP/1.1\r\nHost: {domain}\r\nConnection: close\r\n\r\n"
    context = ssl.create_default_context(cafile=str(proxy.root_ca))
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", proxy.https_port, ssl=context, server_hostname=domain
    )
    writer.write(request.encode())
    reply = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert b"neighbour" not in reply
    assert b" 400 " in reply.split(b"\r\n")[0] or reply.endswith(b"<h1>")


async def test_a_front_is_only_read(front) -> None:
    proxy, domain = front
    async with visiting(proxy) as site:
        await answered(site, domain, "/")
        for method in ("PUT", "POST", "DELETE"):
            assert (await site.get(domain, "/a/app.js", method)).status_code == 405
        assert (await site.get(domain, "/a/app.js", "HEAD")).status_code == 200
        assert (await site.get(domain, "/a/app.js", headers={"Authorization": "Basic eDp5"})).text == "js"


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

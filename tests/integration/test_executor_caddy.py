"""The proxy on a real Caddy: what clients get over HTTPS, and what becomes of an invalid configuration."""

import asyncio
import ssl
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
from tests.support.executor_contracts import settings
from tests.support.executor_doubles import memory_world
from tests.support.proxied import answered, environment, visiting


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
    assert domain in await proxy.taken(environment())
    assert domain not in await proxy.taken(first)


async def test_a_proxy_that_is_away_is_retryable(tmp_path) -> None:
    proxy = CaddyProxy(ProxySettings(admin=f"unix/{tmp_path}/no.sock"), AwsSettings())
    with pytest.raises(Retryable) as raised:
        await proxy.ensure("3", [SiteRoute("a.example.com", "/", "127.0.0.1:1")])
    assert raised.value.info.code == "proxy.unavailable"
    with pytest.raises(Retryable) as raised:
        await proxy.taken("3")
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

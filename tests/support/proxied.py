"""Clients of a real proxy, and upstreams that say what they were asked; `ports` and `domain` are fixtures."""

import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import httpx
import pytest

from stagewright.settings import ProxySettings
from tests.support.eventually import eventually


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

"""Caddy through its admin API: the whole configuration is read, changed and put back in one step.

Caddy provisions a new configuration before it lets go of the old one and rejects it as a whole where that
fails; `If-Match` rejects it where somebody else was quicker. Source: caddyserver.com/docs/api.
"""

import asyncio
import random
import ssl
from collections.abc import Collection, Sequence
from typing import Any

import httpx

from executor.adapters.caddy_config import (
    environment_route,
    storage_of,
    taken_domains,
    tls_policy,
    with_site,
    without_site,
)
from executor.operators.ports import SiteRoute
from stagewright.errors import Retryable, Terminal
from stagewright.settings import AwsSettings, ProxySettings

_ATTEMPTS = 12
_TIMEOUT = 20.0
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For the socket: without it each client reads all certificate authorities, in 20 ms."""


class CaddyProxy:
    """The `Proxy` port."""

    def __init__(self, proxy: ProxySettings, aws: AwsSettings) -> None:
        self._settings = proxy
        self._storage = storage_of(proxy, aws)

    async def ensure(
        self, environment: str, routes: Sequence[SiteRoute], *, maintenance: bool = False
    ) -> bool:
        """See `Proxy.ensure`."""
        said = "others change its configuration all the time"
        async with self._client() as admin:
            for attempt in range(_ATTEMPTS):
                try:
                    config, etag = await _read(admin)
                    _check_domains(config, environment, routes)
                    wanted = self._wanted(config, environment, routes, maintenance)
                    if wanted == config:
                        return False
                    if await self._replace(admin, environment, wanted, etag):
                        return True
                except httpx.HTTPError as error:
                    # Every change restarts the admin endpoint, also under the feet of others; whether ours
                    # was taken shows when it is read again.
                    said = type(error).__name__
                await _aside(attempt)
        raise self._unavailable(said)

    async def taken(self, environment: str) -> Collection[str]:
        """See `Proxy.taken`."""
        said = "it does not answer"
        async with self._client() as admin:
            for attempt in range(_ATTEMPTS):
                try:
                    config, _ = await _read(admin)
                except httpx.HTTPError as error:
                    said = type(error).__name__
                    await _aside(attempt)
                else:
                    return taken_domains(config, environment).keys()
        raise self._unavailable(said)

    def _wanted(
        self,
        config: dict[str, Any] | None,
        environment: str,
        routes: Sequence[SiteRoute],
        maintenance: bool,
    ) -> dict[str, Any] | None:
        """The whole configuration with the environment's site as it shall be."""
        if not routes:
            return without_site(config, environment, self._settings)
        route = environment_route(environment, routes, self._storage, maintenance=maintenance)
        policy = tls_policy(environment, routes) if self._settings.internal_tls else None
        return with_site(config, route, policy, self._settings)

    def _client(self) -> httpx.AsyncClient:
        address, once = self._settings.admin, httpx.Limits(max_keepalive_connections=0)
        if not address.startswith("unix/"):
            return httpx.AsyncClient(base_url=address, timeout=_TIMEOUT, trust_env=False, limits=once)
        transport = httpx.AsyncHTTPTransport(
            uds=address.removeprefix("unix/").split("|")[0], limits=once, verify=_NO_TLS
        )
        return httpx.AsyncClient(transport=transport, base_url="http://caddy", timeout=_TIMEOUT)

    async def _replace(
        self, admin: httpx.AsyncClient, environment: str, wanted: dict[str, Any] | None, etag: str
    ) -> bool:
        """False where somebody else changed the configuration since it was read."""
        reply = await admin.post("/config/", json=wanted, headers={"If-Match": etag})
        if reply.status_code == httpx.codes.PRECONDITION_FAILED:
            return False
        if reply.is_success:
            return True
        if reply.status_code > httpx.codes.INTERNAL_SERVER_ERROR:
            reply.raise_for_status()
        raise Terminal(
            "proxy.invalid",
            f"environment:{environment}",
            f"the proxy refused the routes and serves the old ones still: {_said(reply)}",
            "Correct the domains and paths of the order, or the proxy's own configuration.",
        )

    def _unavailable(self, said: str) -> Retryable:
        return Retryable(
            "proxy.unavailable",
            self._settings.admin,
            f"the proxy's admin endpoint did not do it ({said}).",
            "Check that the proxy runs.",
            retry_after=1.0,
        )


async def _aside(attempt: int) -> None:
    """Let rivals, and the restart of the admin endpoint, pass by."""
    await asyncio.sleep(random.uniform(0, 0.05 * (attempt + 1)))  # noqa: S311 - spreads rivals


async def _read(admin: httpx.AsyncClient) -> tuple[dict[str, Any] | None, str]:
    reply = await admin.get("/config/")
    reply.raise_for_status()
    return reply.json(), reply.headers["Etag"]


def _said(reply: httpx.Response) -> str:
    try:
        return str(reply.json()["error"])[:500]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {reply.status_code}"


def _check_domains(config: dict[str, Any] | None, environment: str, routes: Sequence[SiteRoute]) -> None:
    taken = taken_domains(config, environment)
    for domain in sorted({route.domain for route in routes}):
        if domain in taken:
            raise Terminal(
                "proxy.domain_taken",
                domain,
                f"environment {taken[domain]} serves this domain already.",
                "Take the domain out of one of the two environments.",
            )

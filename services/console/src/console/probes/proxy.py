"""The proxy: its admin endpoint, and what it serves, over HTTPS with the CA that clients trust."""

import ssl
from typing import Any, cast

import httpx

from stagewright.errors import Retryable
from stagewright.settings import ProxySettings


async def get(proxy: ProxySettings, domain: str, path: str, *, address: str = "127.0.0.1") -> httpx.Response:
    """GET `https://<domain><path>` from the proxy at `address`, as a client would whose resolver knows the
    domain: SNI, Host and the certificate's name are the domain's.

    Raises:
        httpx.HTTPError, ssl.SSLError, OSError: no answer, or a certificate that the CA does not vouch for.
    """
    context = ssl.create_default_context(cafile=str(proxy.root_ca) if proxy.root_ca else None)
    async with httpx.AsyncClient(verify=context, timeout=10, trust_env=False) as client:
        return await client.get(
            f"https://{address}:{proxy.https_port}{path}",
            headers={"Host": domain},
            extensions={"sni_hostname": domain},
        )


async def configuration(proxy: ProxySettings) -> dict[str, Any]:
    """The configuration that runs.

    Raises:
        Retryable: the admin endpoint does not answer.
    """
    socket = proxy.admin.removeprefix("unix/") if proxy.admin.startswith("unix/") else None
    transport = httpx.AsyncHTTPTransport(uds=socket) if socket else None
    base = "http://localhost" if socket else proxy.admin
    try:
        async with httpx.AsyncClient(
            transport=transport, base_url=base, timeout=5, trust_env=False
        ) as client:
            answer = (await client.get("/config/")).raise_for_status()
    except (httpx.HTTPError, OSError) as error:
        raise Retryable(
            "proxy.unreachable",
            proxy.admin,
            f"the admin endpoint does not answer ({type(error).__name__}).",
            "Start Caddy, or correct proxy.admin.",
        ) from error
    return cast("dict[str, Any]", answer.json() or {})


async def check_proxy(proxy: ProxySettings) -> str:
    """One line about it. Raises as `configuration` does."""
    servers = (await configuration(proxy)).get("apps", {}).get("http", {}).get("servers", {})
    routes = sum(len(server.get("routes", [])) for server in servers.values())
    return f"answers, {routes} site{'' if routes == 1 else 's'}, HTTPS on port {proxy.https_port}"

"""Over HTTPS through the proxy, with its CA: APIs are healthy, fronts deliver their page and its script."""

import asyncio
import re
import time

import httpx

from console.demo.proofs.proof import Proof
from console.demo.scene import Scene
from console.probes.proxy import get

PATIENCE = 20.0
"""Seconds: a service may be up and still wait for another one."""
_SCRIPT = re.compile(r"""(?:src|href)=["'](?!https?:)([^"']+\.(?:js|css))["']""")


async def prove(scene: Scene) -> list[Proof]:
    """One proof for each service."""
    checks = [_api(scene, scene.domain("api"), service.spec.path) for service in scene.apis]
    checks += [_front(scene, scene.domain("front"), service.spec.path) for service in scene.fronts]
    return list(await asyncio.gather(*checks))


async def _api(scene: Scene, domain: str, path: str) -> Proof:
    url = f"{path.rstrip('/')}/health"
    answer = await _patiently(scene, domain, url)
    detail = f"{answer.status_code} {answer.text.strip()[:60]}"
    return Proof("https", f"https://{domain}{url}", answer.status_code == httpx.codes.OK, detail)


async def _front(scene: Scene, domain: str, path: str) -> Proof:
    page = await _patiently(scene, domain, path)
    assets = _SCRIPT.findall(page.text)
    base = path.rstrip("/") + "/"
    answers = [
        await get(scene.settings.proxy, domain, each if each.startswith("/") else base + each)
        for each in assets
    ]
    good = page.is_success and "<html" in page.text.lower() and bool(assets)
    good = good and all(answer.is_success and "html" not in _kind(answer) for answer in answers)
    size = sum(len(answer.content) for answer in answers)
    detail = f"{page.status_code} {_kind(page)}, {len(answers)} assets of {size} bytes"
    return Proof("https", f"https://{domain}{path}", good, detail)


async def _patiently(scene: Scene, domain: str, path: str) -> httpx.Response:
    give_up = time.monotonic() + PATIENCE
    while True:
        late = time.monotonic() > give_up
        try:
            answer = await get(scene.settings.proxy, domain, path)
            if answer.is_success or late:
                return answer
        except httpx.TransportError:  # the proxy is up again, but has no certificate for the domain yet
            if late:
                raise
        await asyncio.sleep(0.2)


def _kind(answer: httpx.Response) -> str:
    kind: str = answer.headers.get("content-type", "")
    return kind.split(";", maxsplit=1)[0]

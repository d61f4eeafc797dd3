"""Caddy's JSON for an environment: data in, data out. Source: caddyserver.com/docs/json.

Each environment has one route `env-<id>` and one TLS policy `tls-<id>`; everything else in the configuration
belongs to others and is carried over as it is.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from executor.adapters import caddy_maintenance
from executor.operators.ports import SiteRoute
from stagewright.settings import AwsSettings, ProxySettings

Json = dict[str, Any]

SERVER = "stagewright"
_PATH = "{http.request.uri.path}"


@dataclass(frozen=True)
class Storage:
    """Where Caddy finds the objects of fronts: `dial` is host:port."""

    dial: str
    host: str
    tls: bool


def storage_of(proxy: ProxySettings, aws: AwsSettings) -> Storage:
    """The S3 endpoint as an upstream: `proxy.s3_upstream`, else `aws.s3_endpoint`, else AWS itself."""
    endpoint = aws.s3_endpoint or f"https://s3.{aws.region}.amazonaws.com"
    scheme, _, rest = endpoint.partition("://")
    named = proxy.s3_upstream or rest.split("/", 1)[0]
    host, _, port = named.partition(":")
    tls = port == "443" or (scheme == "https" and proxy.s3_upstream is None)
    number = port or ("443" if tls else "80")
    return Storage(f"{host}:{number}", host if number in {"80", "443"} else named, tls)


def route_id(environment: str) -> str:
    """`@id` of an environment's route."""
    return f"env-{environment}"


def policy_id(environment: str) -> str:
    """`@id` of an environment's TLS policy."""
    return f"tls-{environment}"


def environment_route(
    environment: str, routes: Sequence[SiteRoute], storage: Storage, *, maintenance: bool = False
) -> Json:
    """One route for all domains of an environment; in each domain the longest path goes first."""
    ordered = sorted(routes, key=lambda route: (route.domain, -len(route.path), route.path))
    domains = [
        _domain(domain, list(of_domain), storage)
        for domain, of_domain in groupby(ordered, key=lambda route: route.domain)
    ]
    return {
        "@id": route_id(environment),
        "match": [{"host": sorted({route.domain for route in routes})}],
        "handle": [{"handler": "subroute", "routes": caddy_maintenance.routes() if maintenance else domains}],
        "terminal": True,
    }


def tls_policy(environment: str, routes: Sequence[SiteRoute]) -> Json:
    """Certificates of the environment's domains come from Caddy's own authority."""
    return {
        "@id": policy_id(environment),
        "subjects": sorted({route.domain for route in routes}),
        "issuers": [{"module": "internal"}],
    }


def _domain(domain: str, routes: Sequence[SiteRoute], storage: Storage) -> Json:
    # Where nothing matches Caddy answers an empty 200.
    nothing = {"handle": [{"handler": "static_response", "status_code": 404}]}
    found = [*(_path_route(route, storage) for route in routes), nothing]
    return {
        "match": [{"host": [domain]}],
        "handle": [{"handler": "subroute", "routes": found}],
        "terminal": True,
    }


def _path_route(route: SiteRoute, storage: Storage) -> Json:
    handle = _api(route) if route.upstream else _front(route, storage)
    found: Json = {"handle": [{"handler": "subroute", "routes": handle}], "terminal": True}
    if route.path != "/":
        found["match"] = [{"path": [route.path, f"{route.path}/*"]}]
    return found


def _stripped(route: SiteRoute) -> list[Json]:
    if route.path == "/":
        return []
    return [{"handle": [{"handler": "rewrite", "strip_path_prefix": route.path}]}]


def _api(route: SiteRoute) -> list[Json]:
    """The service sees its own root; `X-Forwarded-Prefix` tells it where that is outside."""
    proxy = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": route.upstream}],
        "headers": {"request": {"set": {"X-Forwarded-Prefix": ["" if route.path == "/" else route.path]}}},
    }
    return [*_stripped(route), {"handle": [proxy]}]


_GUARDS: list[Json] = [
    {
        "match": [{"not": [{"method": ["GET", "HEAD"]}]}],
        "handle": [{"handler": "static_response", "status_code": 405, "headers": {"Allow": ["GET, HEAD"]}}],
        "terminal": True,
    },
    {
        # A way out of the prefix, plain or once more encoded, is not the page's to route.
        "match": [{"vars_regexp": {_PATH: {"pattern": r"(^|[/\\])\.\.([/\\]|$)|%2e|%2f|\\"}}}],
        "handle": [{"handler": "static_response", "status_code": 400}],
        "terminal": True,
    },
]
"""What a front is asked for and never gives: writing, and ways out of its prefix."""


def _front(route: SiteRoute, storage: Storage) -> list[Json]:
    """Reads from the bucket, nothing else; what is not there is the page's own to route (index.html)."""
    root = f"/{route.bucket}/{route.prefix}" if route.prefix else f"/{route.bucket}"
    index = f"{root}/index.html"
    fallback = {"handler": "subroute", "routes": [_rewritten(index), {"handle": [_s3(storage)]}]}
    missing = {"match": {"status_code": [403, 404]}, "routes": [{"handle": [fallback]}]}
    return [
        *_GUARDS,
        *_stripped(route),
        {
            "match": [{"path": ["/", ""]}],
            "group": "place",
            "handle": [_rewrite(index)],
        },
        {
            "group": "place",
            "handle": [_rewrite(f"{root}{_PATH}")],
        },
        {"handle": [_s3(storage, missing)]},
    ]


def _rewrite(path: str) -> Json:
    """The `?` at the end drops the query: S3 would take it for a command (`?acl`, `?list-type=2`)."""
    return {"handler": "rewrite", "uri": f"{path}?"}


def _rewritten(path: str) -> Json:
    return {"handle": [_rewrite(path)]}


def _s3(storage: Storage, *responses: Json) -> Json:
    proxy: Json = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": storage.dial}],
        "headers": {
            "request": {
                "set": {"Host": [storage.host]},
                "delete": ["Authorization", "Cookie", "X-Amz-*", "X-Forwarded-*"],
            },
            "response": {"delete": ["X-Amz-*", "Server"]},
        },
    }
    if storage.tls:
        proxy["transport"] = {"protocol": "http", "tls": {"server_name": storage.host.split(":")[0]}}
    if responses:
        proxy["handle_response"] = list(responses)
    return proxy


def with_site(
    config: Mapping[str, Any] | None, route: Json, policy: Json | None, proxy: ProxySettings
) -> Json:
    """The whole configuration with this environment's route and policy in it, and all else as it was."""
    wanted: Json = copy.deepcopy(dict(config or {}))
    http = wanted.setdefault("apps", {}).setdefault("http", {})
    server = _server(http, proxy)
    server["routes"] = _replaced(server.get("routes") or [], route["@id"], route)
    automation = wanted["apps"].setdefault("tls", {}).setdefault("automation", {})
    policies = automation.get("policies") or []
    name = policy_id(route["@id"].removeprefix("env-"))
    automation["policies"] = _replaced(policies, name, policy)
    return wanted


def without_site(config: Mapping[str, Any] | None, environment: str, proxy: ProxySettings) -> Json | None:
    """The whole configuration without this environment's route and policy; our server goes with the last."""
    wanted: Json | None = copy.deepcopy(dict(config)) if config is not None else None
    apps = (wanted or {}).get("apps") or {}
    servers: Json = (apps.get("http") or {}).get("servers") or {}
    named = [name for name, server in servers.items() if _taken_out(server, "routes", route_id(environment))]
    _taken_out((apps.get("tls") or {}).get("automation") or {}, "policies", policy_id(environment))
    if SERVER in named and servers[SERVER] == {**_server({"servers": {}}, proxy), "routes": []}:
        del servers[SERVER]
    return wanted


def _taken_out(parent: Json, field: str, name: str) -> bool:
    """Remove the item of that name from a list, if it is in it."""
    items = parent.get(field) or []
    kept = [item for item in items if item.get("@id") != name]
    if len(kept) == len(items):
        return False
    parent[field] = kept
    return True


def _server(http: Json, proxy: ProxySettings) -> Json:
    """Our server: the one of our name, else the one on our address, else a new one."""
    servers: Json = http.setdefault("servers", {})
    address = f"{proxy.listen}:{proxy.https_port}"
    found = servers.get(SERVER) or next(
        (server for server in servers.values() if address in (server.get("listen") or [])), None
    )
    if found is None:
        http.setdefault("https_port", proxy.https_port)
        found = servers[SERVER] = {"listen": [address]}
        if proxy.https_port != 443:
            found["automatic_https"] = {"disable_redirects": True}
    result: Json = found
    return result


def _replaced(items: Sequence[Json], name: str, wanted: Json | None) -> list[Json]:
    """`wanted` in the place of the item of that name, before the first nameless catch-all if it is new."""
    kept = [wanted if wanted and item.get("@id") == name else item for item in items]
    if wanted is None:
        return [item for item in kept if item.get("@id") != name]
    if wanted not in kept:
        kept.insert(0, wanted)
    return kept


def taken_domains(config: Mapping[str, Any] | None, environment: str) -> dict[str, str]:
    """Domain to environment, for the sites of all other environments."""
    servers = (((config or {}).get("apps") or {}).get("http") or {}).get("servers") or {}
    return {
        host: str(route["@id"]).removeprefix("env-")
        for server in servers.values()
        for route in server.get("routes") or []
        if str(route.get("@id", "")).startswith("env-") and route["@id"] != route_id(environment)
        for match in route.get("match") or []
        for host in match.get("host") or []
    }

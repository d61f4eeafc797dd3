"""Caddy's JSON: what is put in, and that everything of others stays as it was."""

from executor.adapters.caddy_config import (
    SERVER,
    environment_route,
    storage_of,
    taken_domains,
    tls_policy,
    with_site,
    without_site,
)
from executor.operators.ports import SiteRoute
from stagewright.settings import AwsSettings, ProxySettings

PROXY = ProxySettings(https_port=8443, listen="127.0.0.1")
STORAGE = storage_of(ProxySettings(), AwsSettings(s3_endpoint="http://127.0.0.1:8333"))


def site(environment: str, *domains: str):
    routes = [SiteRoute(domain, "/", "127.0.0.1:3000") for domain in domains]
    return environment_route(environment, routes, STORAGE), tls_policy(environment, routes)


def put(config, environment: str, *domains: str):
    return with_site(config, *site(environment, *domains), PROXY)


def test_a_site_in_an_empty_proxy_makes_our_server() -> None:
    config = put(None, "3", "a.example.com")
    server = config["apps"]["http"]["servers"][SERVER]
    assert server["listen"] == ["127.0.0.1:8443"]
    assert server["automatic_https"] == {"disable_redirects": True}
    assert [route["@id"] for route in server["routes"]] == ["env-3"]
    assert config["apps"]["tls"]["automation"]["policies"][0]["subjects"] == ["a.example.com"]


def test_other_sites_and_everything_else_stay() -> None:
    first = put({"admin": {"listen": "unix//x"}, "apps": {"pki": {"x": 1}}}, "3", "a.example.com")
    both = put(first, "4", "b.example.com")
    changed = put(both, "3", "c.example.com")
    routes = {route["@id"]: route for route in changed["apps"]["http"]["servers"][SERVER]["routes"]}
    assert routes["env-4"] == site("4", "b.example.com")[0]
    assert routes["env-3"] == site("3", "c.example.com")[0]
    assert (changed["admin"], changed["apps"]["pki"]) == ({"listen": "unix//x"}, {"x": 1})
    assert put(changed, "3", "c.example.com") == changed


def test_ours_goes_before_a_policy_for_everything() -> None:
    catch_all = {"issuers": [{"module": "acme"}]}
    config = put({"apps": {"tls": {"automation": {"policies": [catch_all]}}}}, "3", "a.example.com")
    assert config["apps"]["tls"]["automation"]["policies"][1] == catch_all


def test_without_internal_tls_the_policy_goes() -> None:
    config = put(None, "3", "a.example.com")
    route, _ = site("3", "a.example.com")
    assert with_site(config, route, None, PROXY)["apps"]["tls"]["automation"]["policies"] == []


def test_a_server_of_another_name_on_our_address_is_used() -> None:
    mine = {"apps": {"http": {"servers": {"srv0": {"listen": ["127.0.0.1:8443"]}}}}}
    assert list(put(mine, "3", "a.example.com")["apps"]["http"]["servers"]) == ["srv0"]


def test_domains_of_other_environments_are_taken() -> None:
    config = put(put(None, "3", "a.example.com"), "4", "b.example.com")
    assert taken_domains(config, "3") == {"b.example.com": "4"}
    assert taken_domains(None, "3") == {}


def test_storage_is_where_settings_say() -> None:
    assert (STORAGE.dial, STORAGE.tls) == ("127.0.0.1:8333", False)
    aws = storage_of(ProxySettings(), AwsSettings(region="eu-west-3"))
    assert (aws.dial, aws.host, aws.tls) == (
        "s3.eu-west-3.amazonaws.com:443",
        "s3.eu-west-3.amazonaws.com",
        True,
    )
    named = storage_of(ProxySettings(s3_upstream="s3.lan:9000"), AwsSettings(s3_endpoint="https://elsewhere"))
    assert (named.dial, named.host, named.tls) == ("s3.lan:9000", "s3.lan:9000", False)


def test_a_site_that_is_taken_out_leaves_everything_else_as_it_was() -> None:
    other = {"@id": "mine", "match": [{"host": ["x.example.com"]}]}
    base = {"apps": {"http": {"servers": {"srv0": {"listen": ["127.0.0.1:8443"], "routes": [other]}}}}}
    before = put(base, "4", "b.example.com")
    after = without_site(put(before, "3", "a.example.com"), "3", PROXY)
    assert after == before
    assert without_site(after, "3", PROXY) == after


def test_the_last_site_takes_our_server_with_it_but_not_one_that_somebody_changed() -> None:
    config = put(None, "3", "a.example.com")
    gone = without_site(config, "3", PROXY)
    assert gone["apps"]["http"]["servers"] == {}
    assert gone["apps"]["tls"]["automation"]["policies"] == []
    config["apps"]["http"]["servers"][SERVER]["logs"] = {}
    kept = without_site(config, "3", PROXY)["apps"]["http"]["servers"][SERVER]
    assert (kept["routes"], kept["logs"]) == ([], {})


def test_where_nothing_is_nothing_is_taken_out() -> None:
    assert without_site(None, "3", PROXY) is None
    assert without_site({"admin": {}}, "3", PROXY) == {"admin": {}}


def test_maintenance_keeps_the_domains_and_asks_no_service() -> None:
    routes = [SiteRoute("a.example.com", "/", "127.0.0.1:3000")]
    serving = environment_route("3", routes, STORAGE)
    held = environment_route("3", routes, STORAGE, maintenance=True)
    assert {**held, "handle": None} == {**serving, "handle": None}
    assert ("reverse_proxy" in str(serving), "reverse_proxy" in str(held)) == (True, False)

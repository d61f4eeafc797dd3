"""Each part alone: it starts, it does its work, it has everything again after a restart."""

import ssl

import boto3
import httpx
import hvac
import nats
import psycopg
import pytest
from botocore.config import Config

from stagewright.settings import AwsSettings, ProxySettings, ServerSettings
from tests.support import parts
from tests.support.eventually import eventually_sync
from tests.support.parts import NatsServer, OpenBao, Postgres

HTML = {"ContentType": "text/html"}


def s3_client(settings: AwsSettings):
    return _client("s3", settings, settings.s3_endpoint)


def route53_client(settings: AwsSettings):
    return _client("route53", settings, settings.route53_endpoint)


def _client(service: str, settings: AwsSettings, endpoint: str | None):
    lines = settings.credentials_file.read_text().splitlines()[1:]
    pair = dict(line.split(" = ", 1) for line in lines)
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=settings.region,
        config=Config(retries={"total_max_attempts": 1}),
        **pair,
    )


async def test_the_bus_keeps_an_acknowledged_message_over_kill_9(tmp_path):
    with parts.fresh_layout(tmp_path) as layout:
        with parts.run_nats(layout) as server:
            client = await nats.connect(server.url, allow_reconnect=False)
            js = client.jetstream()
            await js.add_stream(name="KEPT", subjects=["kept"])
            await js.publish("kept", b"here")
            parts.kill(server.pid)
            await client.close()
        with parts.run_nats(layout) as server:
            client = await nats.connect(server.url)
            assert (await client.jetstream().get_msg("KEPT", 1)).data == b"here"
            await client.close()


async def test_the_bus_admits_nobody_without_a_key(nats_users_server: NatsServer):
    with pytest.raises(nats.errors.Error, match=r"(?i)authorization"):
        await nats.connect(nats_users_server.url, allow_reconnect=False, max_reconnect_attempts=0)


def test_the_executor_reaches_its_own_secrets_and_nothing_else(openbao: OpenBao):
    settings = openbao.settings
    mount = settings.mount
    client = hvac.Client(settings.address)
    client.auth.approle.login(settings.role_id, settings.secret_id_file.read_text())
    kv = client.secrets.kv.v2
    kv.create_or_update_secret("environments/3/6/DB_PASSWORD", {"value": "x"}, cas=0, mount_point=mount)
    assert _read(kv, "platform/postgres")["value"]
    for refused in (
        lambda: kv.create_or_update_secret("platform/postgres", {"value": "x"}, mount_point=mount),
        lambda: _read(kv, "elsewhere"),
        lambda: kv.create_or_update_secret("elsewhere", {"value": "x"}, mount_point=mount),
        lambda: kv.list_secrets("", mount_point=mount),
        client.sys.seal,
        client.sys.list_policies,
        lambda: client.write_data("sys/policies/acl/executor", data={"policy": ""}),
    ):
        with pytest.raises(hvac.exceptions.Forbidden):
            refused()


def _read(kv, path: str) -> dict[str, str]:
    found = kv.read_secret_version(path, mount_point="stagewright", raise_on_deleted_version=True)
    return found["data"]["data"]


def test_the_audit_device_tells_of_requests_and_hides_values(openbao: OpenBao):
    client = hvac.Client(openbao.settings.address, token=openbao.root_token)
    kv = client.secrets.kv.v2
    kv.create_or_update_secret("environments/audit", {"value": "canary-7f3a"}, mount_point="stagewright")
    told = openbao.audit_log.read_text()
    assert "stagewright/data/environments/audit" in told
    assert "canary-7f3a" not in told


def test_the_vault_unseals_itself_and_keeps_its_secrets(tmp_path):
    with parts.fresh_layout(tmp_path) as layout:
        with parts.run_openbao(layout) as vault:
            kv = hvac.Client(vault.settings.address, token=vault.root_token).secrets.kv.v2
            kv.create_or_update_secret("environments/3/kept", {"value": "x"}, mount_point="stagewright")
        with parts.run_openbao(layout) as vault:
            kv = hvac.Client(vault.settings.address, token=vault.root_token).secrets.kv.v2
            assert _read(kv, "environments/3/kept") == {"value": "x"}


def test_dns_records_are_replayed_under_the_same_zone(tmp_path):
    with parts.fresh_layout(tmp_path) as layout:
        with parts.run_moto(layout) as settings:
            zone = _zone_with_records(settings, 5)
        with parts.run_moto(layout) as settings:
            client = route53_client(settings)
            assert [found["Id"] for found in client.list_hosted_zones()["HostedZones"]] == [zone]
            names = {r["Name"] for r in _records(client, zone) if r["Type"] == "A"}
            assert names == {f"host-{number}.example.org." for number in range(5)}


def _zone_with_records(settings: AwsSettings, count: int) -> str:
    client = route53_client(settings)
    client.create_hosted_zone(Name="gone.org", CallerReference="0")
    zone = client.create_hosted_zone(Name="example.org", CallerReference="1")["HostedZone"]["Id"]
    client.delete_hosted_zone(Id=client.list_hosted_zones_by_name(DNSName="gone.org")["HostedZones"][0]["Id"])
    for number in range(count):
        record = {
            "Name": f"host-{number}.example.org",
            "Type": "A",
            "TTL": 60,
            "ResourceRecords": [{"Value": "127.0.0.1"}],
        }
        changes = [{"Action": "UPSERT", "ResourceRecordSet": record}]
        client.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    return zone


def _records(client, zone):
    return client.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]


def test_objects_are_kept_and_read_by_name_only(tmp_path):
    with parts.fresh_layout(tmp_path) as layout:
        with parts.run_seaweed(layout) as settings:
            client = s3_client(settings)
            client.create_bucket(
                Bucket="stagewright-3", CreateBucketConfiguration={"LocationConstraint": settings.region}
            )
            client.put_object(
                Bucket="stagewright-3", Key="front/index.html", Body=b"hi", ContentType="text/html"
            )
        with parts.run_seaweed(layout) as settings:
            found = httpx.get(f"{settings.s3_endpoint}/stagewright-3/front/index.html")
            assert (found.status_code, found.content) == (200, b"hi")
            assert found.headers["content-type"] == "text/html"
            assert httpx.get(f"{settings.s3_endpoint}/stagewright-3/").status_code == 403
            put = httpx.put(f"{settings.s3_endpoint}/stagewright-3/front/index.html", content=b"no")
            assert put.status_code == 403


def test_the_proxy_keeps_its_sites_over_a_restart_with_other_ports(tmp_path):
    with parts.fresh_layout(tmp_path) as layout:
        with parts.run_caddy(layout) as settings:
            _add_site(settings)
            _assert_site(settings)
        taken = settings.https_port
        with parts.listening(taken), parts.run_caddy(layout) as settings:
            assert settings.https_port != taken
            _assert_site(settings)


def _admin(settings: ProxySettings) -> httpx.Client:
    socket = settings.admin.removeprefix("unix/")
    return httpx.Client(transport=httpx.HTTPTransport(uds=socket), base_url="http://localhost")


def _add_site(settings: ProxySettings) -> None:
    site = {
        "listen": [f"{settings.listen}:{settings.https_port}"],
        "routes": [
            {
                "match": [{"host": ["site.example.org"]}],
                "handle": [{"handler": "static_response", "body": "ok"}],
            }
        ],
    }
    with _admin(settings) as admin:
        admin.put("/config/apps/http/servers/sites", json=site).raise_for_status()
        policies = {"policies": [{"issuers": [{"module": "internal"}]}]}
        admin.put("/config/apps/tls", json={"automation": policies}).raise_for_status()


def _assert_site(settings: ProxySettings) -> None:
    trust = ssl.create_default_context(cafile=settings.root_ca)
    with httpx.Client(verify=trust, headers={"Host": "site.example.org"}) as client:
        assert eventually_sync(lambda: _answer(client, settings)) == "ok"


def _answer(client: httpx.Client, settings: ProxySettings) -> str:
    url = f"https://{settings.listen}:{settings.https_port}/"
    try:
        return client.get(url, extensions={"sni_hostname": "site.example.org"}).text
    except httpx.TransportError:  # the certificate is being made
        return ""


def test_the_database_server_asks_for_the_password_and_keeps_its_data(tmp_path):
    with parts.fresh_layout(tmp_path) as layout:
        with parts.run_postgres(layout) as server:
            with psycopg.connect(server.dsn, autocommit=True) as connection:
                connection.execute("create table kept (n int)")
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(server.dsn.replace(server.password, "wrong"))
        with parts.run_postgres(layout) as server, psycopg.connect(server.dsn) as connection:
            assert connection.execute("select count(*) from kept").fetchone() == (0,)


def test_a_dead_supervisor_leaves_no_service_behind(tmp_path):
    with parts.fresh_layout(tmp_path) as layout, parts.run_supervisord(layout) as settings:
        pid = parts.supervised(settings, "sleeper", ["sleep", "1000"])
        parts.kill(parts.supervisor_pid(settings))
        parts.assert_gone(pid)


def test_fixtures_serve(
    postgres: Postgres, caddy: ProxySettings, moto: AwsSettings, supervisord: ServerSettings
):
    with psycopg.connect(postgres.dsn) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    with _admin(caddy) as admin:
        assert admin.get("/config/").status_code == 200
    s3_client(moto).create_bucket(
        Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    assert route53_client(moto).list_hosted_zones()["MaxItems"] == "100"
    assert parts.supervisor_pid(supervisord) > 1

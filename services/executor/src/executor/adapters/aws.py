"""AWS by boto3: clients, errors, and Route 53 for domains. The same code serves every compatible endpoint."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from executor.adapters.threads import in_thread
from executor.operators.ports import Record, Zone
from stagewright.errors import Retryable, StagewrightError, Terminal
from stagewright.ids import derived_id
from stagewright.settings import AwsSettings

if TYPE_CHECKING:
    from mypy_boto3_route53 import Route53Client
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

TTL = 60
"""Seconds that resolvers keep our records: short, because environments move."""
_THREADS = 8
_TYPES = {"A", "AAAA", "CNAME"}
_THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "PriorRequestNotComplete",
    "SlowDown",
    "RequestLimitExceeded",
}
_TRANSIENT = {
    "InternalError",
    "ServiceUnavailable",
    "InternalFailure",
    "RequestTimeout",
    "NoSuchBucket",
    "OperationAborted",
}


@dataclass(frozen=True)
class AwsClients:
    """Both clients, made in one thread; calling them from several is safe."""

    route53: "Route53Client"
    s3: "S3Client"


def make_clients(settings: AwsSettings) -> AwsClients:
    """Clients with bounded time and standard retries. Connects nowhere."""
    core = botocore.session.Session()
    if settings.credentials_file:
        core.set_config_variable("credentials_file", str(settings.credentials_file))
    session = boto3.Session(botocore_session=core, region_name=settings.region)
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 4},
        connect_timeout=3,
        read_timeout=15,
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
    )
    return AwsClients(
        session.client("route53", endpoint_url=settings.route53_endpoint, config=config),
        session.client("s3", endpoint_url=settings.s3_endpoint, config=config),
    )


class Threaded:
    """boto3 in a small thread pool, its errors in our words."""

    area = "aws"

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix=self.area)

    async def _call(self, resource: str, work: Callable[[], T]) -> T:
        try:
            return await in_thread(self._pool, work)
        except ClientError as error:
            raise self._refused(resource, code_of(error)) from error
        except BotoCoreError as error:
            raise self._unavailable(resource, type(error).__name__) from error

    def _refused(self, resource: str, code: str) -> StagewrightError:
        if code in _THROTTLED or code in _TRANSIENT or code.startswith("5"):
            return self._unavailable(resource, code)
        return Terminal(
            f"{self.area}.refused",
            resource,
            f"AWS refused the request ({code}).",
            "Check the executor's credentials and policy, and the resource's state.",
        )

    def _unavailable(self, resource: str, said: str) -> Retryable:
        return Retryable(
            f"{self.area}.unavailable",
            resource,
            f"AWS did not do it ({said}).",
            "Check the endpoint and the account's limits.",
            retry_after=2.0,
        )


class Route53(Threaded):
    """The `Dns` port."""

    area = "dns"

    def __init__(self, client: "Route53Client") -> None:
        super().__init__()
        self._client = client

    async def zones(self) -> Sequence[Zone]:
        """See `Dns.zones`."""
        return await self._call("zones", lambda: list(self._zones()))

    async def create_zone(self, name: str) -> Zone:
        """See `Dns.create_zone`.

        The caller reference follows from the zone's name alone: whoever repeats it, in whatever command,
        is told that the zone exists.
        """
        return await self._call(name, lambda: self._create(name))

    async def records(self, zone: Zone, name: str) -> Sequence[Record]:
        """See `Dns.records`."""
        return await self._call(name, lambda: self._records(zone, name))

    async def change(self, zone: Zone, upsert: Sequence[Record], remove: Sequence[Record] = ()) -> None:
        """See `Dns.change`."""
        changes: list[Any] = [{"Action": "DELETE", "ResourceRecordSet": record.handle} for record in remove]
        changes += [{"Action": "UPSERT", "ResourceRecordSet": _record_set(record)} for record in upsert]
        await self._call(
            zone.name,
            lambda: self._client.change_resource_record_sets(
                HostedZoneId=zone.id, ChangeBatch={"Comment": "stagewright", "Changes": changes}
            ),
        )

    def _zones(self) -> Iterator[Zone]:
        for page in self._client.get_paginator("list_hosted_zones").paginate():
            for zone in page["HostedZones"]:
                if not zone.get("Config", {}).get("PrivateZone"):
                    yield Zone(zone["Id"].removeprefix("/hostedzone/"), zone["Name"].rstrip("."))

    def _create(self, name: str) -> Zone:
        try:
            made = self._client.create_hosted_zone(
                Name=f"{name}.", CallerReference=str(derived_id("hosted-zone", name))
            )
        except ClientError as error:
            if code_of(error) != "HostedZoneAlreadyExists":
                raise
            found = next((zone for zone in self._zones() if zone.name == name), None)
            if found is None:
                raise self._unavailable(name, "the zone exists but is not listed yet") from error
            return found
        return Zone(made["HostedZone"]["Id"].removeprefix("/hostedzone/"), name)

    def _records(self, zone: Zone, name: str) -> list[Record]:
        reply = self._client.list_resource_record_sets(
            HostedZoneId=zone.id, StartRecordName=f"{name}.", MaxItems="20"
        )
        return [
            Record(name, found["Type"], _value(found), found)
            for found in reply["ResourceRecordSets"]
            if found["Name"].rstrip(".") == name and found["Type"] in _TYPES
        ]


def _record_set(record: Record) -> dict[str, Any]:
    return {
        "Name": f"{record.name}.",
        "Type": record.type,
        "TTL": TTL,
        "ResourceRecords": [{"Value": record.value}],
    }


def _value(found: Mapping[str, Any]) -> str | None:
    values = found.get("ResourceRecords", [])
    return values[0]["Value"].rstrip(".") if len(values) == 1 and "SetIdentifier" not in found else None


def code_of(error: ClientError) -> str:
    """The error code that AWS gave."""
    return str(error.response.get("Error", {}).get("Code", ""))

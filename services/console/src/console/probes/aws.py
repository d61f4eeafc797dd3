"""What Route 53 and S3 hold."""

from typing import TYPE_CHECKING

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from stagewright.contracts.work import DnsRecord
from stagewright.errors import Retryable
from stagewright.settings import AwsSettings

if TYPE_CHECKING:
    from mypy_boto3_route53 import Route53Client
    from mypy_boto3_s3 import S3Client


def _session(settings: AwsSettings) -> boto3.Session:
    core = botocore.session.Session()
    if settings.credentials_file:
        core.set_config_variable("credentials_file", str(settings.credentials_file))
    return boto3.Session(botocore_session=core, region_name=settings.region)


def _config() -> Config:
    return Config(
        connect_timeout=3,
        read_timeout=10,
        retries={"mode": "standard", "total_max_attempts": 2},
        s3={"addressing_style": "path"},
    )


def route53(settings: AwsSettings) -> "Route53Client":
    """A client at the settings' endpoint."""
    return _session(settings).client("route53", endpoint_url=settings.route53_endpoint, config=_config())


def s3(settings: AwsSettings) -> "S3Client":
    """A client at the settings' endpoint."""
    return _session(settings).client("s3", endpoint_url=settings.s3_endpoint, config=_config())


def records(settings: AwsSettings) -> list[DnsRecord]:
    """Every A and CNAME record of every hosted zone."""
    client = route53(settings)
    found = []
    for zone in client.list_hosted_zones()["HostedZones"]:
        pages = client.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone["Id"])
        for record in (each for page in pages for each in page["ResourceRecordSets"]):
            values = [each["Value"] for each in record.get("ResourceRecords", [])]
            name, kind = record["Name"].rstrip("."), record["Type"]
            if kind == "A" or kind == "CNAME":  # noqa: PLR1714 - the checker narrows the type by this
                found += [DnsRecord(name=name, type=kind, value=value) for value in values]
    return found


def objects(settings: AwsSettings, bucket: str, prefix: str) -> dict[str, str]:
    """Keys below the prefix with their ETags, at most 1,000."""
    found = s3(settings).list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return {each["Key"]: each["ETag"] for each in found}


def read(settings: AwsSettings, bucket: str, key: str) -> str:
    """A small object as text."""
    return s3(settings).get_object(Bucket=bucket, Key=key)["Body"].read(65536).decode()


def check_route53(settings: AwsSettings) -> str:
    """One line about the hosted zones. Raises: Retryable."""
    try:
        zones = route53(settings).list_hosted_zones(MaxItems="100")["HostedZones"]
    except (BotoCoreError, ClientError) as error:
        raise _failed("aws.route53_endpoint", settings.route53_endpoint, error) from error
    return f"answers, {len(zones)} hosted zone{'' if len(zones) == 1 else 's'}"


def check_s3(settings: AwsSettings) -> str:
    """One line about the buckets. Raises: Retryable."""
    try:
        buckets = s3(settings).list_buckets()["Buckets"]
    except (BotoCoreError, ClientError) as error:
        raise _failed("aws.s3_endpoint", settings.s3_endpoint, error) from error
    return f"answers, {len(buckets)} bucket{'' if len(buckets) == 1 else 's'}"


def _failed(field: str, endpoint: str | None, error: Exception) -> Retryable:
    return Retryable(
        "aws.unreachable",
        field,
        f"{endpoint or 'AWS'} does not serve us ({type(error).__name__}).",
        "Check the endpoint, and the credentials that boto3 finds.",
    )

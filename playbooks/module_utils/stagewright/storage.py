"""S3 as modules use it: a client, the objects below a prefix, and words for refusals."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from ansible.module_utils.stagewright.commands import Failure
from boto3.exceptions import S3UploadFailedError
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

AT_ONCE = 8
ERRORS = (ClientError, BotoCoreError, S3UploadFailedError)


def client(s3: dict[str, Any] | None) -> Any:
    """A client for the endpoint, region and credentials file of the settings."""
    s3 = s3 or {}
    if s3.get("credentials_file"):
        os.environ["AWS_SHARED_CREDENTIALS_FILE"] = s3["credentials_file"]
    config = Config(
        connect_timeout=5,
        read_timeout=30,
        retries={"mode": "standard", "max_attempts": 3},
        max_pool_connections=AT_ONCE,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"} if s3.get("endpoint") else None,
    )
    return boto3.client("s3", region_name=s3.get("region"), endpoint_url=s3.get("endpoint"), config=config)


def below(s3: Any, bucket: str, prefix: str) -> dict[str, str]:
    """Keys that begin with the prefix, with their ETags."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {one["Key"]: one["ETag"].strip('"') for page in pages for one in page.get("Contents", [])}


def remove(s3: Any, bucket: str, keys: Iterable[str]) -> None:
    """Remove objects; those that are gone already are as good as removed."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda key: s3.delete_object(Bucket=bucket, Key=key), keys))


def refused(error: Exception | None, bucket: str) -> Failure:
    """What S3 says to one of ERRORS, in our words; without an answer from it, time may help."""
    if isinstance(error, S3UploadFailedError):
        error = error.__cause__ or error.__context__  # what was refused; itself it has only words
    if not isinstance(error, ClientError):
        return Failure(
            f"S3 does not answer ({type(error).__name__}).", "Check its endpoint and the network.",
            resource=f"bucket {bucket}", retryable=True,
        )  # fmt: skip
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return Failure(
        f"S3 refused: {error.response['Error']['Code']}.",
        "See that the bucket exists and the credentials may write to it.",
        resource=f"bucket {bucket}", retryable=status >= 500 or status == 429,
    )  # fmt: skip

"""S3 for fronts, by boto3: buckets that anybody may read and nobody may list."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from executor.adapters.aws import Threaded, code_of
from stagewright.errors import Terminal

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MARKER_LIMIT = 64 * 1024
_GONE = {"404", "NoSuchBucket", "NoSuchKey", "NotFound"}


class S3Buckets(Threaded):
    """The `Buckets` port."""

    area = "bucket"

    def __init__(self, client: "S3Client", region: str) -> None:
        super().__init__()
        self._client = client
        self._region = region

    async def exists(self, bucket: str) -> bool:
        """See `Buckets.exists`."""
        return await self._call(bucket, lambda: self._head(bucket))

    async def create(self, bucket: str) -> None:
        """See `Buckets.create`."""
        await self._call(bucket, lambda: self._create(bucket))

    async def is_readable(self, bucket: str) -> bool:
        """See `Buckets.is_readable`."""
        return await self._call(bucket, lambda: self._policy(bucket) == _read_policy(bucket))

    async def make_readable(self, bucket: str) -> None:
        """See `Buckets.make_readable`."""
        await self._call(bucket, lambda: self._make_readable(bucket))

    async def delete(self, bucket: str) -> Literal["removed", "missing", "kept"]:
        """See `Buckets.delete`."""
        return await self._call(bucket, lambda: self._delete(bucket))

    async def read_json(self, bucket: str, key: str) -> Mapping[str, Any] | None:
        """See `Buckets.read_json`."""
        return await self._call(f"{bucket}/{key}", lambda: self._read(bucket, key))

    def _head(self, bucket: str) -> bool:
        try:
            self._client.head_bucket(Bucket=bucket)
        except ClientError as error:
            if code_of(error) in _GONE:
                return False
            if code_of(error) == "403":
                raise self._taken(bucket) from error
            raise
        return True

    def _create(self, bucket: str) -> None:
        place: dict[str, Any] = (
            {}
            if self._region == "us-east-1"
            else {"CreateBucketConfiguration": {"LocationConstraint": self._region}}
        )
        try:
            self._client.create_bucket(Bucket=bucket, **place)
        except ClientError as error:
            if code_of(error) == "BucketAlreadyExists" and not self._ours(bucket):
                raise self._taken(bucket) from error
            if code_of(error) not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                raise

    def _ours(self, bucket: str) -> bool:
        """Some S3 servers say BucketAlreadyExists of one's own buckets too."""
        return any(found["Name"] == bucket for found in self._client.list_buckets()["Buckets"])

    def _delete(self, bucket: str) -> Literal["removed", "missing", "kept"]:
        """Looks for objects itself: some S3 servers remove a bucket with all that is in it."""
        try:
            self._client.head_bucket(Bucket=bucket)
            if self._client.list_objects_v2(Bucket=bucket, MaxKeys=1).get("KeyCount"):
                return "kept"
            self._client.delete_bucket(Bucket=bucket)
        except ClientError as error:
            if code_of(error) in _GONE or (code_of(error) == "403" and not self._ours(bucket)):
                return "missing"
            if code_of(error) == "BucketNotEmpty":
                return "kept"
            raise
        return "removed"

    def _policy(self, bucket: str) -> object:
        try:
            return json.loads(self._client.get_bucket_policy(Bucket=bucket)["Policy"])
        except ClientError as error:
            if code_of(error) in {"NoSuchBucketPolicy", *_GONE}:
                return None
            raise

    def _make_readable(self, bucket: str) -> None:
        """AWS blocks public policies unless told otherwise; servers without that switch need no telling."""
        try:
            self._client.put_public_access_block(
                Bucket=bucket,
                PublicAccessBlockConfiguration={
                    "BlockPublicAcls": True,
                    "IgnorePublicAcls": True,
                    "BlockPublicPolicy": False,
                    "RestrictPublicBuckets": False,
                },
            )
        except ClientError as error:
            if code_of(error) not in {"NotImplemented", "MethodNotAllowed", "405", "501"}:
                raise
        self._client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(_read_policy(bucket)))

    def _read(self, bucket: str, key: str) -> Mapping[str, Any] | None:
        try:
            body = self._client.get_object(Bucket=bucket, Key=key)["Body"].read(_MARKER_LIMIT)
            found = json.loads(body)
        except ClientError as error:
            if code_of(error) in _GONE:
                return None
            raise
        except ValueError:
            return None
        return found if isinstance(found, dict) else None

    def _taken(self, bucket: str) -> Terminal:
        return Terminal(
            "bucket.name_taken",
            bucket,
            "the bucket belongs to another account.",
            "Set aws.bucket_prefix to one that nobody else uses.",
        )


def _read_policy(bucket: str) -> dict[str, Any]:
    """Anybody may read an object whose name is known; nobody may list or write."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "StagewrightFrontsAreRead",
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{bucket}/*",
            }
        ],
    }

"""AWS stricter than the real thing is kind: Route 53 and S3 as documented, and on their bad days."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError


def refused(code: str, operation: str = "Operation", status: int = 400) -> ClientError:
    """An answer of AWS that is an error."""
    reply: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(reply, operation)


@dataclass
class Weather:
    """What goes wrong: `throttle` refuses the next calls, `lose` does one and loses its answer."""

    throttle: int = 0
    lose: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)

    def before(self, operation: str) -> None:
        """Before anything happens."""
        self.calls.append(operation)
        if self.throttle:
            self.throttle -= 1
            raise refused("Throttling", operation)

    def after(self, operation: str) -> None:
        """After it happened."""
        if operation in self.lose:
            self.lose.discard(operation)
            raise ReadTimeoutError(endpoint_url="https://aws.example.com")

    def changes(self) -> list[str]:
        """The calls that change something."""
        return [call for call in self.calls if call.split("_")[0] in {"create", "put", "change", "delete"}]


class StrictRoute53:
    """Route 53 as documented: caller references are remembered, lists lag behind, changes are all or none."""

    def __init__(self, weather: Weather | None = None, lag: int = 0) -> None:
        self.weather = weather or Weather()
        self.lag = lag
        self.zones: dict[str, dict[str, Any]] = {}
        self._references: dict[str, str] = {}
        self._unseen: dict[str, int] = {}

    def get_paginator(self, operation: str) -> Any:
        return SimpleNamespace(paginate=lambda: self._pages(operation))

    def _pages(self, operation: str):
        self.weather.before(operation)
        for zone in list(self._unseen):
            self._unseen[zone] -= 1
            if self._unseen[zone] < 0:
                del self._unseen[zone]
        seen = [zone for zone in self.zones.values() if zone["Id"] not in self._unseen]
        for first in range(0, max(1, len(seen)), 2):
            yield {"HostedZones": seen[first : first + 2]}

    def create_hosted_zone(self, *, Name: str, CallerReference: str) -> Any:  # noqa: N803 - boto3's words
        self.weather.before("create_hosted_zone")
        if CallerReference in self._references:
            raise refused("HostedZoneAlreadyExists", "CreateHostedZone", 409)
        identifier = f"/hostedzone/Z{len(self.zones)}"
        self._references[CallerReference] = identifier
        zone = {"Id": identifier, "Name": Name, "Config": {"PrivateZone": False}, "sets": []}
        self.zones[identifier] = zone
        self._unseen[identifier] = self.lag
        self.weather.after("create_hosted_zone")
        return {"HostedZone": zone}

    def list_resource_record_sets(self, *, HostedZoneId: str, StartRecordName: str, MaxItems: str) -> Any:  # noqa: N803
        self.weather.before("list_resource_record_sets")
        sets = sorted(self._sets(HostedZoneId), key=lambda one: (one["Name"], one["Type"]))
        return {
            "ResourceRecordSets": [one for one in sets if one["Name"] >= StartRecordName][: int(MaxItems)]
        }

    def change_resource_record_sets(self, *, HostedZoneId: str, ChangeBatch: Any) -> Any:  # noqa: N803
        self.weather.before("change_resource_record_sets")
        sets = list(self._sets(HostedZoneId))
        for change in ChangeBatch["Changes"]:
            wanted = change["ResourceRecordSet"]
            if change["Action"] == "DELETE":
                if wanted not in sets:
                    raise refused("InvalidChangeBatch")
                sets.remove(wanted)
            else:
                sets = [one for one in sets if (one["Name"], one["Type"]) != (wanted["Name"], wanted["Type"])]
                sets.append(wanted)
        for name in {one["Name"] for one in sets}:
            types = [one["Type"] for one in sets if one["Name"] == name]
            if "CNAME" in types and len(types) > 1:
                raise refused("InvalidChangeBatch")
        self.zones[f"/hostedzone/{HostedZoneId}"]["sets"] = sets
        self.weather.after("change_resource_record_sets")
        return {"ChangeInfo": {"Status": "PENDING"}}

    def _sets(self, zone: str) -> list[dict[str, Any]]:
        return self.zones[f"/hostedzone/{zone}"]["sets"]


class StrictS3:
    """S3 as documented: public policies are blocked until unblocked, new buckets are not seen at once."""

    def __init__(self, weather: Weather | None = None, lag: int = 0, taken: Sequence[str] = ()) -> None:
        self.weather = weather or Weather()
        self.lag = lag
        self.taken = set(taken)
        self.buckets: dict[str, dict[str, Any]] = {}

    def head_bucket(self, *, Bucket: str) -> None:  # noqa: N803
        self.weather.before("head_bucket")
        if Bucket in self.taken:
            raise refused("403", "HeadBucket", 403)
        bucket = self.buckets.get(Bucket)
        if bucket is None or self._hidden(bucket):
            raise refused("404", "HeadBucket", 404)

    @staticmethod
    def _hidden(bucket: dict[str, Any]) -> bool:
        bucket["unseen"] -= 1
        return bucket["unseen"] >= 0

    def create_bucket(self, *, Bucket: str, CreateBucketConfiguration: Any = None) -> None:  # noqa: N803
        self.weather.before("create_bucket")
        if Bucket in self.taken:
            raise refused("BucketAlreadyExists", "CreateBucket", 409)
        if Bucket in self.buckets:
            raise refused("BucketAlreadyOwnedByYou", "CreateBucket", 409)
        self.buckets[Bucket] = {"unseen": self.lag, "blocked": True, "policy": None, "objects": {}}
        self.weather.after("create_bucket")

    def list_objects_v2(self, *, Bucket: str, MaxKeys: int) -> Any:  # noqa: N803
        self.weather.before("list_objects_v2")
        if Bucket not in self.buckets:
            raise refused("NoSuchBucket", "ListObjectsV2", 404)
        keys = sorted(self.buckets[Bucket]["objects"])[:MaxKeys]
        return {"KeyCount": len(keys), "Contents": [{"Key": key} for key in keys]}

    def delete_bucket(self, *, Bucket: str) -> None:  # noqa: N803
        self.weather.before("delete_bucket")
        if Bucket not in self.buckets:
            raise refused("NoSuchBucket", "DeleteBucket", 404)
        if self.buckets[Bucket]["objects"]:
            raise refused("BucketNotEmpty", "DeleteBucket", 409)
        del self.buckets[Bucket]
        self.weather.after("delete_bucket")

    def list_buckets(self) -> Any:
        self.weather.before("list_buckets")
        return {"Buckets": [{"Name": name} for name in self.buckets]}

    def get_bucket_policy(self, *, Bucket: str) -> Any:  # noqa: N803
        self.weather.before("get_bucket_policy")
        if self.buckets[Bucket]["policy"] is None:
            raise refused("NoSuchBucketPolicy", "GetBucketPolicy", 404)
        return {"Policy": self.buckets[Bucket]["policy"]}

    def put_public_access_block(self, *, Bucket: str, PublicAccessBlockConfiguration: Any) -> None:  # noqa: N803
        self.weather.before("put_public_access_block")
        self.buckets[Bucket]["blocked"] = PublicAccessBlockConfiguration["BlockPublicPolicy"]

    def put_bucket_policy(self, *, Bucket: str, Policy: str) -> None:  # noqa: N803
        self.weather.before("put_bucket_policy")
        if self.buckets[Bucket]["blocked"]:
            raise refused("AccessDenied", "PutBucketPolicy", 403)
        self.buckets[Bucket]["policy"] = Policy
        self.weather.after("put_bucket_policy")

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803
        self.buckets[Bucket]["objects"][Key] = Body

    def get_object(self, *, Bucket: str, Key: str) -> Any:  # noqa: N803
        self.weather.before("get_object")
        if Bucket not in self.buckets:
            raise refused("NoSuchBucket", "GetObject", 404)
        if Key not in self.buckets[Bucket]["objects"]:
            raise refused("NoSuchKey", "GetObject", 404)
        return {"Body": BytesIO(self.buckets[Bucket]["objects"][Key])}

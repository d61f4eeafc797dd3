"""The contracts of the executor's AWS ports, written once; each backend subclasses them."""

import json
from abc import ABC, abstractmethod
from typing import Any
from uuid import uuid4

import pytest

from executor.adapters.aws import Route53
from executor.adapters.aws_s3 import S3Buckets
from executor.operators.domains import EnvironmentDomainsOperator
from executor.operators.environment import EnvironmentOperator
from stagewright.contracts.work import Allocation, DnsRecord
from stagewright.errors import Terminal
from stagewright.settings import ProxySettings, Settings
from tests.support.executor_doubles import memory_world


def settings(target: str = "192.0.2.10") -> Settings:
    """Settings of a test: where domains point."""
    return Settings(profile="test", proxy=ProxySettings(dns_target=target))


class DnsContract(ABC):
    """What `configure_environment` stands on."""

    @abstractmethod
    def client(self) -> Any:
        """A Route 53 client; several calls see the same zones."""

    @pytest.fixture
    def zone(self) -> str:
        """A registered name of this test alone."""
        return f"z{uuid4().hex[:12]}.example"

    def operator(self, target: str = "192.0.2.10") -> EnvironmentDomainsOperator:
        return EnvironmentDomainsOperator("3", memory_world(settings(target), dns=Route53(self.client())))

    def records(self, zone: str) -> set[tuple[str, str, str]]:
        """What a resolver would see, asked past the adapter."""
        client = self.client()
        pages = client.get_paginator("list_hosted_zones").paginate()
        (found,) = [one for page in pages for one in page["HostedZones"] if one["Name"] == f"{zone}."]
        sets = client.list_resource_record_sets(
            HostedZoneId=found["Id"].removeprefix("/hostedzone/"), StartRecordName="a.", MaxItems="100"
        )["ResourceRecordSets"]
        return {
            (one["Name"], one["Type"], one["ResourceRecords"][0]["Value"])
            for one in sets
            if one["Type"] in {"A", "CNAME"}
        }

    async def test_domains_point_at_the_proxy_and_the_second_time_changes_nothing(self, zone: str) -> None:
        domains = [f"api.lab.{zone}", f"front.lab.{zone}"]
        _, changed = await self.operator().configure(domains)
        records, again = await self.operator().configure(domains)
        assert (changed, again) == (tuple(domains), ())
        assert [record.name for record in records] == domains
        assert self.records(zone) == {(f"{name}.", "A", "192.0.2.10") for name in domains}

    async def test_only_what_differs_is_written(self, zone: str) -> None:
        await self.operator().configure([f"a.{zone}"])
        _, changed = await self.operator().configure([f"a.{zone}", f"b.{zone}"])
        assert changed == (f"b.{zone}",)

    async def test_another_type_makes_way(self, zone: str) -> None:
        await self.operator().configure([f"a.{zone}"])
        _, changed = await self.operator("proxy.example.net").configure([f"a.{zone}"])
        assert changed == (f"a.{zone}",)
        assert self.records(zone) == {(f"a.{zone}.", "CNAME", "proxy.example.net")}
        await self.operator().configure([f"a.{zone}"])
        assert self.records(zone) == {(f"a.{zone}.", "A", "192.0.2.10")}

    async def test_what_was_written_is_removed_and_what_is_others_stays(self, zone: str) -> None:
        records, _ = await self.operator().configure([f"{name}.{zone}" for name in "abc"])
        ours = [*records, DnsRecord(name=f"d.{zone}", type="A", value="192.0.2.10")]
        await self.operator("proxy.example.net").configure([f"b.{zone}"])
        await self.operator("192.0.2.99").configure([f"c.{zone}"])
        removed = await self.operator().deconfigure(ours)
        assert (removed, await self.operator().deconfigure(ours)) == ((f"a.{zone}",), ())
        assert self.records(zone) == {
            (f"b.{zone}.", "CNAME", "proxy.example.net"),
            (f"c.{zone}.", "A", "192.0.2.99"),
        }

    async def test_a_record_in_an_older_zone_is_found(self, zone: str) -> None:
        records, _ = await self.operator().configure([f"api.lab.{zone}"])
        await Route53(self.client()).create_zone(f"lab.{zone}")
        assert await self.operator().deconfigure(records) == (f"api.lab.{zone}",)
        assert self.records(zone) == set()

    async def test_removing_where_no_zone_is_makes_none(self, zone: str) -> None:
        before = len(await Route53(self.client()).zones())
        record = DnsRecord(name=f"api.{zone}", type="A", value="192.0.2.10")
        assert await self.operator().deconfigure([record]) == ()
        assert len(await Route53(self.client()).zones()) == before

    async def test_the_longest_zone_takes_the_record(self, zone: str) -> None:
        dns = Route53(self.client())
        await dns.create_zone(zone)
        await dns.create_zone(f"lab.{zone}")
        await self.operator().configure([f"api.lab.{zone}"])
        assert self.records(zone) == set()
        assert self.records(f"lab.{zone}") == {(f"api.lab.{zone}.", "A", "192.0.2.10")}


class BucketsContract(ABC):
    """What `allocate_resources` and `inspect` of fronts stand on."""

    @abstractmethod
    def client(self) -> Any:
        """An S3 client; several calls see the same buckets."""

    @pytest.fixture
    def bucket(self) -> str:
        """A name of this test alone."""
        return f"stagewright-{uuid4().hex[:12]}"

    def buckets(self) -> S3Buckets:
        return S3Buckets(self.client(), "eu-west-1")

    async def allocate(self, bucket: str) -> tuple[str, ...]:
        world = memory_world(settings(), buckets=self.buckets())
        return await EnvironmentOperator("3", world).allocate(
            [
                Allocation(service="8", bucket=bucket, prefix="8"),
                Allocation(service="9", bucket=bucket, prefix="9"),
            ]
        )

    async def test_a_bucket_is_made_once_and_may_be_read(self, bucket: str) -> None:
        assert await self.allocate(bucket) == (f"bucket:{bucket}",)
        assert await self.allocate(bucket) == ()
        assert await self.buckets().is_readable(bucket)

    async def test_making_it_again_is_as_good_as_made(self, bucket: str) -> None:
        await self.buckets().create(bucket)
        await self.buckets().create(bucket)
        assert bucket in [one["Name"] for one in self.client().list_buckets()["Buckets"]]

    async def test_a_bucket_without_its_policy_is_mended(self, bucket: str) -> None:
        await self.buckets().create(bucket)
        assert await self.allocate(bucket) == (f"bucket:{bucket}",)
        assert await self.buckets().is_readable(bucket)

    async def release(self, *buckets: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return await EnvironmentOperator("3", memory_world(settings(), buckets=self.buckets())).release(
            buckets
        )

    async def test_an_empty_bucket_is_removed_once_and_can_be_made_again(self, bucket: str) -> None:
        await self.allocate(bucket)
        assert await self.release(bucket) == ((f"bucket:{bucket}",), ())
        assert bucket not in [one["Name"] for one in self.client().list_buckets()["Buckets"]]
        assert await self.release(bucket) == ((), ())
        assert await self.allocate(bucket) == (f"bucket:{bucket}",)

    async def test_a_bucket_that_holds_objects_stays_with_them(self, bucket: str) -> None:
        await self.allocate(bucket)
        self.client().put_object(Bucket=bucket, Key="of-somebody", Body=b"else")
        assert await self.release(bucket) == ((), (bucket,))
        assert self.client().get_object(Bucket=bucket, Key="of-somebody")["Body"].read() == b"else"

    async def test_the_marker_is_read_and_what_is_no_marker_is_none(self, bucket: str) -> None:
        assert await self.buckets().read_json(bucket, "8/deployed.json") is None
        await self.buckets().create(bucket)
        assert await self.buckets().read_json(bucket, "8/deployed.json") is None
        for body, found in ((b'{"commit": "abc"}', {"commit": "abc"}), (b"<html>", None), (b"[1]", None)):
            self.client().put_object(Bucket=bucket, Key="8/deployed.json", Body=body)
            assert await self.buckets().read_json(bucket, "8/deployed.json") == found


def policy(client: Any, bucket: str) -> Any:
    """A bucket's policy as JSON."""
    return json.loads(client.get_bucket_policy(Bucket=bucket)["Policy"])


__all__ = ["BucketsContract", "DnsContract", "Terminal", "policy", "settings"]

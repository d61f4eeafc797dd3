"""The AWS adapters over the strict double: the contracts, and what happens on bad days."""

from typing import Any

import pytest

from executor.adapters.aws import Route53
from executor.adapters.aws_s3 import S3Buckets
from executor.operators.domains import EnvironmentDomainsOperator
from executor.operators.environment import EnvironmentOperator
from stagewright.contracts.work import Allocation
from stagewright.errors import Retryable, Terminal
from tests.support.executor_contracts import BucketsContract, DnsContract, policy, settings
from tests.support.executor_doubles import memory_world
from tests.support.executor_strict_aws import StrictRoute53, StrictS3, Weather

DOMAINS = ["api.lab.makeitsaas.com", "front.lab.makeitsaas.com"]


class TestStrictDns(DnsContract):
    @pytest.fixture(autouse=True)
    def _double(self) -> None:
        self._client = StrictRoute53()

    def client(self) -> Any:
        return self._client


class TestStrictBuckets(BucketsContract):
    @pytest.fixture(autouse=True)
    def _double(self) -> None:
        self._client = StrictS3()

    def client(self) -> Any:
        return self._client


def dns_operator(client: StrictRoute53) -> EnvironmentDomainsOperator:
    return EnvironmentDomainsOperator("3", memory_world(settings(), dns=Route53(client)))


def bucket_operator(client: StrictS3) -> EnvironmentOperator:
    return EnvironmentOperator("3", memory_world(settings(), buckets=S3Buckets(client, "eu-west-1")))


async def until_done(work, attempts: int = 6) -> Any:
    """As the saga does: again after a retryable failure."""
    for _ in range(attempts):
        try:
            return await work()
        except Retryable:
            continue
    raise AssertionError("never done")


@pytest.mark.parametrize("lost", ["create_hosted_zone", "change_resource_record_sets"])
@pytest.mark.parametrize("lag", [0, 2])
async def test_a_lost_answer_makes_no_second_zone_and_no_second_record(lost: str, lag: int) -> None:
    client = StrictRoute53(Weather(lose={lost}), lag=lag)
    await until_done(lambda: dns_operator(client).configure(DOMAINS))
    (zone,) = client.zones.values()
    assert zone["Name"] == "makeitsaas.com."
    assert sorted(one["Name"] for one in zone["sets"]) == [f"{name}." for name in DOMAINS]


async def test_two_environments_that_need_one_zone_make_one() -> None:
    client = StrictRoute53(lag=1)
    await dns_operator(client).configure(DOMAINS[:1])
    await until_done(lambda: dns_operator(client).configure(DOMAINS[1:]))
    assert len(client.zones) == 1


async def test_throttling_is_retryable_and_says_where() -> None:
    client = StrictRoute53(Weather(throttle=1))
    with pytest.raises(Retryable) as raised:
        await dns_operator(client).configure(DOMAINS)
    assert raised.value.info.code == "dns.unavailable"
    assert "Throttling" in raised.value.info.reason


async def test_a_cname_at_the_apex_is_refused_before_anything_is_written() -> None:
    client = StrictRoute53()
    world = memory_world(settings("proxy.example.net"), dns=Route53(client))
    await Route53(client).create_zone("makeitsaas.com")
    with pytest.raises(Terminal) as raised:
        await EnvironmentDomainsOperator("3", world).configure(["makeitsaas.com"])
    assert raised.value.info.code == "dns.apex_cname"
    assert "change_resource_record_sets" not in client.weather.calls


@pytest.mark.parametrize("lost", ["create_bucket", "put_bucket_policy"])
async def test_a_bucket_whose_answer_was_lost_is_there_once_with_its_policy(lost: str) -> None:
    client = StrictS3(Weather(lose={lost}), lag=1)
    allocations = [Allocation(service="8", bucket="stagewright-3", prefix="8")]
    await until_done(lambda: bucket_operator(client).allocate(allocations))
    assert list(client.buckets) == ["stagewright-3"]
    (statement,) = policy(client, "stagewright-3")["Statement"]
    assert (statement["Action"], statement["Resource"]) == ("s3:GetObject", "arn:aws:s3:::stagewright-3/*")


async def test_a_bucket_of_somebody_else_is_for_a_person() -> None:
    client = StrictS3(taken=["stagewright-3"])
    with pytest.raises(Terminal) as raised:
        await bucket_operator(client).allocate([Allocation(service="8", bucket="stagewright-3", prefix="8")])
    assert raised.value.info.code == "bucket.name_taken"


async def test_the_second_time_only_looks() -> None:
    client, storage = StrictRoute53(), StrictS3()
    allocations = [Allocation(service="8", bucket="stagewright-3", prefix="8")]
    for _ in range(2):
        await dns_operator(client).configure(DOMAINS)
        await bucket_operator(storage).allocate(allocations)
    assert client.weather.changes() == ["create_hosted_zone", "change_resource_record_sets"]
    assert storage.weather.changes() == ["create_bucket", "put_public_access_block", "put_bucket_policy"]


async def test_a_removal_whose_answer_was_lost_is_done_once() -> None:
    client, storage = StrictRoute53(), StrictS3()
    records, _ = await dns_operator(client).configure(DOMAINS)
    await bucket_operator(storage).allocate([Allocation(service="8", bucket="stagewright-3", prefix="8")])
    client.weather = Weather(lose={"change_resource_record_sets"})
    storage.weather = Weather(lose={"delete_bucket"})
    assert await until_done(lambda: dns_operator(client).deconfigure(records)) == ()
    assert await until_done(lambda: bucket_operator(storage).release(["stagewright-3"])) == ((), ())
    (zone,) = client.zones.values()
    assert (zone["sets"], storage.buckets) == ([], {})
    assert client.weather.changes() == ["change_resource_record_sets"]
    assert storage.weather.changes() == ["delete_bucket"]


async def test_a_bucket_that_somebody_else_has_by_now_is_no_longer_ours_to_remove() -> None:
    client = StrictS3(taken=["stagewright-3"])
    assert await bucket_operator(client).release(["stagewright-3"]) == ((), ())
    assert client.weather.changes() == []

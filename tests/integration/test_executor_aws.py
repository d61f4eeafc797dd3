"""The AWS adapters against moto and SeaweedFS: lenient servers, the same contracts as the strict double."""

from typing import Any

import httpx
import pytest

from executor.adapters.aws import make_clients
from stagewright.settings import AwsSettings
from tests.support.executor_contracts import BucketsContract, DnsContract


class TestRoute53OfMoto(DnsContract):
    @pytest.fixture(autouse=True)
    def _server(self, moto: AwsSettings) -> None:
        self._client = make_clients(moto).route53

    def client(self) -> Any:
        return self._client


class TestBucketsOfMoto(BucketsContract):
    @pytest.fixture(autouse=True)
    def _server(self, moto: AwsSettings) -> None:
        self._client = make_clients(moto).s3

    def client(self) -> Any:
        return self._client


class TestBucketsOfSeaweed(BucketsContract):
    @pytest.fixture(autouse=True)
    def _server(self, seaweed_s3: AwsSettings) -> None:
        self._settings = seaweed_s3
        self._client = make_clients(seaweed_s3).s3

    def client(self) -> Any:
        return self._client

    async def test_anybody_may_read_an_object_and_nothing_else(self, bucket: str) -> None:
        await self.allocate(bucket)
        self.client().put_object(Bucket=bucket, Key="8/index.html", Body=b"<h1>")
        async with httpx.AsyncClient(base_url=f"{self._settings.s3_endpoint}/{bucket}") as anybody:
            assert (await anybody.get("/8/index.html")).text == "<h1>"
            assert (await anybody.get("/", params={"list-type": "2"})).status_code == 403
            assert (await anybody.put("/8/index.html", content=b"mine")).status_code == 403

"""Settings that must not go together."""

import pytest
from pydantic import ValidationError

from stagewright.settings import AwsSettings, ExecutorSettings, Settings


@pytest.mark.parametrize("dumps", ["s3://acme-dumps", "s3://acme-3/dumps", "s3://ACME-x"])
def test_dumps_never_go_to_where_fronts_are_read(dumps: str) -> None:
    with pytest.raises(ValidationError, match="must not name a bucket that begins with acme-"):
        Settings(aws=AwsSettings(bucket_prefix="acme"), executor=ExecutorSettings(dumps=dumps))


@pytest.mark.parametrize("dumps", ["", "s3://acme/dumps", "s3://dumps/acme-3", "acme-3", "/srv/acme-3"])
def test_any_other_place_may_hold_dumps(dumps: str) -> None:
    settings = Settings(aws=AwsSettings(bucket_prefix="acme"), executor=ExecutorSettings(dumps=dumps))
    assert settings.executor.dumps == dumps

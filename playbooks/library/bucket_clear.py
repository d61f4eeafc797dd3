"""Ansible module: nothing of a front is left under its prefix of its bucket, `deployed.json` first."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.stagewright import step, storage
from ansible.module_utils.stagewright.commands import Failure
from botocore.exceptions import ClientError

ARGUMENT_SPEC: dict[str, Any] = {
    "bucket": {"type": "str", "required": True},
    "prefix": {"type": "str", "required": True},
    "s3": {"type": "dict", "default": {}},
}

RECORD = "deployed.json"


def keys(s3: Any, bucket: str, prefix: str) -> list[str]:
    """What is to go: the record that says what is there before what is there."""
    try:
        found = storage.below(s3, bucket, prefix)
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchBucket":
            return []
        raise
    return sorted(found, key=lambda key: (key != prefix + RECORD, key))


def ensure(parameters: dict[str, Any]) -> dict[str, Any]:
    """The module's answer."""
    bucket, prefix = parameters["bucket"], parameters["prefix"].strip("/") + "/"
    if prefix == "/":
        raise Failure("The front has no prefix.", "Its bucket is not its own: name what is.", resource=bucket)
    try:
        s3 = storage.client(parameters["s3"])
        found = keys(s3, bucket, prefix)
        storage.remove(s3, bucket, found[:1])
        storage.remove(s3, bucket, found[1:])
    except storage.ERRORS as error:
        raise storage.refused(error, bucket) from None
    return {"changed": bool(found), "detail": f"{len(found)} removed"}


def main() -> None:
    """Entry point."""
    step.main(ARGUMENT_SPEC, ensure)


if __name__ == "__main__":
    main()

"""Bucket policies of the embedded S3: what a condition denies is not denied to everyone."""

import json

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from localcloud.aws import install

BUCKET = "state"


def put(condition: dict[str, object] | None) -> None:
    """An object in a bucket whose policy denies everything, under the condition if there is one."""
    statement: dict[str, object] = {"Effect": "Deny", "Principal": "*", "Action": "s3:*"}
    statement["Resource"] = [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]
    if condition:
        statement["Condition"] = condition
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_policy(
        Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    s3.put_object(Bucket=BUCKET, Key="x", Body=b"1")


def test_a_deny_that_depends_on_something_does_not_shut_everybody_out() -> None:
    install()
    with mock_aws():
        put({"Bool": {"aws:SecureTransport": "false"}})


def test_a_plain_deny_denies() -> None:
    install()
    with mock_aws(), pytest.raises(ClientError, match="403"):
        put(None)

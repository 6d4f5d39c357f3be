"""Calls of the AWS API, read back from what goes over the wire."""

from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config

from tests.cloud.recorder import read


def sent(service: str, operation: str, **given: Any) -> tuple[str, dict[str, Any]]:
    """What is read of a call that boto3 makes; nothing leaves this process."""
    session = boto3.Session(
        aws_access_key_id="testing",
        aws_secret_access_key="testing",  # noqa: S106 - none
        region_name="eu-west-1",
    )
    # The embedded cloud is reached by paths.
    by_path = Config(s3={"addressing_style": "path"})
    client: Any = session.client(service, config=by_path)  # type: ignore[call-overload]
    kept: list[AWSPreparedRequest] = []

    def keep(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        kept.append(request)
        raise StopIteration

    client.meta.events.register("before-send", keep)
    with pytest.raises(StopIteration):
        getattr(client, operation)(**given)
    (request,) = kept
    body: Any = request.body or b""
    if hasattr(body, "read"):
        body = body.read()
    if isinstance(body, str):
        body = body.encode()
    headers = {
        name: value.decode() if isinstance(value, bytes) else str(value)
        for name, value in request.headers.items()
    }
    path = "/" + str(request.url).split("/", 3)[3]
    return read(service, str(request.method), path, headers, body)


@pytest.mark.parametrize(
    ("service", "operation", "given", "read_as"),
    [
        (
            "iam",
            "create_role",
            {"RoleName": "a", "Path": "/x/", "AssumeRolePolicyDocument": "{}"},
            "CreateRole",
        ),
        ("ec2", "describe_vpcs", {"VpcIds": ["vpc-1"]}, "DescribeVpcs"),
        ("ecs", "run_task", {"taskDefinition": "a:1", "cluster": "c"}, "RunTask"),
        ("cloudwatch", "put_dashboard", {"DashboardName": "d", "DashboardBody": "{}"}, "PutDashboard"),
        ("backup", "create_backup_vault", {"BackupVaultName": "v"}, "CreateBackupVault"),
        ("backup", "describe_backup_vault", {"BackupVaultName": "v"}, "DescribeBackupVault"),
        ("s3", "put_object", {"Bucket": "b", "Key": "k/l", "Body": b"x"}, "PutObject"),
        ("s3", "copy_object", {"Bucket": "b", "Key": "k", "CopySource": "b/o"}, "CopyObject"),
        ("s3", "get_object", {"Bucket": "b", "Key": "k/l"}, "GetObject"),
        ("s3", "delete_object", {"Bucket": "b", "Key": "k"}, "DeleteObject"),
        ("s3", "list_objects_v2", {"Bucket": "b", "Prefix": "p"}, "ListObjectsV2"),
        ("s3", "head_bucket", {"Bucket": "b"}, "HeadBucket"),
        ("s3", "get_bucket_policy", {"Bucket": "b"}, "GetBucketPolicy"),
        ("s3", "get_public_access_block", {"Bucket": "b"}, "GetPublicAccessBlock"),
    ],
)
def test_a_call_is_read_as_the_operation_that_it_is(
    service: str, operation: str, given: dict[str, Any], read_as: str
) -> None:
    found, parameters = sent(service, operation, **given)
    assert found == read_as
    for name in {
        "RoleName",
        "Path",
        "cluster",
        "DashboardName",
        "BackupVaultName",
        "Bucket",
        "Key",
    } & given.keys():
        found_as = {key.lower(): value for key, value in parameters.items()}
        assert found_as[name.lower()] == given[name]


def test_what_is_no_operation_is_told() -> None:
    with pytest.raises(LookupError, match="no such operation"):
        read("backup", "PATCH", "/nothing/of/the/kind", {}, b"")

"""`switchyard bootstrap` in accounts of its own: made, moved into its own bucket, found again, refused."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest

from localcloud import cloud
from switchyard import bootstrap
from switchyard.bootstrap_account import WrongAccount
from switchyard.errors import SwitchyardError

pytestmark = pytest.mark.cloud

ACCOUNT = "100000000051"
ADOPTING = "100000000052"
REGION = "eu-west-1"
BUCKET = f"switchyard-pulumi-state-{ACCOUNT}"


def aws(service: str, account: str = ACCOUNT) -> Any:
    environment = cloud.environment(account)
    return boto3.client(
        service,  # type: ignore[call-overload]
        region_name=REGION,
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


def run(folder: Path, said: list[str], account: str = ACCOUNT, **changed: Any) -> bootstrap.Bootstrapped:
    given: Mapping[str, Any] = {"yes": True, "environment": cloud.environment(account)} | changed
    return bootstrap.run(
        account, REGION, "acme/shop", ["staging", "prod"], say=said.append, folder=folder, **given
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bootstrap")


@pytest.fixture(scope="module")
def first(embedded_cloud: cloud.Cloud, folder: Path) -> tuple[bootstrap.Bootstrapped, list[str]]:  # noqa: ARG001
    said: list[str] = []
    with pytest.raises(bootstrap.NotConfirmed):
        run(folder, said, yes=False)
    assert any("aws:s3/bucket:Bucket: (create)" in text for text in said), "what it would do is shown"
    with pytest.raises(bootstrap.NotConfirmed):
        run(folder, said, yes=False, ask=lambda question: ACCOUNT not in question)
    names = [bucket["Name"] for bucket in aws("s3").list_buckets()["Buckets"]]
    assert BUCKET not in names, "a preview makes nothing"
    return run(folder, said, yes=False, ask=lambda question: ACCOUNT in question), said


def test_the_first_run_makes_it_all_and_moves_the_state_into_its_own_bucket(
    first: tuple[bootstrap.Bootstrapped, list[str]], folder: Path
) -> None:
    done, _ = first
    assert set(done.changes) == {"create"}
    keys = [entry["Key"] for entry in aws("s3").list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert f".pulumi/stacks/switchyard-bootstrap/{ACCOUNT}.json" in keys
    assert not (folder / "state").exists(), "two states would be one too many"
    assert set(done.writer_role_arns) == {"staging", "prod"}


@pytest.mark.usefixtures("first")
def test_the_state_is_sealed_with_the_accounts_own_key() -> None:
    text = aws("s3").get_object(Bucket=BUCKET, Key=f".pulumi/stacks/switchyard-bootstrap/{ACCOUNT}.json")
    state = json.loads(text["Body"].read())["checkpoint"]["latest"]
    assert state["secrets_providers"]["type"] == "cloud"
    assert state["secrets_providers"]["state"]["url"].startswith("awskms://alias/switchyard-secrets?")


@pytest.mark.usefixtures("first")
def test_aws_holds_what_was_asked_for() -> None:
    s3, iam, kms = aws("s3"), aws("iam"), aws("kms")
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    assert set(s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"].values()) == {True}
    policy = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])
    assert {one["Sid"] for one in policy["Statement"]} >= {"DenyPlainHttp", "DenyOtherAccounts"}
    aliases = {a["AliasName"]: a.get("TargetKeyId") for a in kms.list_aliases()["Aliases"]}
    for alias in ("alias/switchyard-state", "alias/switchyard-secrets"):
        assert kms.get_key_rotation_status(KeyId=aliases[alias])["KeyRotationEnabled"] is True
    (provider,) = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    found = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=provider["Arn"])
    assert found["ClientIDList"] == ["sts.amazonaws.com"]
    for environment in ("staging", "prod"):
        role = iam.get_role(RoleName=f"switchyard-writer-{environment}")["Role"]
        condition = role["AssumeRolePolicyDocument"]["Statement"][0]["Condition"]["StringEquals"]
        assert condition == {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": [f"repo:acme/shop:environment:{environment}"],
        }


@pytest.mark.usefixtures("first")
def test_a_second_run_finds_the_state_from_anywhere_and_changes_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    again = run(tmp_path / "another-machine", said, yes=False)
    assert dict(again.changes) == {}
    assert said == [
        f"Looking at account {ACCOUNT}",
        f"Account {ACCOUNT} is as it should be: nothing to change",
    ]


@pytest.mark.usefixtures("first")
def test_another_region_is_refused_for_the_account_has_its_bucket(tmp_path: Path) -> None:
    with pytest.raises(SwitchyardError, match=r"bootstrapped in eu-west-1.*\n  Fix: say --region eu-west-1"):
        bootstrap.run(
            ACCOUNT,
            "us-east-1",
            "acme/shop",
            ["prod"],
            yes=True,
            say=print,
            environment=cloud.environment(ACCOUNT),
            folder=tmp_path,
        )


def test_the_wrong_account_is_refused_before_anything(embedded_cloud: cloud.Cloud, tmp_path: Path) -> None:  # noqa: ARG001
    other = "100000000053"
    said: list[str] = []
    with pytest.raises(WrongAccount, match=f"belong to account {other}, and --account says"):
        run(tmp_path / "work", said, environment=cloud.environment(other))
    assert said == []
    assert not (tmp_path / "work").exists()
    assert aws("iam", other).list_roles()["Roles"] == []


def test_a_provider_that_does_not_serve_aws_is_refused_with_the_way_out(
    embedded_cloud: cloud.Cloud,  # noqa: ARG001
    tmp_path: Path,
) -> None:
    aws("iam", ADOPTING).create_open_id_connect_provider(
        Url="https://token.actions.githubusercontent.com", ClientIDList=["https://github.com/acme"]
    )
    with pytest.raises(SwitchyardError, match="add-client-id-to-open-id-connect-provider"):
        run(tmp_path, [], ADOPTING)

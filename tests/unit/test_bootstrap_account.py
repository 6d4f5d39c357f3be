import json

import pytest

from bootstrap.account import declare
from bootstrap.inputs import Inputs, checked
from localcloud import aws_names
from tests.unit.harness import ACCOUNT, REGION, Deployment, deploy

KEY = "aws:kms/key:Key"
BUCKET = "aws:s3/bucket:Bucket"
ROLE = "aws:iam/role:Role"
PROVIDER = "aws:iam/openIdConnectProvider:OpenIdConnectProvider"


def inputs(**changed: object) -> Inputs:
    given = {
        "account": ACCOUNT,
        "region": REGION,
        "repository": "acme/shop",
        "environments": ("staging", "prod"),
    }
    return checked(**given | changed)


def declared(**changed: object) -> Deployment:
    return deploy(lambda: declare(inputs(**changed)))


def test_exactly_this_is_made() -> None:
    assert declared().count() == {
        "pulumi:providers:aws": 1,
        KEY: 2,
        "aws:kms/alias:Alias": 2,
        BUCKET: 1,
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": 1,
        "aws:s3/bucketOwnershipControls:BucketOwnershipControls": 1,
        "aws:s3/bucketPolicy:BucketPolicy": 1,
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": 1,
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": 1,
        "aws:s3/bucketVersioning:BucketVersioning": 1,
        PROVIDER: 1,
        "aws:iam/policy:Policy": 2,
        ROLE: 3,
        "aws:iam/rolePolicy:RolePolicy": 3 + 2 * 5,
    }


def test_every_type_has_a_name_in_the_embedded_clouds_provider() -> None:
    used = {r.type for r in declared().resources if not r.type.startswith(("switchyard:", "pulumi:"))}
    assert len(used) > 10
    assert used - set(aws_names.RESOURCES) == set()


def test_the_provider_refuses_every_other_account_by_itself() -> None:
    provider = declared().one("pulumi:providers:aws")
    assert json.loads(provider.inputs["allowedAccountIds"]) == [ACCOUNT]
    others = [r for r in declared().resources if r.type.startswith("aws:")]
    assert {r.provider.split("::")[-2] for r in others} == {"aws-home"}


def test_state_and_keys_are_neither_deleted_nor_lost_by_a_mistake() -> None:
    found = declared()
    for resource in [*found.of(KEY), found.one(BUCKET)]:
        assert (resource.protect, resource.retain_on_delete) == (True, True), resource.name
    assert found.one(BUCKET).inputs["forceDestroy"] is False
    assert {(k.inputs["enableKeyRotation"], k.inputs["deletionWindowInDays"]) for k in found.of(KEY)} == {
        (True, 30)
    }


def test_the_bucket_is_private_versioned_and_sealed_with_its_own_key() -> None:
    found = declared()
    block = found.one("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock").inputs
    assert {k: v for k, v in block.items() if k != "bucket"} == {
        "blockPublicAcls": True,
        "blockPublicPolicy": True,
        "ignorePublicAcls": True,
        "restrictPublicBuckets": True,
    }
    sealed = found.one(
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    )
    (rule,) = sealed.inputs["rules"]
    assert rule["applyServerSideEncryptionByDefault"]["sseAlgorithm"] == "aws:kms"
    assert rule["applyServerSideEncryptionByDefault"]["kmsMasterKeyId"].endswith(":state")
    versions = found.one("aws:s3/bucketVersioning:BucketVersioning")
    assert versions.inputs["versioningConfiguration"] == {"status": "Enabled"}
    expiry = found.one("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration")
    (kept,) = expiry.inputs["rules"]
    assert kept["noncurrentVersionExpiration"] == {"noncurrentDays": 365}
    assert kept["expiration"] == {"expiredObjectDeleteMarker": True}, "the state itself never expires"


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_a_writer_is_under_its_boundary_and_a_job_long(environment: str) -> None:
    role = declared().one(ROLE, f"github-writer-{environment}").inputs
    assert role["name"] == f"switchyard-writer-{environment}"
    assert role["permissionsBoundary"].endswith(":switchyard-writer-boundary")
    assert role["maxSessionDuration"] == 21_600
    (statement,) = json.loads(role["assumeRolePolicy"])["Statement"]
    assert statement["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"] == [
        f"repo:acme/shop:environment:{environment}"
    ]


def test_a_provider_that_the_account_has_is_trusted_and_not_made_again() -> None:
    found = declared(creates_provider=False)
    assert found.of(PROVIDER) == []
    assert found.count()[ROLE] == 3
    (statement,) = json.loads(found.one(ROLE, "github-preview").inputs["assumeRolePolicy"])["Statement"]
    assert statement["Principal"] == {
        "Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"
    }


def test_an_environment_less_takes_its_role_and_policies_away_and_nothing_else() -> None:
    both, one = declared(), declared(environments=("prod",))
    gone = {r.name for r in both.resources} - {r.name for r in one.resources}
    assert len(gone) == 6
    assert all(name.startswith("github-writer-staging") for name in gone)

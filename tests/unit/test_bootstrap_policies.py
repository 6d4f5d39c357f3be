"""The policies as AWS would judge them."""

import pytest

from bootstrap import boundaries, permissions
from bootstrap.state_bucket import bucket_policy
from tests.unit.bootstrap_roles import (
    ACCOUNT,
    BUCKET,
    EVERYTHING,
    INPUTS,
    KEYS,
    OBJECTS,
    OTHER_KEY,
    OWN_STATE,
    ROLES,
    SECRET,
    SECRETS_KEY,
    STATE_KEY,
    judged,
    preview,
    writers_may,
)
from tests.unit.iam_policies import listed, statements

# --- the bucket


def test_the_bucket_refuses_plain_http_other_accounts_and_other_keys() -> None:
    found = {one["Sid"]: one for one in statements(bucket_policy(BUCKET, ACCOUNT, STATE_KEY))}
    assert {one["Effect"] for one in found.values()} == {"Deny"}, "what it allows is for IAM to say"
    assert {sid: one["Condition"] for sid, one in found.items()} == {
        "DenyPlainHttp": {"Bool": {"aws:SecureTransport": "false"}},
        "DenyOtherAccounts": {"StringNotEquals": {"aws:PrincipalAccount": ACCOUNT}},
        "DenyOtherEncryption": {
            "StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"},
            "Null": {"s3:x-amz-server-side-encryption": "false"},
        },
        "DenyOtherKeys": {
            "StringNotEquals": {"s3:x-amz-server-side-encryption-aws-kms-key-id": STATE_KEY},
            "Null": {"s3:x-amz-server-side-encryption-aws-kms-key-id": "false"},
        },
    }
    for sid in ("DenyPlainHttp", "DenyOtherAccounts"):
        assert (found[sid]["Action"], found[sid]["Principal"]) == ("s3:*", "*")
        assert found[sid]["Resource"] == [BUCKET, f"{BUCKET}/*"], "its objects are not the bucket"


# --- previews


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("ec2:DescribeVpcs", "*"),
        ("ecs:DescribeServices", "*"),
        ("elasticloadbalancing:DescribeRules", "*"),
        ("iam:GetRolePolicy", f"{ROLES}/any"),
        ("rds:DescribeDBInstances", "*"),
        ("s3:GetBucketPolicy", "arn:aws:s3:::logs"),
        ("secretsmanager:DescribeSecret", f"{SECRET}:switchyard-prod/token"),
        ("ssm:GetParametersByPath", f"arn:aws:ssm:eu-west-1:{ACCOUNT}:parameter/switchyard/prod/images"),
        ("s3:ListBucket", BUCKET),
        ("s3:GetObject", f"{OBJECTS}/stacks/switchyard/prod.json"),
        ("kms:Decrypt", STATE_KEY),
        ("kms:Decrypt", SECRETS_KEY),
    ],
)
def test_a_preview_reads_what_the_provider_and_the_engine_ask_for(action: str, resource: str) -> None:
    assert judged(preview(), action, resource) == "allow"


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("secretsmanager:GetSecretValue", f"{SECRET}:switchyard-prod/token"),
        ("secretsmanager:BatchGetSecretValue", "*"),
        ("ssm:GetParameter", f"arn:aws:ssm:eu-west-1:{ACCOUNT}:parameter/other/password"),
        ("ssm:GetParametersByPath", f"arn:aws:ssm:eu-west-1:{ACCOUNT}:parameter/other"),
        ("kms:Decrypt", OTHER_KEY),
        ("s3:GetObject", "arn:aws:s3:::customers/list.csv"),
        ("dynamodb:GetItem", f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/orders"),
        ("dynamodb:Scan", f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/orders"),
    ],
)
def test_a_preview_is_kept_from_secrets_and_data_even_by_a_policy_that_allows_everything(
    action: str, resource: str
) -> None:
    assert judged([*preview(), EVERYTHING], action, resource) == "deny"


@pytest.mark.parametrize("verb", ["Put", "Delete"])
def test_a_preview_writes_no_state(verb: str) -> None:
    assert judged(preview(), f"s3:{verb}Object", f"{OBJECTS}/stacks/switchyard/prod.json") == "nothing"


def test_a_preview_may_do_nothing_that_is_not_reading() -> None:
    verbs = ("BatchGet", "Decrypt", "Describe", "Get", "List")
    allowed = [action for one in preview() if one["Effect"] == "Allow" for action in listed(one["Action"])]
    assert len(allowed) > 30
    assert [action for action in allowed if not action.partition(":")[2].startswith(verbs)] == []


# --- writers


@pytest.mark.parametrize("resource", OWN_STATE)
@pytest.mark.parametrize("verb", ["Get", "Put", "Delete"])
def test_a_writer_keeps_its_own_stacks_state_and_nobody_elses(verb: str, resource: str) -> None:
    assert writers_may(f"s3:{verb}Object", resource)
    assert not writers_may(f"s3:{verb}Object", resource.replace("staging", "prod"))
    assert not writers_may(f"s3:{verb}Object", resource.replace("/switchyard/", "/switchyard-bootstrap/"))


def test_the_review_environment_keeps_the_records_of_its_stacks_and_nobody_else_does() -> None:
    records = f"arn:aws:ssm:eu-west-1:{ACCOUNT}:parameter/switchyard/review"
    for action in ("GetParameter", "GetParametersByPath", "PutParameter", "DeleteParameter"):
        for resource in (records, f"{records}/pr-42", f"{records}/"):
            assert writers_may(f"ssm:{action}", resource, environment="review")
            assert not writers_may(f"ssm:{action}", resource, environment="staging")
    assert writers_may("tag:GetResources", environment="review")
    assert not writers_may("ssm:PutParameter", f"{records}ers/pr-42", environment="review")


def test_the_review_environment_keeps_the_stacks_of_pull_requests() -> None:
    state = f"{OBJECTS}/stacks/switchyard/pr-42.json"
    assert writers_may("s3:PutObject", state, environment="review")
    assert not writers_may("s3:PutObject", state, environment="staging")
    assert not writers_may("s3:PutObject", OWN_STATE[0], environment="review")


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("ec2:CreateVpc", "*"),
        ("elasticloadbalancing:ModifyRule", "*"),
        ("rds:CreateDBInstance", "*"),
        ("ecs:RegisterTaskDefinition", "*"),
        ("ecs:UpdateService", f"arn:aws:ecs:eu-west-1:{ACCOUNT}:service/switchyard-staging/api-blue"),
        ("ecs:RunTask", f"arn:aws:ecs:eu-west-1:{ACCOUNT}:task-definition/switchyard-staging-api-blue:3"),
        ("dynamodb:UpdateItem", f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/switchyard-staging-releases"),
        ("ssm:PutParameter", f"arn:aws:ssm:eu-west-1:{ACCOUNT}:parameter/switchyard/staging/images/api/blue"),
        ("sns:Publish", f"arn:aws:sns:eu-west-1:{ACCOUNT}:switchyard-staging-alerts"),
        ("logs:GetLogEvents", f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:/switchyard-staging/api:*"),
        ("ecr:PutImage", f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/switchyard-staging/api"),
        ("cloudwatch:PutMetricAlarm", f"arn:aws:cloudwatch:eu-west-1:{ACCOUNT}:alarm:switchyard-staging-cpu"),
        (
            "cloudwatch:PutMetricAlarm",
            f"arn:aws:cloudwatch:eu-west-1:{ACCOUNT}:alarm:TargetTracking-service/switchyard-staging/api-blue-x",
        ),
        ("s3:CreateBucket", "arn:aws:s3:::switchyard-staging-logs20260101000000000000000001"),
        ("s3:ListBucket", "arn:aws:s3:::switchyard-staging-logs20260101000000000000000001"),
        ("s3:DeleteObjectVersion", "arn:aws:s3:::switchyard-staging-logs1/AWSLogs/1"),
        ("secretsmanager:GetSecretValue", f"{SECRET}:switchyard-staging/webhook-a1b2c3"),
    ],
)
def test_a_writer_updates_and_releases_its_stack_and_not_the_next_one(action: str, resource: str) -> None:
    assert writers_may(action, resource)
    if "staging" in resource:
        assert not writers_may(action, resource.replace("staging", "prod")), "that is production's"


@pytest.mark.parametrize(
    "action", ["CreateBucket", "DeleteBucket", "PutBucketPolicy", "GetObject", "DeleteObject"]
)
@pytest.mark.parametrize("environment", ["staging", "review"])
def test_a_writer_touches_no_bucket_but_its_access_logs(action: str, environment: str) -> None:
    for bucket in (
        "customers",
        "switchyard-prod-logs1",
        "switchyard-pr",
        f"{BUCKET}-logs".removeprefix("arn:aws:s3:::"),
    ):
        assert not writers_may(f"s3:{action}", f"arn:aws:s3:::{bucket}", environment=environment)
        assert not writers_may(f"s3:{action}", f"arn:aws:s3:::{bucket}/x", environment=environment)


def test_a_preview_finds_access_logs_and_lists_no_other_bucket() -> None:
    assert judged(preview(), "s3:ListBucket", "arn:aws:s3:::switchyard-prod-logs1") == "allow"
    assert judged(preview(), "s3:GetObject", "arn:aws:s3:::switchyard-prod-logs1/AWSLogs/1") == "deny"
    assert judged(preview(), "s3:ListBucket", "arn:aws:s3:::customers") == "nothing"


def test_production_asks_staging_what_was_proved_and_changes_nothing_there() -> None:
    table = f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/switchyard-staging-releases"
    assert writers_may("dynamodb:Query", table, environment="prod")
    assert not writers_may("dynamodb:PutItem", table, environment="prod")


# --- AWS's limits


@pytest.mark.parametrize("environment", ["review", "abcdefghijklmnopqrst"])
def test_the_policies_are_as_short_as_aws_asks_for(environment: str) -> None:
    for texts in (
        permissions.preview_policies.make(INPUTS, KEYS, ""),
        permissions.writer_policies.make(INPUTS, KEYS, environment),
    ):
        assert sum(map(len, texts.values())) <= 10_240
    for text in (boundaries.of_writers(INPUTS, KEYS), boundaries.of_stacks(INPUTS, KEYS)):
        assert len(text) <= 6_144


def test_every_document_that_a_role_gets_is_named() -> None:
    """The labels shape the graph; a document without one would be left out."""
    assert set(permissions.preview_policies.labels) == set(
        permissions.preview_policies.make(INPUTS, KEYS, "")
    )
    assert set(permissions.writer_policies.labels) == set(
        permissions.writer_policies.make(INPUTS, KEYS, "prod")
    )

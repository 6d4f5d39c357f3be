"""The policies as AWS would judge them."""

import json
from typing import Any

import pytest

from bootstrap import boundaries, permissions, trust
from bootstrap.documents import Keys
from bootstrap.inputs import checked
from bootstrap.state_bucket import bucket_policy
from tests.unit import iam_policies
from tests.unit.iam_policies import Statements, listed, statements

ACCOUNT = "123456789012"
INPUTS = checked(
    account=ACCOUNT, region="eu-west-1", repository="acme/shop", environments=("staging", "prod", "review")
)
STATE_KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/state"
SECRETS_KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/secrets"
OTHER_KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/other"
KEYS = Keys(state=STATE_KEY, secrets=SECRETS_KEY)
BUCKET = f"arn:aws:s3:::switchyard-pulumi-state-{ACCOUNT}"
OBJECTS = f"{BUCKET}/.pulumi"
ROLES = f"arn:aws:iam::{ACCOUNT}:role"
SECRET = f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret"
STACK_BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/switchyard-stack-boundary"


def preview() -> Statements:
    return statements(*permissions.preview_policies.make(INPUTS, KEYS, "").values())


def writer(environment: str = "staging") -> Statements:
    return statements(*permissions.writer_policies.make(INPUTS, KEYS, environment).values())


def judged(found: Statements, action: str, resource: str = "*", **context: str) -> str:
    """Context keys are written with _ for : and __ for /."""
    known = {key.replace("__", "/").replace("_", ":", 1): value for key, value in context.items()}
    return iam_policies.judged(found, action, resource, known)


def within(boundary: str, found: Statements, action: str, resource: str = "*", **context: str) -> bool:
    """Whether a role with these permissions may do it under the boundary."""
    limits = statements(boundary)
    return (
        judged(limits, action, resource, **context) == "allow"
        and judged(found, action, resource, **context) == "allow"
    )


# --- trust


def trusted(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)
    return document


def trust_policy(subjects: list[str]) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {
                    "Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"
                },
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {
                    "StringEquals": {
                        "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
                        "token.actions.githubusercontent.com:sub": subjects,
                    }
                },
            }
        ],
    }


def test_previews_come_from_pull_requests_and_the_branch_of_one_repository_only() -> None:
    assert trusted(trust.preview_policy(INPUTS)) == trust_policy(
        ["repo:acme/shop:pull_request", "repo:acme/shop:ref:refs/heads/main"]
    )


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_writers_come_from_their_github_environment_only(environment: str) -> None:
    assert trusted(trust.writer_policy(INPUTS, environment)) == trust_policy(
        [f"repo:acme/shop:environment:{environment}"]
    )


def test_another_branch_may_be_the_one_that_previews() -> None:
    (statement,) = trusted(trust.preview_policy(INPUTS.model_copy(update={"branch": "trunk"})))["Statement"]
    assert statement["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"] == [
        "repo:acme/shop:pull_request",
        "repo:acme/shop:ref:refs/heads/trunk",
    ]


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


# What someone may attach to the role some day: everything.
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


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


def writers_may(action: str, resource: str = "*", environment: str = "staging", **context: str) -> bool:
    return within(boundaries.of_writers(INPUTS, KEYS), writer(environment), action, resource, **context)


OWN_STATE = [
    f"{OBJECTS}/stacks/switchyard/staging.json",
    f"{OBJECTS}/stacks/switchyard/staging.json.bak",
    f"{OBJECTS}/stacks/switchyard/staging.pulumi-tags",
    f"{OBJECTS}/locks/organization/switchyard/staging/1.json",
    f"{OBJECTS}/history/switchyard/staging/staging-1.history.json",
    f"{OBJECTS}/backups/switchyard/staging/staging.1.json",
]


@pytest.mark.parametrize("resource", OWN_STATE)
@pytest.mark.parametrize("verb", ["Get", "Put", "Delete"])
def test_a_writer_keeps_its_own_stacks_state_and_nobody_elses(verb: str, resource: str) -> None:
    assert writers_may(f"s3:{verb}Object", resource)
    assert not writers_may(f"s3:{verb}Object", resource.replace("staging", "prod"))
    assert not writers_may(f"s3:{verb}Object", resource.replace("/switchyard/", "/switchyard-bootstrap/"))


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


# --- no way up


OWN_ROLE = f"{ROLES}/switchyard/staging/api-task"


def bounded(arn: str = STACK_BOUNDARY) -> dict[str, str]:
    return {"iam_PermissionsBoundary": arn}


@pytest.mark.parametrize("action", ["iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"])
def test_a_writer_makes_roles_of_its_stack_under_the_boundary_only(action: str) -> None:
    assert writers_may(action, OWN_ROLE, **bounded())
    assert not writers_may(action, OWN_ROLE), "without a boundary it could be an administrator"
    assert not writers_may(action, OWN_ROLE, **bounded("arn:aws:iam::aws:policy/AdministratorAccess"))
    for other in (
        f"{ROLES}/admin",
        f"{ROLES}/switchyard/prod/api-task",
        f"{ROLES}/switchyard-writer-staging",
    ):
        assert not writers_may(action, other, **bounded())


def test_a_writer_attaches_the_few_policies_of_aws_that_the_program_uses() -> None:
    policy = "arn:aws:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForBackup"
    assert writers_may("iam:AttachRolePolicy", OWN_ROLE, **bounded(), iam_PolicyARN=policy)
    admin = "arn:aws:iam::aws:policy/AdministratorAccess"
    assert not writers_may("iam:AttachRolePolicy", OWN_ROLE, **bounded(), iam_PolicyARN=admin)


def test_a_writer_hands_its_roles_to_the_services_that_need_them() -> None:
    assert writers_may("iam:PassRole", OWN_ROLE, iam_PassedToService="ecs-tasks.amazonaws.com")
    assert not writers_may("iam:PassRole", OWN_ROLE, iam_PassedToService="lambda.amazonaws.com")
    assert not writers_may("iam:PassRole", f"{ROLES}/admin", iam_PassedToService="ecs-tasks.amazonaws.com")


WAYS_UP = [
    ("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/me"),
    ("iam:CreateAccessKey", f"arn:aws:iam::{ACCOUNT}:user/admin"),
    ("iam:CreatePolicyVersion", STACK_BOUNDARY),
    ("iam:SetDefaultPolicyVersion", STACK_BOUNDARY),
    ("iam:DeletePolicy", STACK_BOUNDARY),
    ("iam:UpdateAssumeRolePolicy", f"{ROLES}/switchyard-writer-prod"),
    ("iam:PutRolePolicy", f"{ROLES}/switchyard-writer-staging"),
    ("iam:DeleteRolePermissionsBoundary", f"{ROLES}/switchyard-writer-staging"),
    ("iam:DeleteRolePermissionsBoundary", OWN_ROLE),
    ("iam:AddClientIDToOpenIDConnectProvider", INPUTS.provider_arn),
    ("iam:UpdateOpenIDConnectProviderThumbprint", INPUTS.provider_arn),
    ("sts:AssumeRole", f"{ROLES}/admin"),
    ("organizations:LeaveOrganization", "*"),
    ("s3:DeleteBucket", BUCKET),
    ("s3:PutBucketPolicy", BUCKET),
    ("s3:PutBucketVersioning", BUCKET),
    ("s3:PutLifecycleConfiguration", BUCKET),
    ("s3:PutEncryptionConfiguration", BUCKET),
    ("s3:DeleteObjectVersion", OWN_STATE[0]),
    ("kms:ScheduleKeyDeletion", STATE_KEY),
    ("kms:PutKeyPolicy", SECRETS_KEY),
    ("kms:DisableKey", SECRETS_KEY),
    ("kms:TagResource", SECRETS_KEY),
]


@pytest.mark.parametrize(("action", "resource"), WAYS_UP)
def test_the_writers_boundary_holds_even_with_a_policy_that_allows_everything(
    action: str, resource: str
) -> None:
    boundary = boundaries.of_writers(INPUTS, KEYS)
    assert not within(boundary, [EVERYTHING], action, resource, **bounded())


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        *((action, resource) for action, resource in WAYS_UP if not action.startswith(("s3:", "kms:"))),
        ("iam:CreateRole", OWN_ROLE),
        ("iam:PutRolePolicy", OWN_ROLE),
        ("iam:PassRole", OWN_ROLE),
        ("s3:GetObject", OWN_STATE[0]),
        ("kms:Decrypt", SECRETS_KEY),
    ],
)
def test_a_stacks_own_role_never_reaches_identities_or_state(action: str, resource: str) -> None:
    assert not within(boundaries.of_stacks(INPUTS, KEYS), [EVERYTHING], action, resource, **bounded())


@pytest.mark.parametrize("action", ["s3:GetObject", "logs:PutLogEvents", "ssmmessages:CreateDataChannel"])
def test_a_stacks_own_role_may_still_do_its_work(action: str) -> None:
    assert within(boundaries.of_stacks(INPUTS, KEYS), [EVERYTHING], action, "arn:aws:s3:::uploads/x")


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

"""No way up: what writers and the roles that they make can never do, whatever they are given."""

import pytest

from bootstrap import boundaries
from tests.unit.bootstrap_roles import (
    ACCOUNT,
    BUCKET,
    EVERYTHING,
    INPUTS,
    KEYS,
    OWN_STATE,
    ROLES,
    SECRETS_KEY,
    STACK_BOUNDARY,
    STATE_KEY,
    within,
    writers_may,
)

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

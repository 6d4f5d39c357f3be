"""What GitHub's jobs may do. Pure.

AWS's own limits: the inline policies of one role have 10,240 characters together, a managed policy 6,144,
white space left out (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>).
"""

from collections.abc import Mapping

from bootstrap.actions import ATTACHABLE, LINKED, LOG_BUCKET, READS, RECEIVERS, UNNAMED, in_full
from bootstrap.documents import Documents, Keys, Statement, allow, deny, deny_but, document
from bootstrap.inputs import PROJECT, STACK_BOUNDARY, Inputs

# The environment whose jobs keep the short-lived stacks of pull requests; see docs/review-stacks.md.
REVIEW = "review"
REVIEW_STACKS = "pr-*"


def _preview(inputs: Inputs, keys: Keys, environment: str) -> Mapping[str, str]:  # noqa: ARG001 - one shape
    images = f"arn:{inputs.partition}:ssm:*:{inputs.account}:parameter/{PROJECT}/*"
    objects = f"{inputs.bucket_arn}/.pulumi/*"
    own = [keys.state, keys.secrets]
    return {
        "read": document(
            [
                allow("Look", in_full(READS), "*"),
                allow("ReadWhatIsReleased", ["ssm:GetParameter", "ssm:GetParameters*"], images),
                allow("FindLogBuckets", "s3:ListBucket", _log_buckets(inputs, f"{PROJECT}-*")),
            ]
        ),
        "state": document(
            [
                allow("FindState", ["s3:GetBucketLocation", "s3:ListBucket"], inputs.bucket_arn),
                allow("ReadState", "s3:GetObject", objects),
                allow("OpenState", "kms:Decrypt", own),
            ]
        ),
        # A policy that is added to the role some day can't open these.
        "closed": document(
            [
                deny(
                    "NoSecrets", ["secretsmanager:BatchGetSecretValue", "secretsmanager:GetSecretValue"], "*"
                ),
                deny_but("NoParameters", "ssm:GetParameter*", images),
                deny_but("NoOtherKeys", ["kms:Decrypt", "kms:ReEncrypt*"], own),
                deny_but("NoObjects", "s3:GetObject*", objects),
                deny(
                    "NoItems",
                    ["dynamodb:*Item*", "dynamodb:PartiQL*", "dynamodb:Query", "dynamodb:Scan"],
                    "*",
                ),
            ]
        ),
    }


def _writer(inputs: Inputs, keys: Keys, environment: str) -> Mapping[str, str]:
    stack = REVIEW_STACKS if environment == REVIEW else environment
    looks = [allow("Look", in_full(READS), "*")]
    return {
        "read": document([*looks, *(_reviews(inputs) if environment == REVIEW else [])]),
        "state": document(_state(inputs, keys, stack)),
        "stack": document([*_named(inputs, f"{PROJECT}-{stack}", stack), *_keys_of_stacks(inputs)]),
        "network": document([allow("Build", in_full(UNNAMED), "*")]),
        "roles": document(_roles(inputs, stack)),
    }


def _reviews(inputs: Inputs) -> list[Statement]:
    """The records of short-lived stacks, and what is left of one whose state is lost."""
    records = f"arn:{inputs.partition}:ssm:*:{inputs.account}:parameter/{PROJECT}/{REVIEW}"
    return [
        allow("Records", "ssm:*Parameter*", [records, f"{records}/*"]),
        allow("FindLeftovers", "tag:GetResources", "*"),
    ]


def _state(inputs: Inputs, keys: Keys, stack: str) -> list[Statement]:
    """Pulumi's own layout of a bucket; a job writes its own stack's state and nobody else's."""
    at = f"{inputs.bucket_arn}/.pulumi"
    own = [
        f"{at}/stacks/{PROJECT}/{stack}.json*",
        f"{at}/stacks/{PROJECT}/{stack}.pulumi-tags",
        f"{at}/locks/organization/{PROJECT}/{stack}/*",
        f"{at}/history/{PROJECT}/{stack}/*",
        f"{at}/backups/{PROJECT}/{stack}/*",
    ]
    return [
        allow("FindState", ["s3:GetBucketLocation", "s3:ListBucket"], inputs.bucket_arn),
        allow("ReadState", "s3:GetObject", [f"{at}/meta.yaml", *own]),
        allow("WriteState", ["s3:DeleteObject", "s3:PutObject"], own),
        allow("UseStateKey", ["kms:Decrypt", "kms:GenerateDataKey"], keys.state),
        allow("UseSecretsKey", ["kms:Decrypt", "kms:Encrypt"], keys.secrets),
    ]


def _named(inputs: Inputs, prefix: str, stack: str) -> list[Statement]:
    """Kinds whose ARN holds the stack's name."""

    def arn(service: str, *resources: str) -> list[str]:
        return [f"arn:{inputs.partition}:{service}:*:{inputs.account}:{resource}" for resource in resources]

    everything = f"arn:{inputs.partition}"
    return [
        allow(
            "Alarms",
            "cloudwatch:*",
            arn("cloudwatch", f"alarm:{prefix}-*", f"alarm:TargetTracking-service/{prefix}/*"),
        ),
        allow("AccessLogs", [f"s3:{action}" for action in LOG_BUCKET], _log_buckets(inputs, prefix)),
        allow(
            "Dashboards",
            ["cloudwatch:DeleteDashboards", "cloudwatch:PutDashboard"],
            f"{everything}:cloudwatch::{inputs.account}:dashboard/{prefix}*",
        ),
        allow("Records", "dynamodb:*", arn("dynamodb", f"table/{prefix}-*")),
        # What a production release asks of staging's: whether an image was proved there.
        allow("OtherRecords", ["dynamodb:GetItem", "dynamodb:Query"], arn("dynamodb", f"table/{PROJECT}-*")),
        allow("Images", "ecr:*", arn("ecr", f"repository/{prefix}/*")),
        allow("OtherImages", ["ecr:BatchGet*", "ecr:GetDownload*"], arn("ecr", f"repository/{PROJECT}-*")),
        allow(
            "Containers",
            "ecs:*",
            arn("ecs", f"cluster/{prefix}", *(f"{kind}/{prefix}/*" for kind in _ECS_KINDS))
            + arn("ecs", f"task-definition/{prefix}-*"),
        ),
        allow(
            "Logs",
            "logs:*",
            arn("logs", f"log-group:/{prefix}/*", f"log-group:/aws/rds/instance/{prefix}-*"),
        ),
        # Its own secrets, made and read (a webhook of the release engine); not the database's.
        allow("Secrets", "secretsmanager:*", arn("secretsmanager", f"secret:{prefix}/*")),
        # RDS keeps the owner's password there; it makes the secret in the caller's name.
        allow(
            "DatabaseSecrets",
            ["secretsmanager:CreateSecret", "secretsmanager:TagResource"],
            arn("secretsmanager", "secret:rds!*"),
        ),
        allow("Alerts", "sns:*", arn("sns", f"{prefix}-*")),
        allow("WhatIsReleased", "ssm:*Parameter*", arn("ssm", f"parameter/{PROJECT}/{stack}/*")),
    ]


def _log_buckets(inputs: Inputs, prefix: str) -> list[str]:
    """The bucket, whose name begins so and ends as AWS likes, and what is in it."""
    bucket = f"arn:{inputs.partition}:s3:::{prefix}-logs*"
    return [bucket, f"{bucket}/*"]


_ECS_KINDS = ("service", "task", "task-set")


def _keys_of_stacks(inputs: Inputs) -> list[Statement]:
    """Keys that a stack makes. Their ARNs are not known before; the tag that the program sets is."""
    keys = f"arn:{inputs.partition}:kms:*:{inputs.account}:key/*"
    aliases = f"arn:{inputs.partition}:kms:*:{inputs.account}:alias/*"
    tagged = {"StringEquals": {"aws:ResourceTag/project": PROJECT}}
    manage = [
        "Create*",
        "Disable*",
        "Enable*",
        "Put*",
        "RetireGrant",
        "ScheduleKeyDeletion",
        "Tag*",
        "Untag*",
        "Update*",
    ]
    use = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
    return [
        allow("ManageKeys", [f"kms:{action}" for action in manage] + ["kms:DeleteAlias", *use], keys, tagged),
        allow(
            "TagNewKeys",
            ["kms:PutKeyPolicy", "kms:TagResource"],
            keys,
            {"StringEquals": {"aws:RequestTag/project": PROJECT}},
        ),
        allow(
            "NameKeys",
            ["kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias"],
            [f"{aliases.removesuffix('*')}{PROJECT}-*", f"{aliases.removesuffix('*')}rds/{PROJECT}-*"],
        ),
    ]


def _roles(inputs: Inputs, stack: str) -> list[Statement]:
    """Roles below the stack's own path, and only under the boundary: a writer can't make a stronger one."""
    own = inputs.role_arn(f"{PROJECT}/{stack}/*")
    bounded = {"StringEquals": {"iam:PermissionsBoundary": inputs.policy_arn(STACK_BOUNDARY)}}
    aws = f"arn:{inputs.partition}:iam::aws:policy/service-role"
    return [
        allow(
            "MakeBoundedRoles",
            [
                "iam:CreateRole",
                "iam:DeleteRolePolicy",
                "iam:DetachRolePolicy",
                "iam:PutRolePermissionsBoundary",
                "iam:PutRolePolicy",
            ],
            own,
            bounded,
        ),
        allow(
            "AttachAwsPolicies",
            "iam:AttachRolePolicy",
            own,
            {
                "StringEquals": {
                    **bounded["StringEquals"],
                    "iam:PolicyARN": [f"{aws}/{name}" for name in ATTACHABLE],
                }
            },
        ),
        allow(
            "KeepRoles",
            [
                "iam:DeleteRole",
                "iam:TagRole",
                "iam:UntagRole",
                "iam:UpdateAssumeRolePolicy",
                "iam:UpdateRole*",
            ],
            own,
        ),
        allow(
            "HandRolesOver",
            "iam:PassRole",
            own,
            {"StringEquals": {"iam:PassedToService": [f"{name}.amazonaws.com" for name in RECEIVERS]}},
        ),
        allow(
            "LinkServices",
            "iam:CreateServiceLinkedRole",
            inputs.role_arn("aws-service-role/*"),
            {"StringEquals": {"iam:AWSServiceName": [f"{name}.amazonaws.com" for name in LINKED]}},
        ),
    ]


preview_policies = Documents(labels=("closed", "read", "state"), make=_preview)
writer_policies = Documents(labels=("network", "read", "roles", "stack", "state"), make=_writer)

"""What GitHub's jobs may do. Pure.

AWS's own limits: the inline policies of one role have 10,240 characters together, a managed policy 6,144,
white space left out (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bootstrap.inputs import PROJECT, STACK_BOUNDARY, Inputs

Statement = dict[str, object]

# The environment whose jobs keep the short-lived stacks of pull requests; see docs/review-stacks.md.
REVIEW = "review"
REVIEW_STACKS = "pr-*"

# What the AWS provider asks for on a refresh, by service. No data: no object, no item, no image, no log line.
_READS = {
    "acm": ("Describe*", "List*"),
    "application-autoscaling": ("Describe*", "List*"),
    "backup": ("Describe*", "GetBackup*", "List*"),
    "cloudwatch": ("Describe*", "GetDashboard", "GetMetricData", "GetMetricStatistics", "List*"),
    "dynamodb": ("DescribeContinuousBackups", "DescribeTable", "DescribeTimeToLive", "List*"),
    "ec2": ("Describe*",),
    "ecr": ("Describe*", "GetLifecyclePolicy", "GetRepositoryPolicy", "List*"),
    "ecs": ("Describe*", "List*"),
    "elasticloadbalancing": ("Describe*",),
    "iam": ("GetOpenIDConnectProvider", "GetPolicy*", "GetRole*", "List*"),
    "kms": ("DescribeKey", "GetKey*", "List*"),
    "logs": ("Describe*", "List*"),
    "rds": ("Describe*", "List*"),
    "s3": (
        "GetAccelerateConfiguration",
        "GetBucket*",
        "GetEncryptionConfiguration",
        "GetLifecycleConfiguration",
        "GetReplicationConfiguration",
        "ListAllMyBuckets",
    ),
    "secretsmanager": ("DescribeSecret", "GetResourcePolicy", "List*"),
    "sns": ("Get*", "List*"),
    "ssm": ("Describe*", "List*"),
    "sts": ("GetCallerIdentity",),
}

# Kinds whose names AWS or the engine makes up, or that have none to hold an action by.
_UNNAMED = {
    "application-autoscaling": (
        "DeleteScalingPolicy",
        "DeregisterScalableTarget",
        "Put*",
        "Register*",
        "*Tag*",
    ),
    "backup": ("Create*", "Delete*", "Put*", "Update*", "*Tag*"),
    "backup-storage": ("MountCapsule",),
    "ec2": (
        "AllocateAddress",
        "AssociateRouteTable",
        "AttachInternetGateway",
        "AuthorizeSecurityGroup*",
        "CreateFlowLogs",
        "CreateInternetGateway",
        "CreateNatGateway",
        "CreateNetworkAclEntry",
        "CreateRoute",
        "CreateRouteTable",
        "CreateSecurityGroup",
        "CreateSubnet",
        "CreateTags",
        "CreateVpc",
        "CreateVpcEndpoint",
        "DeleteFlowLogs",
        "DeleteInternetGateway",
        "DeleteNatGateway",
        "DeleteNetworkAclEntry",
        "DeleteRoute",
        "DeleteRouteTable",
        "DeleteSecurityGroup",
        "DeleteSubnet",
        "DeleteTags",
        "DeleteVpc",
        "DeleteVpcEndpoints",
        "DetachInternetGateway",
        "DisassociateAddress",
        "DisassociateRouteTable",
        "ModifySecurityGroupRules",
        "ModifySubnetAttribute",
        "ModifyVpc*",
        "ReleaseAddress",
        "ReplaceRoute*",
        "RevokeSecurityGroup*",
        "UpdateSecurityGroupRuleDescriptions*",
    ),
    "ecr": ("GetAuthorizationToken",),
    "ecs": ("CreateCluster", "DeregisterTaskDefinition", "RegisterTaskDefinition", "TagResource"),
    "elasticloadbalancing": ("Add*", "Create*", "Delete*", "Modify*", "Remove*", "Set*"),
    "kms": ("CreateKey",),
    "rds": (
        "AddTagsToResource",
        "Create*",
        "Delete*",
        "Modify*",
        "RebootDBInstance",
        "RemoveTagsFromResource",
        "AddSourceIdentifierToSubscription",
        "RemoveSourceIdentifierFromSubscription",
        "ResetDBParameterGroup",
    ),
    "s3": (
        "CreateBucket",
        "DeleteBucket",
        "DeleteBucketPolicy",
        "PutBucket*",
        "PutEncryptionConfiguration",
        "PutLifecycleConfiguration",
    ),
}

# AWS's own policies that roles of a stack carry; no other may be attached.
_ATTACHABLE = (
    "AWSBackupServiceRolePolicyForBackup",
    "AWSBackupServiceRolePolicyForRestores",
    "AmazonRDSEnhancedMonitoringRole",
)
# Services that roles of a stack are handed to.
_RECEIVERS = ("backup", "ecs-tasks", "monitoring.rds", "vpc-flow-logs")
# Services that make a role of their own when they are first used.
_LINKED = ("backup", "ecs", "ecs.application-autoscaling", "elasticloadbalancing", "rds")


@dataclass(frozen=True, kw_only=True)
class Keys:
    """ARNs of the keys that open the state, and the secrets in settings and state."""

    state: str
    secrets: str


@dataclass(frozen=True, kw_only=True)
class Documents:
    """The inline policies of a role. labels: their names; make: their texts by name."""

    labels: tuple[str, ...]
    make: Callable[[Inputs, Keys, str], Mapping[str, str]]


def document(statements: list[Statement]) -> str:
    """A policy's text, as short as it gets: AWS counts characters."""
    return json.dumps(
        {"Version": "2012-10-17", "Statement": statements}, sort_keys=True, separators=(",", ":")
    )


def allow(sid: str, action: object, resource: object, condition: object = None) -> Statement:
    """One statement."""
    found: Statement = {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource}
    return {**found, "Condition": condition} if condition else found


def _actions(table: Mapping[str, tuple[str, ...]]) -> list[str]:
    return [f"{service}:{action}" for service, actions in table.items() for action in actions]


def _preview(inputs: Inputs, keys: Keys, environment: str) -> Mapping[str, str]:  # noqa: ARG001 - one shape
    images = f"arn:{inputs.partition}:ssm:*:{inputs.account}:parameter/{PROJECT}/*"
    objects = f"{inputs.bucket_arn}/.pulumi/*"
    own = [keys.state, keys.secrets]
    return {
        "read": document(
            [
                allow("Look", _actions(_READS), "*"),
                allow("ReadWhatIsReleased", ["ssm:GetParameter", "ssm:GetParameters*"], images),
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
                _deny(
                    "NoSecrets", ["secretsmanager:BatchGetSecretValue", "secretsmanager:GetSecretValue"], "*"
                ),
                _deny_but("NoParameters", "ssm:GetParameter*", images),
                _deny_but("NoOtherKeys", ["kms:Decrypt", "kms:ReEncrypt*"], own),
                _deny_but("NoObjects", "s3:GetObject*", objects),
                _deny(
                    "NoItems",
                    ["dynamodb:*Item*", "dynamodb:PartiQL*", "dynamodb:Query", "dynamodb:Scan"],
                    "*",
                ),
            ]
        ),
    }


def _deny(sid: str, action: object, resource: object) -> Statement:
    return {"Sid": sid, "Effect": "Deny", "Action": action, "Resource": resource}


def _deny_but(sid: str, action: object, resource: object) -> Statement:
    return {"Sid": sid, "Effect": "Deny", "Action": action, "NotResource": resource}


def _writer(inputs: Inputs, keys: Keys, environment: str) -> Mapping[str, str]:
    stack = REVIEW_STACKS if environment == REVIEW else environment
    return {
        "read": document([allow("Look", _actions(_READS), "*")]),
        "state": document(_state(inputs, keys, stack)),
        "stack": document([*_named(inputs, f"{PROJECT}-{stack}", stack), *_keys_of_stacks(inputs)]),
        "network": document([allow("Build", _actions(_UNNAMED), "*")]),
        "roles": document(_roles(inputs, stack)),
    }


def _state(inputs: Inputs, keys: Keys, stack: str) -> list[Statement]:
    """Pulumi's own layout of a bucket; a job writes its own stack's state and nobody else's."""
    at = f"{inputs.bucket_arn}/.pulumi"
    own = [
        f"{at}/stacks/{PROJECT}/{stack}.json*",
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
        allow("Alarms", "cloudwatch:*", arn("cloudwatch", f"alarm:{prefix}-*")),
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
            arn("logs", f"log-group:/{prefix}/*", f"log-group:/aws/rds/instance/{prefix}-*")
            + arn("logs", "log-group:network-flow-log*"),
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


_ECS_KINDS = ("service", "task", "task-set")


def _keys_of_stacks(inputs: Inputs) -> list[Statement]:
    """Keys that a stack makes. Their ARNs are not known before; the tag that the program sets is."""
    keys = f"arn:{inputs.partition}:kms:*:{inputs.account}:key/*"
    aliases = f"arn:{inputs.partition}:kms:*:{inputs.account}:alias/*"
    tagged = {"StringEquals": {"aws:ResourceTag/project": PROJECT}}
    manage = ["Create*", "Disable*", "Enable*", "Put*", "ScheduleKeyDeletion", "Tag*", "Untag*", "Update*"]
    use = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
    return [
        allow("ManageKeys", [f"kms:{action}" for action in manage] + ["kms:DeleteAlias", *use], keys, tagged),
        allow("TagNewKeys", "kms:TagResource", keys, {"StringEquals": {"aws:RequestTag/project": PROJECT}}),
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
                    "iam:PolicyARN": [f"{aws}/{name}" for name in _ATTACHABLE],
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
            {"StringEquals": {"iam:PassedToService": [f"{name}.amazonaws.com" for name in _RECEIVERS]}},
        ),
        allow(
            "LinkServices",
            "iam:CreateServiceLinkedRole",
            inputs.role_arn("aws-service-role/*"),
            {"StringEquals": {"iam:AWSServiceName": [f"{name}.amazonaws.com" for name in _LINKED]}},
        ),
    ]


preview_policies = Documents(labels=("closed", "read", "state"), make=_preview)
writer_policies = Documents(labels=("network", "read", "roles", "stack", "state"), make=_writer)

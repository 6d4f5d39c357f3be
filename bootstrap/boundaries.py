"""What roles may do at most, whatever is attached to them: the walls against a way up. Pure.

A boundary gives nothing; see <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html>.
"""

from bootstrap.documents import Keys, Statement, document
from bootstrap.inputs import PROJECT, Inputs

_CHANGES = [
    "Add*",
    "Attach*",
    "Change*",
    "Create*",
    "Deactivate*",
    "Delete*",
    "Detach*",
    "Enable*",
    "PassRole",
]
_CHANGES += ["Put*", "Remove*", "Reset*", "Resync*", "Set*", "Tag*", "Untag*", "Update*", "Upload*"]


def of_writers(inputs: Inputs, keys: Keys) -> str:
    """The boundary of writer roles: anything but a way up, and nothing to what bootstrap has made.

    Users, groups, policies, providers and the roles of people are no roles of a stack: a writer can't
    change one. It can look at them.
    """
    return document(
        [
            {"Sid": "AtMost", "Effect": "Allow", "Action": "*", "Resource": "*"},
            {
                "Sid": "OnlyRolesOfStacks",
                "Effect": "Deny",
                "Action": [f"iam:{change}" for change in _CHANGES],
                "NotResource": [inputs.role_arn(f"{PROJECT}/*"), inputs.role_arn("aws-service-role/*")],
            },
            {
                "Sid": "NoWayUp",
                "Effect": "Deny",
                "Action": [
                    "account:*",
                    "iam:DeleteRolePermissionsBoundary",
                    "organizations:*",
                    "sts:AssumeRole",
                ],
                "Resource": "*",
            },
            *_foundations(inputs, keys),
        ]
    )


def of_stacks(inputs: Inputs, keys: Keys) -> str:
    """The boundary of a stack's own roles: they read, write and log, and never touch identities or state."""
    return document(
        [
            {"Sid": "AtMost", "Effect": "Allow", "Action": "*", "Resource": "*"},
            {
                "Sid": "NoIdentities",
                "Effect": "Deny",
                "Action": [
                    "account:*",
                    *(f"iam:{change}" for change in _CHANGES),
                    "organizations:*",
                    "sts:AssumeRole",
                ],
                "Resource": "*",
            },
            {
                "Sid": "NoState",
                "Effect": "Deny",
                "Action": "s3:*",
                "Resource": [inputs.bucket_arn, f"{inputs.bucket_arn}/*"],
            },
            {
                "Sid": "NoStateKeys",
                "Effect": "Deny",
                "Action": "kms:*",
                "Resource": [keys.state, keys.secrets],
            },
        ]
    )


def _foundations(inputs: Inputs, keys: Keys) -> list[Statement]:
    return [
        {
            "Sid": "NoStateBucketSettings",
            "Effect": "Deny",
            "Action": [
                "s3:CreateBucket",
                "s3:DeleteBucket*",
                "s3:PutBucket*",
                "s3:PutEncryption*",
                "s3:PutLifecycle*",
            ],
            "Resource": inputs.bucket_arn,
        },
        {
            "Sid": "NoLostState",
            "Effect": "Deny",
            "Action": ["s3:BypassGovernanceRetention", "s3:DeleteObjectVersion*", "s3:PutObjectAcl"],
            "Resource": f"{inputs.bucket_arn}/*",
        },
        {
            "Sid": "NoKeyAdministration",
            "Effect": "Deny",
            "Action": [
                "kms:CreateGrant",
                "kms:Delete*",
                "kms:Disable*",
                "kms:Put*",
                "kms:ScheduleKeyDeletion",
                "kms:TagResource",
                "kms:UntagResource",
                "kms:UpdateAlias",
                "kms:UpdateKeyDescription",
            ],
            "Resource": [keys.state, keys.secrets],
        },
    ]

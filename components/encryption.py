"""Keys that a stack owns.

Creates: one customer-managed KMS key that rotates every year, its key policy and its alias.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import kms

# Every action by name. AWS's examples write `ReEncrypt*` and `GenerateDataKey*`; those patterns also
# cover key pairs, which no service principal needs here.
_USE_ACTIONS = [
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
]


@dataclass(frozen=True, kw_only=True)
class EncryptionKeyArgs:
    """What an encryption key is made from.

    account_id: account that owns the key.
    region: region that the key lives in.
    alias_name: name behind `alias/`, unique in the account and region.
    description: what the key encrypts.
    service_principals: services that use the key in their own name, such as `sns.amazonaws.com` or
        `logs.eu-west-1.amazonaws.com`. Services that act for a caller or by a grant (RDS, ECR, DynamoDB,
        Secrets Manager, backup vaults) need no entry.
    deletion_window_days: days between the deletion and the loss of the key, 7 to 30.
    retain_on_delete: leave the key alive when the stack is destroyed. Default: it is deleted after the
        window. Say True if data outlives the stack, such as a final snapshot.
    """

    account_id: str
    region: str
    alias_name: str
    description: str
    service_principals: Sequence[str]
    deletion_window_days: int
    retain_on_delete: bool = False


def key_policy(*, account_id: str, region: str, service_principals: Sequence[str]) -> str:
    """The key policy: the account administers, the named services use. Resource `*` is this key alone.

    CloudWatch Logs is held by the log group in the encryption context, the condition that AWS documents
    for it; the others by the account that they act for.
    """
    statements: list[dict[str, object]] = [
        {
            "Sid": "AccountAdministersTheKey",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{account_id}:root"},
            # The one wildcard: without it nobody could ever change or delete the key, and IAM policies
            # that grant its use would have no effect.
            "Action": "kms:*",
            "Resource": "*",
        }
    ]
    logs = sorted(p for p in service_principals if p.startswith("logs."))
    others = sorted(p for p in service_principals if not p.startswith("logs."))
    if others:
        condition = {"StringEquals": {"aws:SourceAccount": account_id}}
        statements.append(_use_statement("ServicesUseTheKey", others, condition))
    if logs:
        log_groups = f"arn:aws:logs:{region}:{account_id}:log-group:*"
        condition = {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": log_groups}}
        statements.append(_use_statement("LogGroupsUseTheKey", logs, condition))
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, sort_keys=True)


def _use_statement(
    sid: str, principals: list[str], condition: dict[str, dict[str, str]]
) -> dict[str, object]:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"Service": principals},
        "Action": _USE_ACTIONS,
        "Resource": "*",
        "Condition": condition,
    }


class EncryptionKey(pulumi.ComponentResource):
    """A KMS key for one purpose, rotated every year (KMS.4), closed to the public (KMS.5)."""

    key_arn: pulumi.Output[str]
    key_id: pulumi.Output[str]

    def __init__(
        self, name: str, args: EncryptionKeyArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("switchyard:security:EncryptionKey", name, None, opts)
        key = kms.Key(
            name,
            description=args.description,
            deletion_window_in_days=args.deletion_window_days,
            enable_key_rotation=True,
            policy=key_policy(
                account_id=args.account_id, region=args.region, service_principals=args.service_principals
            ),
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=args.retain_on_delete),
        )
        kms.Alias(
            f"{name}-alias",
            name=f"alias/{args.alias_name}",
            target_key_id=key.key_id,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.key_arn = key.arn
        self.key_id = key.key_id
        self.register_outputs({"key_arn": self.key_arn, "key_id": self.key_id})

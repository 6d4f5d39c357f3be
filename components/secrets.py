"""Secrets that services read and people write.

Creates: one empty Secrets Manager secret per name. Values are put in by whoever knows them, never by this
program, so they are in no state file, no preview and no log.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import secretsmanager


@dataclass(frozen=True, kw_only=True)
class SecretsArgs:
    """What the secrets are made from.

    names: short names; in AWS a secret is `<name_prefix>/<name>`.
    kms_key_arn: key that encrypts the values.
    recovery_window_days: days in which a deleted secret can be had back: 7 to 30, or 0 for none.
    """

    names: Sequence[str]
    name_prefix: str
    kms_key_arn: pulumi.Input[str]
    recovery_window_days: int


class Secrets(pulumi.ComponentResource):
    """One secret per name, without a value."""

    arns: dict[str, pulumi.Output[str]]

    def __init__(self, name: str, args: SecretsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchyard:security:Secrets", name, None, opts)
        self.arns = {
            secret: secretsmanager.Secret(
                f"{name}-{secret}",
                name=f"{args.name_prefix}/{secret}",
                kms_key_id=args.kms_key_arn,
                recovery_window_in_days=args.recovery_window_days,
                opts=pulumi.ResourceOptions(parent=self),
            ).arn
            for secret in args.names
        }
        self.register_outputs({"arns": self.arns})

"""Where a release keeps what it knows.

Creates: one DynamoDB table for the release in progress, the lock and the history. The image digests
that each colour runs are SSM parameters under `images_path`; only the release engine writes them, so
none is created here.
"""

from dataclasses import dataclass

import pulumi
from pulumi_aws import dynamodb


@dataclass(frozen=True, kw_only=True)
class ReleaseStoreArgs:
    """What a release store is made from.

    table_name: name of the table, the same for every tool that looks for it.
    images_path: SSM path of the image parameters, `/<project>/<stack>/images`.
    kms_key_arn: key that encrypts the table.
    deletion_protection: refuse to delete the table while this is on.
    """

    table_name: str
    images_path: str
    kms_key_arn: pulumi.Input[str]
    deletion_protection: bool


class ReleaseStore(pulumi.ComponentResource):
    """A DynamoDB table (`pk`, `sk`, items expire by `expires_at`) with point-in-time recovery."""

    table_name: pulumi.Output[str]
    table_arn: pulumi.Output[str]
    images_path: str

    def __init__(self, name: str, args: ReleaseStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchyard:release:ReleaseStore", name, None, opts)
        table = dynamodb.Table(
            f"{name}-table",
            name=args.table_name,
            billing_mode="PAY_PER_REQUEST",
            hash_key="pk",
            range_key="sk",
            attributes=[{"name": "pk", "type": "S"}, {"name": "sk", "type": "S"}],
            ttl={"attribute_name": "expires_at", "enabled": True},
            point_in_time_recovery={"enabled": True},
            server_side_encryption={"enabled": True, "kms_key_arn": args.kms_key_arn},
            deletion_protection_enabled=args.deletion_protection,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.table_name = table.name
        self.table_arn = table.arn
        self.images_path = args.images_path
        self.register_outputs({"table_name": self.table_name, "table_arn": self.table_arn})

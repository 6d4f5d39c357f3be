"""Where the containers run.

Creates: an ECS cluster with Container Insights, the encrypted log group that keeps what was typed in
execute-command sessions, and the association of the cluster with Fargate.
"""

from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch, ecs


@dataclass(frozen=True, kw_only=True)
class ClusterArgs:
    """What a cluster is made from.

    cluster_name: name of the cluster; metrics, alarms and the release engine find services by it.
    kms_key_arn: key that encrypts execute-command sessions and their log group. Its policy has to let
        CloudWatch Logs use it.
    log_group_name: name of the log group of execute-command sessions, created here.
    log_retention_days: how long the sessions are kept; one of the values that CloudWatch Logs allows.
    """

    cluster_name: str
    kms_key_arn: pulumi.Input[str]
    log_group_name: str
    log_retention_days: int


class Cluster(pulumi.ComponentResource):
    """An ECS cluster on Fargate whose interactive sessions are encrypted and on record."""

    arn: pulumi.Output[str]
    name: pulumi.Output[str]
    session_log_group_arn: pulumi.Output[str]

    def __init__(self, name: str, args: ClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchyard:compute:Cluster", name, None, opts)
        sessions = cloudwatch.LogGroup(
            f"{name}-sessions",
            name=args.log_group_name,
            retention_in_days=args.log_retention_days,
            kms_key_id=args.kms_key_arn,
            opts=pulumi.ResourceOptions(parent=self),
        )
        cluster = ecs.Cluster(
            f"{name}-cluster",
            name=args.cluster_name,
            # ECS.12. The alarm on missing tasks reads these metrics as well.
            settings=[{"name": "containerInsights", "value": "enabled"}],
            configuration={
                "execute_command_configuration": {
                    "kms_key_id": args.kms_key_arn,
                    "logging": "OVERRIDE",
                    "log_configuration": {
                        # ECS then refuses a session whose log group is not encrypted.
                        "cloud_watch_encryption_enabled": True,
                        "cloud_watch_log_group_name": sessions.name,
                    },
                }
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        ecs.ClusterCapacityProviders(
            f"{name}-capacity",
            cluster_name=cluster.name,
            # No FARGATE_SPOT: an interrupted task would look like a bad release.
            capacity_providers=["FARGATE"],
            default_capacity_provider_strategies=[{"capacity_provider": "FARGATE", "weight": 1}],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.arn = cluster.arn
        self.name = cluster.name
        self.session_log_group_arn = sessions.arn
        self.register_outputs(
            {"arn": self.arn, "name": self.name, "session_log_group_arn": self.session_log_group_arn}
        )

"""Where a stack speaks up.

Creates: one encrypted SNS topic that alarms and AWS's own events publish to, its policy, one e-mail
subscription per address, and one encrypted log group per short name.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch, sns

PUBLISHERS = ("backup.amazonaws.com", "cloudwatch.amazonaws.com", "events.rds.amazonaws.com")


@dataclass(frozen=True, kw_only=True)
class MonitoringArgs:
    """What a stack's monitoring is made from.

    name_prefix: names the topic `<name_prefix>-alerts` and the log groups `/<name_prefix>/<short name>`.
    log_groups: short names of the log groups, one per service.
    log_retention_days: how long logs are kept; one of the values that CloudWatch Logs allows.
    kms_key_arn: key of the topic and the log groups. Its policy has to let CloudWatch Logs and the
        services that publish (CloudWatch, Backup, RDS) use it; else their messages are lost without a word.
    emails: addresses that get every message; each has to confirm by a link that AWS sends.
    account_id: account whose services may publish.
    """

    name_prefix: str
    log_groups: Sequence[str]
    log_retention_days: int
    kms_key_arn: pulumi.Input[str]
    emails: Sequence[str]
    account_id: pulumi.Input[str]


def topic_policy(*, topic_arn: pulumi.Input[str], account_id: pulumi.Input[str]) -> dict[str, object]:
    """Lets AWS services publish to a topic on behalf of one account, over TLS only (SNS.4)."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "PublishFromThisAccount",
                "Effect": "Allow",
                "Principal": {"Service": list(PUBLISHERS)},
                "Action": "sns:Publish",
                "Resource": topic_arn,
                "Condition": {"StringEquals": {"aws:SourceAccount": account_id}},
            },
            {
                "Sid": "RefusePlainText",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "sns:Publish",
                "Resource": topic_arn,
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
        ],
    }


class Monitoring(pulumi.ComponentResource):
    """A topic for everything that a person has to know, and the log groups of the services."""

    topic_arn: pulumi.Output[str]
    log_group_names: dict[str, pulumi.Output[str]]
    log_group_arns: dict[str, pulumi.Output[str]]

    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchyard:monitoring:Monitoring", name, None, opts)
        topic = sns.Topic(
            f"{name}-topic",
            name=f"{args.name_prefix}-alerts",
            kms_master_key_id=args.kms_key_arn,  # SNS.1
            opts=pulumi.ResourceOptions(parent=self),
        )
        policy = topic_policy(topic_arn=topic.arn, account_id=args.account_id)
        sns.TopicPolicy(
            f"{name}-topic",
            arn=topic.arn,
            policy=pulumi.Output.json_dumps(policy, sort_keys=True),
            opts=pulumi.ResourceOptions(parent=self),
        )
        for email in args.emails:
            sns.TopicSubscription(
                f"{name}-{email}",
                topic=topic.arn,
                protocol="email",
                endpoint=email,
                opts=pulumi.ResourceOptions(parent=self),
            )
        groups = {short: self._log_group(f"{name}-{short}", short, args) for short in args.log_groups}
        self.topic_arn = topic.arn
        self.log_group_names = {short: group.name for short, group in groups.items()}
        self.log_group_arns = {short: group.arn for short, group in groups.items()}
        self.register_outputs(
            {
                "topic_arn": self.topic_arn,
                "log_group_names": self.log_group_names,
                "log_group_arns": self.log_group_arns,
            }
        )

    def _log_group(self, name: str, short: str, args: MonitoringArgs) -> cloudwatch.LogGroup:
        return cloudwatch.LogGroup(
            name,
            name=f"/{args.name_prefix}/{short}",
            retention_in_days=args.log_retention_days,
            kms_key_id=args.kms_key_arn,
            opts=pulumi.ResourceOptions(parent=self),
        )

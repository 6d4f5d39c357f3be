"""What went over the network.

Creates: a flow log of all traffic of a VPC (FSBP EC2.6), the encrypted log group that it goes to, and
the role that may write there and nowhere else.
"""

import json
from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch, ec2, iam


@dataclass(frozen=True, kw_only=True)
class FlowLogArgs:
    """What a flow log is made from.

    vpc_id: the VPC to watch.
    log_group_name: name of the log group that is made.
    retention_days: days that records are kept, one of the numbers that CloudWatch Logs takes.
    kms_key_arn: key that encrypts the log group; its policy has to admit CloudWatch Logs.
    account_id, region: where the VPC is.
    role_path: IAM path of the role, such as `/switchyard/prod/`.
    permissions_boundary_arn: policy that the role can never go beyond; `None` for none.
    """

    vpc_id: pulumi.Input[str]
    log_group_name: str
    retention_days: pulumi.Input[int]
    kms_key_arn: pulumi.Input[str]
    account_id: pulumi.Input[str]
    region: str
    role_path: str
    permissions_boundary_arn: str | None


class FlowLog(pulumi.ComponentResource):
    """Accepted and rejected connections of a VPC, in CloudWatch Logs."""

    log_group_name: pulumi.Output[str]

    def __init__(self, name: str, args: FlowLogArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchyard:network:FlowLog", name, None, opts)
        group = cloudwatch.LogGroup(
            f"{name}-group",
            name=args.log_group_name,
            retention_in_days=args.retention_days,
            kms_key_id=args.kms_key_arn,
            opts=pulumi.ResourceOptions(parent=self),
        )
        account = pulumi.Output.from_input(args.account_id)
        role = iam.Role(
            f"{name}-role",
            path=args.role_path,
            permissions_boundary=args.permissions_boundary_arn,
            description="Lets VPC flow logs write to their log group",
            assume_role_policy=account.apply(lambda account_id: trust_policy(account_id, args.region)),
            opts=pulumi.ResourceOptions(parent=self),
        )
        permissions = iam.RolePolicy(
            f"{name}-write",
            role=role.id,
            policy=pulumi.Output.all(group.arn, account).apply(
                lambda known: write_policy(known[0], known[1], args.region)
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        ec2.FlowLog(
            f"{name}-log",
            vpc_id=args.vpc_id,
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[permissions]),
        )
        self.log_group_name = group.name
        self.register_outputs({"log_group_name": self.log_group_name})


def trust_policy(account_id: str, region: str) -> str:
    """Only flow logs of this account and region may take the role (against a confused deputy)."""
    statement = {
        "Sid": "FlowLogsOfThisAccount",
        "Effect": "Allow",
        "Principal": {"Service": "vpc-flow-logs.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {
            "StringEquals": {"aws:SourceAccount": account_id},
            "ArnLike": {"aws:SourceArn": f"arn:aws:ec2:{region}:{account_id}:vpc-flow-log/*"},
        },
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, sort_keys=True)


def write_policy(log_group_arn: str, account_id: str, region: str) -> str:
    """Streams and records in one log group; the group itself can't be made, changed or deleted."""
    statements = [
        {
            "Sid": "WriteRecords",
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            "Resource": f"{log_group_arn}:*",
        },
        {
            "Sid": "FindLogGroup",
            "Effect": "Allow",
            "Action": "logs:DescribeLogGroups",
            # A listing: AWS checks it against all groups of the region, never a single one.
            "Resource": f"arn:aws:logs:{region}:{account_id}:log-group:*",
        },
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, sort_keys=True)

"""What the AWS API says is there, for a stack's account."""

from typing import Any

from tests.cloud.stack import StackUnderTest

PRODUCTION, TEST = "production_rule", "test_rule"


def own_vpcs(stack: StackUnderTest) -> list[Any]:
    """VPCs other than the account's default one."""
    found: list[Any] = stack.aws("ec2").describe_vpcs(Filters=[{"Name": "is-default", "Values": ["false"]}])[
        "Vpcs"
    ]
    return found


def weights(stack: StackUnderTest, rule_arn: str) -> list[int]:
    """The weights of a rule's target groups, blue first."""
    rule = stack.aws("elbv2").describe_rules(RuleArns=[rule_arn])["Rules"][0]
    groups = rule["Actions"][0]["ForwardConfig"]["TargetGroups"]
    blue_first = sorted(groups, key=lambda group: "-green-" in group["TargetGroupArn"])
    return [group["Weight"] for group in blue_first]


def shift(stack: StackUnderTest, rule_arn: str, blue: int) -> None:
    """Moves traffic by hand, as a person with the AWS CLI would."""
    balancer = stack.aws("elbv2")
    actions = balancer.describe_rules(RuleArns=[rule_arn])["Rules"][0]["Actions"]
    for group in actions[0]["ForwardConfig"]["TargetGroups"]:
        group["Weight"] = 100 - blue if "-green-" in group["TargetGroupArn"] else blue
    balancer.modify_rule(RuleArn=rule_arn, Actions=actions)


def leftovers(stack: StackUnderTest) -> dict[str, list[str]]:
    """Everything of a stack that the API still knows, by service; empty after a destroy."""
    ec2, iam = stack.aws("ec2"), stack.aws("iam")
    not_default = [{"Name": "is-default", "Values": ["false"]}]
    mine = [{"Name": "tag:project", "Values": ["switchyard"]}]
    found = {
        "vpcs": [vpc["VpcId"] for vpc in ec2.describe_vpcs(Filters=not_default)["Vpcs"]],
        "addresses": [address["AllocationId"] for address in ec2.describe_addresses()["Addresses"]],
        "nat gateways": [
            gateway["NatGatewayId"]
            for gateway in ec2.describe_nat_gateways(Filters=mine)["NatGateways"]
            if gateway["State"] != "deleted"
        ],
        "security groups": [
            group["GroupId"] for group in ec2.describe_security_groups(Filters=mine)["SecurityGroups"]
        ],
        "load balancers": [
            balancer["LoadBalancerArn"]
            for balancer in stack.aws("elbv2").describe_load_balancers()["LoadBalancers"]
        ],
        "target groups": [
            group["TargetGroupArn"] for group in stack.aws("elbv2").describe_target_groups()["TargetGroups"]
        ],
        "clusters": active_clusters(stack),
        "databases": [
            database["DBInstanceIdentifier"]
            for database in stack.aws("rds").describe_db_instances()["DBInstances"]
        ],
        "vaults": [
            vault["BackupVaultName"] for vault in stack.aws("backup").list_backup_vaults()["BackupVaultList"]
        ],
        "plans": [
            plan["BackupPlanId"] for plan in stack.aws("backup").list_backup_plans()["BackupPlansList"]
        ],
        "tables": stack.aws("dynamodb").list_tables()["TableNames"],
        "repositories": [
            repository["repositoryName"]
            for repository in stack.aws("ecr").describe_repositories()["repositories"]
        ],
        "secrets": [secret["Name"] for secret in stack.aws("secretsmanager").list_secrets()["SecretList"]],
        "topics": [topic["TopicArn"] for topic in stack.aws("sns").list_topics()["Topics"]],
        "alarms": [alarm["AlarmName"] for alarm in stack.aws("cloudwatch").describe_alarms()["MetricAlarms"]],
        "dashboards": [
            entry["DashboardName"] for entry in stack.aws("cloudwatch").list_dashboards()["DashboardEntries"]
        ],
        "log groups": [
            group["logGroupName"] for group in stack.aws("logs").describe_log_groups()["logGroups"]
        ],
        "roles": [role["RoleName"] for role in iam.list_roles()["Roles"]],
        "buckets": [
            bucket["Name"]
            for bucket in stack.aws("s3").list_buckets()["Buckets"]
            # Where the engine keeps the state itself.
            if not bucket["Name"].startswith("switchyard-state-")
        ],
        "keys": enabled_keys(stack),
    }
    return {kind: things for kind, things in found.items() if things}


def active_clusters(stack: StackUnderTest) -> list[str]:
    """ECS clusters; ECS lists deleted ones as inactive for a while."""
    ecs = stack.aws("ecs")
    described = ecs.describe_clusters(clusters=ecs.list_clusters()["clusterArns"])["clusters"]
    return [cluster["clusterArn"] for cluster in described if cluster["status"] == "ACTIVE"]


def enabled_keys(stack: StackUnderTest, region: str | None = None) -> list[str]:
    """Descriptions of the account's own KMS keys that are not on their way out."""
    kms = stack.aws("kms", region)
    described = [
        kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in kms.list_keys(Limit=1000)["Keys"]
    ]
    return sorted(
        key["Description"]
        for key in described
        # Keys that AWS makes for its own services are described so.
        if key["KeyState"] == "Enabled" and key["Description"] != "Default key"
    )

"""What pulumi-aws calls a thing, and what Terraform's AWS provider calls it, for the plugin's stand-in.

The table holds the types that the program uses, no more; tests hold every type of the program against it. The
bridge names properties by rules of its own: where those differ from pulumi-aws's, they are here too.
"""

from collections.abc import Mapping
from typing import Any

# The pulumi-aws that it stands in for.
VERSION = "7.51.1"

# pulumi-aws token -> Terraform type, without its `aws_`.
RESOURCES: Mapping[str, str] = {
    "aws:appautoscaling/policy:Policy": "appautoscaling_policy",
    "aws:appautoscaling/target:Target": "appautoscaling_target",
    "aws:backup/plan:Plan": "backup_plan",
    "aws:backup/selection:Selection": "backup_selection",
    "aws:backup/vault:Vault": "backup_vault",
    "aws:backup/vaultLockConfiguration:VaultLockConfiguration": "backup_vault_lock_configuration",
    "aws:backup/vaultNotifications:VaultNotifications": "backup_vault_notifications",
    "aws:cloudwatch/dashboard:Dashboard": "cloudwatch_dashboard",
    "aws:cloudwatch/logGroup:LogGroup": "cloudwatch_log_group",
    "aws:cloudwatch/metricAlarm:MetricAlarm": "cloudwatch_metric_alarm",
    "aws:dynamodb/table:Table": "dynamodb_table",
    "aws:ec2/defaultNetworkAcl:DefaultNetworkAcl": "default_network_acl",
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": "default_security_group",
    "aws:ec2/eip:Eip": "eip",
    "aws:ec2/flowLog:FlowLog": "flow_log",
    "aws:ec2/internetGateway:InternetGateway": "internet_gateway",
    "aws:ec2/natGateway:NatGateway": "nat_gateway",
    "aws:ec2/route:Route": "route",
    "aws:ec2/routeTable:RouteTable": "route_table",
    "aws:ec2/routeTableAssociation:RouteTableAssociation": "route_table_association",
    "aws:ec2/securityGroup:SecurityGroup": "security_group",
    "aws:ec2/subnet:Subnet": "subnet",
    "aws:ec2/vpc:Vpc": "vpc",
    "aws:ec2/vpcEndpoint:VpcEndpoint": "vpc_endpoint",
    "aws:ec2/vpcEndpointRouteTableAssociation:VpcEndpointRouteTableAssociation": (
        "vpc_endpoint_route_table_association"
    ),
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": "ecr_lifecycle_policy",
    "aws:ecr/repository:Repository": "ecr_repository",
    "aws:ecr/repositoryPolicy:RepositoryPolicy": "ecr_repository_policy",
    "aws:ecs/cluster:Cluster": "ecs_cluster",
    "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders": "ecs_cluster_capacity_providers",
    "aws:ecs/service:Service": "ecs_service",
    "aws:ecs/taskDefinition:TaskDefinition": "ecs_task_definition",
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": "iam_openid_connect_provider",
    "aws:iam/policy:Policy": "iam_policy",
    "aws:iam/role:Role": "iam_role",
    "aws:iam/rolePolicy:RolePolicy": "iam_role_policy",
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": "iam_role_policy_attachment",
    "aws:kms/alias:Alias": "kms_alias",
    "aws:kms/key:Key": "kms_key",
    "aws:lb/listener:Listener": "lb_listener",
    "aws:lb/listenerRule:ListenerRule": "lb_listener_rule",
    "aws:lb/loadBalancer:LoadBalancer": "lb",
    "aws:lb/targetGroup:TargetGroup": "lb_target_group",
    "aws:rds/eventSubscription:EventSubscription": "db_event_subscription",
    "aws:rds/instance:Instance": "db_instance",
    "aws:rds/parameterGroup:ParameterGroup": "db_parameter_group",
    "aws:rds/subnetGroup:SubnetGroup": "db_subnet_group",
    "aws:s3/bucket:Bucket": "s3_bucket",
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": "s3_bucket_lifecycle_configuration",
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": "s3_bucket_ownership_controls",
    "aws:s3/bucketPolicy:BucketPolicy": "s3_bucket_policy",
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": "s3_bucket_public_access_block",
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": (
        "s3_bucket_server_side_encryption_configuration"
    ),
    "aws:s3/bucketVersioning:BucketVersioning": "s3_bucket_versioning",
    "aws:secretsmanager/secret:Secret": "secretsmanager_secret",
    "aws:sns/topic:Topic": "sns_topic",
    "aws:sns/topicPolicy:TopicPolicy": "sns_topic_policy",
    "aws:sns/topicSubscription:TopicSubscription": "sns_topic_subscription",
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": "vpc_security_group_egress_rule",
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": "vpc_security_group_ingress_rule",
}

# What only bootstrap/ makes, which has a state and a recovery of its own.
OF_BOOTSTRAP = frozenset({"aws:iam/openIdConnectProvider:OpenIdConnectProvider", "aws:iam/policy:Policy"})

FUNCTIONS: Mapping[str, str] = {
    "aws:index/getCallerIdentity:getCallerIdentity": "caller_identity",
    "aws:lb/getListenerRule:getListenerRule": "lb_listener_rule",
    "aws:ssm/getParametersByPath:getParametersByPath": "ssm_parameters_by_path",
}

# Attributes, under Terraform's names, that pulumi-aws calls otherwise than the bridge would.
_FIREWALL_RULES = {"ingress": "ingress", "egress": "egress"}
NAMED: Mapping[str, Mapping[str, str]] = {
    "aws:cloudwatch/metricAlarm:MetricAlarm": {"alarm_name": "name"},
    "aws:ec2/defaultNetworkAcl:DefaultNetworkAcl": _FIREWALL_RULES,
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": _FIREWALL_RULES,
    "aws:sns/topicSubscription:TopicSubscription": {"topic_arn": "topic"},
}

# Blocks that are one object in pulumi-aws and a list to Terraform's provider, by their path of blocks.
SINGLE: Mapping[str, tuple[str, ...]] = {
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": (
        "rule.abort_incomplete_multipart_upload",
        "rule.expiration",
        "rule.filter",
        "rule.noncurrent_version_expiration",
    ),
}

# Such blocks of the provider's own configuration.
CONFIGURATION_BLOCKS = ("assume_role", "default_tags", "ignore_tags")

UNKNOWN = (
    " is not in the AWS stand-in's table of names (localcloud/aws_names.py). "
    "Add its Terraform type there, or install Pulumi's own plugin: "
    f"pulumi plugin install resource aws {VERSION}"
)


def settings() -> dict[str, Any]:
    """The table as the stand-in reads it, by Terraform's names. See localcloud/go/bridge/settings.go."""
    return {
        "version": VERSION,
        "resources": {f"aws_{ours}": token for token, ours in RESOURCES.items()},
        "functions": {f"aws_{ours}": token for token, ours in FUNCTIONS.items()},
        "named": {f"aws_{RESOURCES[token]}": named for token, named in NAMED.items()},
        "single": {f"aws_{RESOURCES[token]}": paths for token, paths in SINGLE.items()},
        "configuration": CONFIGURATION_BLOCKS,
        "unknown": UNKNOWN,
    }

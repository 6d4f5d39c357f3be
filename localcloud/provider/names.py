"""What pulumi-aws calls a thing, and what the bridge over Terraform's provider calls it. Pure.

The table holds the types that the program uses, no more; it was derived from the bridge's schema, and
tests hold every type and property of the program against it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True, kw_only=True)
class Rename:
    """A property that the bridge calls differently.

    holders: the properties that lead to it, lists passed through; none for a top-level one.
    ours, theirs: its name in pulumi-aws and in the bridge.
    listed: one object in pulumi-aws, a list of one in the bridge.
    """

    holders: tuple[str, ...] = ()
    ours: str
    theirs: str
    listed: bool = False


def _plural(name: str) -> Rename:
    return Rename(holders=("rules",), ours=name, theirs=f"{name}s", listed=True)


_FIREWALL_RULES = (Rename(ours="ingress", theirs="ingresses"), Rename(ours="egress", theirs="egresses"))

PROPERTIES: Mapping[str, tuple[Rename, ...]] = {
    "aws:cloudwatch/metricAlarm:MetricAlarm": (Rename(ours="name", theirs="alarmName"),),
    "aws:ec2/defaultNetworkAcl:DefaultNetworkAcl": _FIREWALL_RULES,
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": _FIREWALL_RULES,
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": (
        _plural("abortIncompleteMultipartUpload"),
        _plural("expiration"),
        _plural("filter"),
        _plural("noncurrentVersionExpiration"),
    ),
    "aws:sns/topicSubscription:TopicSubscription": (Rename(ours="topic", theirs="topicArn"),),
}

# Blocks of the provider's own configuration: one object in pulumi-aws, a list of one in the bridge.
CONFIGURATION_BLOCKS = ("assumeRole", "defaultTags", "ignoreTags")


class UnknownType(LookupError):
    """A type or function that the table does not hold."""

    def __init__(self, token: str) -> None:
        super().__init__(
            f"{token} is not in the AWS stand-in's table of names (localcloud/provider/names.py). "
            "Add its Terraform type there, or install Pulumi's own plugin: "
            f"pulumi plugin install resource aws {VERSION}"
        )


def camel(name: str) -> str:
    """`lb_target_group` -> `lbTargetGroup`, as the bridge spells names."""
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def bridge_type(token: str) -> str:
    """The bridge's token of a resource type. Raises UnknownType."""
    if token.startswith("pulumi:"):
        return token
    if token not in RESOURCES:
        raise UnknownType(token)
    name = camel(RESOURCES[token])
    return f"aws:index/{name}:{name[:1].upper()}{name[1:]}"


def bridge_function(token: str) -> str:
    """The bridge's token of an invoke. Raises UnknownType."""
    if token not in FUNCTIONS:
        raise UnknownType(token)
    name = "get" + camel("_" + FUNCTIONS[token])
    return f"aws:index/{name}:{name}"


def urn_type(urn: str) -> str:
    """The resource's own type, without its parents'."""
    return urn.split("::")[2].rsplit("$", 1)[-1]


def bridge_urn(urn: str) -> str:
    """The same URN with the bridge's type in it."""
    head, project, types, name = urn.split("::", 3)
    parents, dollar, own = types.rpartition("$")
    return "::".join([head, project, f"{parents}{dollar}{bridge_type(own)}", name])


def renames(token: str) -> tuple[Rename, ...]:
    """The properties of a type that the bridge calls differently."""
    return PROPERTIES.get(token, ())


def bridge_path(token: str, path: str) -> str:
    """A property path such as `rules[0].filter.prefix`, as the bridge spells it."""
    for rename in renames(token):
        path = _path(path, rename, rename.ours, rename.theirs + ("[0]" if rename.listed else ""))
    return path


def own_path(token: str, path: str) -> str:
    """A property path out of the bridge, as pulumi-aws spells it."""
    for rename in renames(token):
        path = _path(path, rename, rename.theirs + (r"(?:\[\d+\])?" if rename.listed else ""), rename.ours)
    return path


def _path(path: str, rename: Rename, old: str, new: str) -> str:
    holders = "".join(rf"{holder}(?:\[[^\]]*\])?\." for holder in rename.holders)
    return re.sub(rf"^({holders}){old}(?=[.\[]|$)", lambda match: match.group(1) + new, path)

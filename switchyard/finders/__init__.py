"""How each type of resource is found in AWS by what it was asked to be.

A finder returns the import ID of the thing, as HashiCorp's provider takes it, or None where AWS says that
there is no such thing. Any other answer of AWS is an error and goes up. Names that others may use as well
count only with this stack's tags.

A type without a finder is written again by the next run, or goes with what it belongs to; that does no harm,
and the reason stands with it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from switchyard.finders import balancing, containers, data, monitoring, network
from switchyard.finders.look import Look

Finder = Callable[[Look], str | None]

FINDERS: Mapping[str, Finder] = {
    "aws:backup/plan:Plan": data.plan,
    "aws:backup/selection:Selection": data.selection,
    "aws:backup/vault:Vault": data.vault,
    "aws:cloudwatch/logGroup:LogGroup": containers.log_group,
    "aws:cloudwatch/dashboard:Dashboard": monitoring.dashboard,
    "aws:cloudwatch/metricAlarm:MetricAlarm": monitoring.metric_alarm,
    "aws:dynamodb/table:Table": data.table,
    "aws:ec2/eip:Eip": network.address,
    "aws:ec2/flowLog:FlowLog": network.flow_log,
    "aws:ec2/internetGateway:InternetGateway": network.internet_gateway,
    "aws:ec2/natGateway:NatGateway": network.nat_gateway,
    "aws:ec2/route:Route": network.route,
    "aws:ec2/routeTable:RouteTable": network.route_table,
    "aws:ec2/routeTableAssociation:RouteTableAssociation": network.route_table_association,
    "aws:ec2/securityGroup:SecurityGroup": network.security_group,
    "aws:ec2/subnet:Subnet": network.subnet,
    "aws:ec2/vpc:Vpc": network.vpc,
    "aws:ec2/vpcEndpoint:VpcEndpoint": network.vpc_endpoint,
    "aws:ecr/repository:Repository": containers.repository,
    "aws:ecs/cluster:Cluster": containers.cluster,
    "aws:ecs/service:Service": containers.service,
    "aws:iam/role:Role": containers.role,
    "aws:kms/alias:Alias": data.alias,
    "aws:kms/key:Key": data.key,
    "aws:lb/listener:Listener": balancing.listener,
    "aws:lb/listenerRule:ListenerRule": balancing.listener_rule,
    "aws:lb/loadBalancer:LoadBalancer": balancing.load_balancer,
    "aws:lb/targetGroup:TargetGroup": balancing.target_group,
    "aws:rds/eventSubscription:EventSubscription": data.event_subscription,
    "aws:rds/instance:Instance": data.database,
    "aws:rds/parameterGroup:ParameterGroup": data.parameter_group,
    "aws:rds/subnetGroup:SubnetGroup": data.subnet_group,
    "aws:s3/bucket:Bucket": data.bucket,
    "aws:secretsmanager/secret:Secret": data.secret,
    "aws:sns/topic:Topic": containers.topic,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": network.egress_rule,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": network.ingress_rule,
}

# Creating it is a call that sets what is there, by a name or a holder that the program gives.
_SET = "its creation puts a value in place, whether there is one or not"
_ADDED = "its creation adds to a set, which may hold it already"
# AWS made it with the VPC.
_TAKEN_OVER = "its creation takes over what AWS made"

WRITTEN_AGAIN: Mapping[str, str] = {
    "aws:appautoscaling/policy:Policy": _SET,
    "aws:appautoscaling/target:Target": _SET,
    "aws:backup/vaultLockConfiguration:VaultLockConfiguration": _SET,
    "aws:backup/vaultNotifications:VaultNotifications": _SET,
    "aws:ec2/defaultNetworkAcl:DefaultNetworkAcl": _TAKEN_OVER,
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": _TAKEN_OVER,
    "aws:ec2/vpcEndpointRouteTableAssociation:VpcEndpointRouteTableAssociation": _ADDED,
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": _SET,
    "aws:ecr/repositoryPolicy:RepositoryPolicy": _SET,
    "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders": _SET,
    "aws:ecs/taskDefinition:TaskDefinition": "a revision that nothing runs costs nothing and is in no way",
    "aws:iam/rolePolicy:RolePolicy": _SET,
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": _ADDED,
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": _SET,
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": _SET,
    "aws:s3/bucketPolicy:BucketPolicy": _SET,
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _SET,
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": _SET,
    "aws:s3/bucketVersioning:BucketVersioning": _SET,
    "aws:sns/topicPolicy:TopicPolicy": _SET,
    "aws:sns/topicSubscription:TopicSubscription": "AWS answers a second subscription with the first one",
}

# Import IDs that are not the IDs in the state. There is one at most of each: two would need two names.
IMPORTED_BY_NAME = frozenset(
    {
        "aws:backup/selection:Selection",
        "aws:ec2/route:Route",
        "aws:ec2/routeTableAssociation:RouteTableAssociation",
        "aws:ecs/cluster:Cluster",
        "aws:ecs/service:Service",
        "aws:rds/instance:Instance",
    }
)

# What takes minutes to come up, and can't be used or changed before: service, waiter, its argument.
SLOW: Mapping[str, tuple[str, str, Callable[[str], dict[str, Any]]]] = {
    "aws:dynamodb/table:Table": ("dynamodb", "table_exists", lambda name: {"TableName": name}),
    "aws:ec2/natGateway:NatGateway": (
        "ec2",
        "nat_gateway_available",
        lambda found: {"NatGatewayIds": [found]},
    ),
    "aws:lb/loadBalancer:LoadBalancer": (
        "elbv2",
        "load_balancer_available",
        lambda arn: {"LoadBalancerArns": [arn]},
    ),
    "aws:rds/instance:Instance": (
        "rds",
        "db_instance_available",
        lambda identifier: {"DBInstanceIdentifier": identifier},
    ),
}

import json
from collections import Counter
from functools import cache
from typing import Any

import pulumi
import pytest

from tests.unit.harness import Deployment, value_of
from tests.unit.stacks import REMOVED, STACKS, config, platform

TASK = "aws:ecs/taskDefinition:TaskDefinition"
PROVIDER = "pulumi:providers:aws"
SERVICES = ("api", "web")
COLOURS = ("blue", "green")
# One digest for each colour of each service of prod, by SSM parameter name.
RELEASED = {
    f"/switchyard/prod/images/{service}/{colour}": f"registry.example.com/{service}@sha256:{digit * 64}"
    for (service, colour), digit in zip(
        [(service, colour) for service in SERVICES for colour in COLOURS], "1234", strict=True
    )
}
BOOTSTRAP = "public.ecr.aws/docker/library/busybox@sha256:" + "0" * 64
LOCAL_COUNT = {
    "aws:backup/plan:Plan": 1,
    "aws:backup/selection:Selection": 1,
    "aws:backup/vault:Vault": 1,
    "aws:backup/vaultLockConfiguration:VaultLockConfiguration": 1,
    "aws:backup/vaultNotifications:VaultNotifications": 1,
    "aws:cloudwatch/dashboard:Dashboard": 1,
    "aws:cloudwatch/logGroup:LogGroup": 6,
    "aws:cloudwatch/metricAlarm:MetricAlarm": 23,
    "aws:dynamodb/table:Table": 1,
    "aws:ec2/defaultNetworkAcl:DefaultNetworkAcl": 1,
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": 1,
    "aws:ec2/eip:Eip": 1,
    "aws:ec2/flowLog:FlowLog": 1,
    "aws:ec2/internetGateway:InternetGateway": 1,
    "aws:ec2/natGateway:NatGateway": 1,
    "aws:ec2/route:Route": 3,
    "aws:ec2/routeTable:RouteTable": 4,
    "aws:ec2/routeTableAssociation:RouteTableAssociation": 6,
    "aws:ec2/securityGroup:SecurityGroup": 4,
    "aws:ec2/subnet:Subnet": 6,
    "aws:ec2/vpc:Vpc": 1,
    "aws:ec2/vpcEndpoint:VpcEndpoint": 6,
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": 2,
    "aws:ecr/repository:Repository": 2,
    "aws:ecs/cluster:Cluster": 1,
    "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders": 1,
    "aws:ecs/service:Service": 4,
    "aws:ecs/taskDefinition:TaskDefinition": 4,
    "aws:iam/role:Role": 7,
    "aws:iam/rolePolicy:RolePolicy": 3,
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": 3,
    "aws:kms/alias:Alias": 3,
    "aws:kms/key:Key": 3,
    "aws:lb/listener:Listener": 2,
    "aws:lb/listenerRule:ListenerRule": 4,
    "aws:lb/loadBalancer:LoadBalancer": 1,
    "aws:lb/targetGroup:TargetGroup": 4,
    "aws:rds/eventSubscription:EventSubscription": 3,
    "aws:rds/instance:Instance": 1,
    "aws:rds/parameterGroup:ParameterGroup": 1,
    "aws:rds/subnetGroup:SubnetGroup": 1,
    "aws:s3/bucket:Bucket": 1,
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": 1,
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": 1,
    "aws:s3/bucketPolicy:BucketPolicy": 1,
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": 1,
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": 1,
    "aws:s3/bucketVersioning:BucketVersioning": 1,
    "aws:secretsmanager/secret:Secret": 1,
    "aws:sns/topic:Topic": 1,
    "aws:sns/topicPolicy:TopicPolicy": 1,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": 6,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": 6,
    PROVIDER: 1,
}
# A third zone, HTTPS with a redirect, and two more endpoints.
STAGING_COUNT = {
    **LOCAL_COUNT,
    "aws:ec2/route:Route": 4,
    "aws:ec2/routeTable:RouteTable": 5,
    "aws:ec2/routeTableAssociation:RouteTableAssociation": 9,
    "aws:ec2/subnet:Subnet": 9,
    "aws:ec2/vpcEndpoint:VpcEndpoint": 8,
    "aws:lb/listener:Listener": 3,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": 7,
}
# Beyond staging: a NAT gateway per zone, a second tier, and copies in a second region.
PROD_COUNT = {
    **STAGING_COUNT,
    "aws:backup/plan:Plan": 2,
    "aws:backup/selection:Selection": 2,
    "aws:backup/vault:Vault": 2,
    "aws:backup/vaultLockConfiguration:VaultLockConfiguration": 2,
    "aws:cloudwatch/metricAlarm:MetricAlarm": 25,
    "aws:ec2/eip:Eip": 3,
    "aws:ec2/natGateway:NatGateway": 3,
    "aws:kms/alias:Alias": 4,
    "aws:kms/key:Key": 4,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": 9,
    PROVIDER: 2,
}
COUNTS = {"local": LOCAL_COUNT, "dev": LOCAL_COUNT, "staging": STAGING_COUNT, "prod": PROD_COUNT}


@cache
def new(stack: str) -> Deployment:
    """A stack before its first release. Nothing in it may be changed: tests share it."""
    return platform(stack)


@cache
def released() -> Deployment:
    """Prod with something released to every colour."""
    return platform("prod", released=RELEASED)


def container(deployment: Deployment, name: str) -> dict[str, Any]:
    (found,) = json.loads(deployment.one(TASK, name).inputs["containerDefinitions"])
    assert isinstance(found, dict)
    return found


def resolved(value: Any) -> Any:
    """Plain values of outputs, however deep."""
    if isinstance(value, dict):
        return {key: resolved(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [resolved(entry) for entry in value]
    return resolved(value_of(value)) if isinstance(value, pulumi.Output) else value


# --- what there is


@pytest.mark.parametrize("stack", STACKS)
def test_a_new_stack_has_exactly_these_resources(stack: str) -> None:
    assert new(stack).count() == COUNTS[stack]


def test_a_released_stack_has_autoscaling_for_each_released_colour_and_is_otherwise_the_same() -> None:
    autoscaling = {"aws:appautoscaling/target:Target": 4, "aws:appautoscaling/policy:Policy": 8}
    assert released().count() == PROD_COUNT | autoscaling
    one = platform("prod", released=dict([next(iter(RELEASED.items()))]))
    assert [r.name for r in one.of("aws:appautoscaling/target:Target")] == ["api-blue-scaling"]


def test_a_second_service_is_one_block_and_adds_the_resources_of_one_service() -> None:
    block = {**config("local")["switchyard:services"]["web"], "route": {"priority": 30, "paths": ["/shop"]}}
    block.update(image_repository="shop", port=4000, secrets={"KEY": "shop-key"}, smoke=[])
    two, three = new("local"), platform("local", {"services.shop": block})
    assert Counter(three.count()) - Counter(two.count()) == {
        "aws:cloudwatch/logGroup:LogGroup": 1,
        "aws:cloudwatch/metricAlarm:MetricAlarm": 9,
        "aws:ecr/lifecyclePolicy:LifecyclePolicy": 1,
        "aws:ecr/repository:Repository": 1,
        "aws:ecs/service:Service": 2,
        "aws:ecs/taskDefinition:TaskDefinition": 2,
        "aws:iam/role:Role": 2,
        "aws:iam/rolePolicy:RolePolicy": 1,
        "aws:lb/listenerRule:ListenerRule": 2,
        "aws:lb/targetGroup:TargetGroup": 2,
        "aws:secretsmanager/secret:Secret": 1,
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": 1,
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": 1,
    }
    there = {(r.type, r.name): r.inputs for r in three.resources}
    changed = [r.name for r in two.resources if there[r.type, r.name] != r.inputs]
    assert changed == ["dashboard-dashboard"], "no other service is touched"


def test_a_stack_needs_no_database() -> None:
    none = platform("local", {"databases": {}, "services.api.database": REMOVED})
    assert [
        r.type for r in none.resources if r.type.startswith(("aws:rds/", "switchyard:data:Database"))
    ] == []
    assert "DATABASE_HOST" not in {entry["name"] for entry in container(none, "api-blue")["environment"]}


@pytest.mark.parametrize("stack", ["local", "prod"])
def test_no_two_resources_share_a_type_and_a_name(stack: str) -> None:
    names = Counter((r.type, r.name) for r in new(stack).resources)
    assert [name for name, times in names.items() if times > 1] == []


@pytest.mark.parametrize("stack", ["local", "prod"])
def test_no_two_resources_of_a_region_share_a_physical_name(stack: str) -> None:
    # A parameter group's is made up by Pulumi; "name" there is none.
    names = Counter(
        (r.type, r.provider, r.inputs[key])
        for r in new(stack).resources
        for key in ("name", "identifier", "bucket")
        if key in r.inputs and isinstance(r.inputs[key], str)
    )
    assert len(names) > 30
    assert [name for name, times in names.items() if times > 1] == []

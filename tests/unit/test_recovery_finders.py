"""What was begun is found in AWS by what it was asked to be; what is another stack's never is."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.iam.models import IAMBackend
from moto.moto_api._internal.models import moto_api_backend

from localcloud import aws_names
from localcloud.aws import install
from switchyard.finders import FINDERS, IMPORTED_BY_NAME, SLOW, WRITTEN_AGAIN
from switchyard.finders.look import Ambiguous, Look, tags_of
from switchyard.pending import PendingCreate

REGION = "eu-west-1"
TAGS = {"project": "switchyard", "stack": "prod", "team": "platform"}
OTHERS = {**TAGS, "stack": "staging"}
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


@cache
def client(service: str) -> Any:
    """One client per service for all tests: reading EC2's model takes longer than a test."""
    make: Any = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name=REGION).client  # noqa: S106
    return make(
        service,
    )


def listed(tags: Mapping[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    return [{key: name, value: text} for name, text in tags.items()]


def specification(kind: str, tags: Mapping[str, str], name: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": listed({**tags, "Name": name})}]


@dataclass(frozen=True)
class Made:
    """A thing in AWS: what it was asked to be, and the ID to import it by."""

    inputs: dict[str, Any]
    id: str


Tags = Mapping[str, str]
Maker = Callable[[Tags], Made]


def named(name: str) -> dict[str, Any]:
    return {"tags": {"Name": name}}


def vpc(tags: Tags) -> Made:
    made = client("ec2").create_vpc(
        CidrBlock="10.0.0.0/20", TagSpecifications=specification("vpc", tags, "main")
    )
    return Made({"cidrBlock": "10.0.0.0/20", **named("main")}, made["Vpc"]["VpcId"])


def subnet(tags: Tags) -> Made:
    vpc_id = vpc(tags).id
    made = client("ec2").create_subnet(
        VpcId=vpc_id,
        CidrBlock="10.0.0.0/24",
        AvailabilityZone=f"{REGION}a",
        TagSpecifications=specification("subnet", tags, "public"),
    )
    inputs = {"vpcId": vpc_id, "cidrBlock": "10.0.0.0/24", **named("public")}
    return Made(inputs, made["Subnet"]["SubnetId"])


def internet_gateway(tags: Tags) -> Made:
    made = client("ec2").create_internet_gateway(
        TagSpecifications=specification("internet-gateway", tags, "main")
    )
    # Not attached, as a creation leaves it that is cut off between its two calls.
    return Made({"vpcId": "vpc-1", **named("main")}, made["InternetGateway"]["InternetGatewayId"])


def address(tags: Tags) -> Made:
    made = client("ec2").allocate_address(
        Domain="vpc", TagSpecifications=specification("elastic-ip", tags, "nat")
    )
    return Made({"domain": "vpc", **named("nat")}, made["AllocationId"])


def nat_gateway(tags: Tags) -> Made:
    subnet_id = subnet(tags).id
    made = client("ec2").create_nat_gateway(
        SubnetId=subnet_id,
        AllocationId=address(tags).id,
        TagSpecifications=specification("natgateway", tags, "nat"),
    )
    return Made({"subnetId": subnet_id, **named("nat")}, made["NatGateway"]["NatGatewayId"])


def route_table(tags: Tags) -> Made:
    vpc_id = vpc(tags).id
    made = client("ec2").create_route_table(
        VpcId=vpc_id, TagSpecifications=specification("route-table", tags, "data")
    )
    return Made({"vpcId": vpc_id, **named("data")}, made["RouteTable"]["RouteTableId"])


def route(tags: Tags) -> Made:
    table, gateway = route_table(tags), internet_gateway(tags)
    client("ec2").attach_internet_gateway(InternetGatewayId=gateway.id, VpcId=table.inputs["vpcId"])
    client("ec2").create_route(RouteTableId=table.id, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway.id)
    inputs = {"routeTableId": table.id, "destinationCidrBlock": "0.0.0.0/0"}
    return Made(inputs, f"{table.id}_0.0.0.0/0")


def route_table_association(tags: Tags) -> Made:
    made = subnet(tags)
    ec2 = client("ec2")
    table = ec2.create_route_table(VpcId=made.inputs["vpcId"])["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=made.id)
    return Made({"subnetId": made.id, "routeTableId": table}, f"{made.id}/{table}")


def vpc_endpoint(tags: Tags) -> Made:
    vpc_id = vpc(tags).id
    made = client("ec2").create_vpc_endpoint(
        VpcId=vpc_id,
        ServiceName=f"com.amazonaws.{REGION}.s3",
        TagSpecifications=specification("vpc-endpoint", tags, "s3"),
    )
    inputs = {"vpcId": vpc_id, "serviceName": f"com.amazonaws.{REGION}.s3", **named("s3")}
    return Made(inputs, made["VpcEndpoint"]["VpcEndpointId"])


def flow_log(tags: Tags) -> Made:
    vpc_id = vpc(tags).id
    made = client("ec2").create_flow_logs(
        ResourceIds=[vpc_id],
        ResourceType="VPC",
        TrafficType="ALL",
        LogDestinationType="cloud-watch-logs",
        LogGroupName="flows",
        DeliverLogsPermissionArn="arn:aws:iam::123456789012:role/flows",
        TagSpecifications=[{"ResourceType": "vpc-flow-log", "Tags": listed(tags)}],
    )
    return Made({"vpcId": vpc_id}, made["FlowLogIds"][0])


def security_group(tags: Tags) -> Made:
    vpc_id = vpc(tags).id
    made = client("ec2").create_security_group(
        VpcId=vpc_id,
        GroupName="edge",
        Description="edge",
        TagSpecifications=specification("security-group", tags, "edge"),
    )
    return Made({"vpcId": vpc_id, "name": "edge", **named("edge")}, made["GroupId"])


def egress_rule(tags: Tags) -> Made:
    group = security_group(tags).id
    permission = {
        "IpProtocol": "tcp",
        "FromPort": 443,
        "ToPort": 443,
        "IpRanges": [{"CidrIp": "0.0.0.0/0"}],
    }
    made = client("ec2").authorize_security_group_egress(GroupId=group, IpPermissions=[permission])
    inputs = {"securityGroupId": group, "ipProtocol": "tcp", "fromPort": 443, "toPort": 443}
    found = made["SecurityGroupRules"][0]["SecurityGroupRuleId"]
    return Made({**inputs, "cidrIpv4": "0.0.0.0/0"}, found)


def ingress_rule(tags: Tags) -> Made:
    group = security_group(tags).id
    permission = {
        "IpProtocol": "tcp",
        "FromPort": 80,
        "ToPort": 80,
        "UserIdGroupPairs": [{"GroupId": group}],
    }
    made = client("ec2").authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    inputs = {"securityGroupId": group, "ipProtocol": "tcp", "fromPort": 80.0, "toPort": 80.0}
    found = made["SecurityGroupRules"][0]["SecurityGroupRuleId"]
    return Made({**inputs, "referencedSecurityGroupId": group}, found)


def load_balancer(tags: Tags) -> Made:
    made = client("elbv2").create_load_balancer(
        Name="switchyard-prod", Subnets=[subnet(tags).id], Tags=listed(tags)
    )
    return Made({"name": "switchyard-prod"}, made["LoadBalancers"][0]["LoadBalancerArn"])


def target_group(tags: Tags) -> Made:
    made = client("elbv2").create_target_group(
        Name="api-blue", Protocol="HTTP", Port=80, VpcId=vpc(tags).id, TargetType="ip", Tags=listed(tags)
    )
    return Made({"name": "api-blue"}, made["TargetGroups"][0]["TargetGroupArn"])


def listener(tags: Tags) -> Made:
    balancer = load_balancer(tags).id
    answer = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
    made = [
        client("elbv2").create_listener(
            LoadBalancerArn=balancer, Port=port, Protocol="HTTP", DefaultActions=answer
        )
        for port in (80, 8080)
    ]
    arn = made[1]["Listeners"][0]["ListenerArn"]
    return Made({"loadBalancerArn": balancer, "port": 8080.0}, arn)


def listener_rule(tags: Tags) -> Made:
    arn = listener(tags).id
    made = client("elbv2").create_rule(
        ListenerArn=arn,
        Priority=10,
        Conditions=[{"Field": "path-pattern", "Values": ["/api/*"]}],
        Actions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503"}}],
    )
    return Made({"listenerArn": arn, "priority": 10.0}, made["Rules"][0]["RuleArn"])


def database(tags: Tags) -> Made:
    client("rds").create_db_instance(
        DBInstanceIdentifier="switchyard-prod-main",
        Engine="postgres",
        DBInstanceClass="db.t4g.medium",
        AllocatedStorage=20,
        MasterUsername="shop",
        MasterUserPassword="not-a-secret",
        Tags=listed(tags),
    )
    return Made({"identifier": "switchyard-prod-main"}, "switchyard-prod-main")


def subnet_group(tags: Tags) -> Made:
    client("rds").create_db_subnet_group(
        DBSubnetGroupName="main-subnets",
        DBSubnetGroupDescription="main",
        SubnetIds=[subnet(tags).id],
        Tags=listed(tags),
    )
    return Made({"name": "main-subnets"}, "main-subnets")


def parameter_group(tags: Tags) -> Made:
    client("rds").create_db_parameter_group(
        DBParameterGroupName="main-parameters",
        DBParameterGroupFamily="postgres16",
        Description="main",
        Tags=listed(tags),
    )
    return Made({"name": "main-parameters"}, "main-parameters")


def event_subscription(tags: Tags) -> Made:
    database(tags)
    client("rds").create_event_subscription(
        SubscriptionName="main-instances",
        SnsTopicArn=f"arn:aws:sns:{REGION}:123456789012:alerts",
        SourceType="db-instance",
        Tags=listed(tags),
    )
    return Made({"name": "main-instances"}, "main-instances")


def table(tags: Tags) -> Made:
    client("dynamodb").create_table(
        TableName="releases",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        Tags=listed(tags),
    )
    return Made({"name": "releases"}, "releases")


def bucket(tags: Tags) -> Made:
    s3 = client("s3")
    s3.create_bucket(Bucket="terraform-1", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_tagging(Bucket="terraform-1", Tagging={"TagSet": listed(tags)})
    return Made({"forceDestroy": True}, "terraform-1")


def secret(tags: Tags) -> Made:
    made = client("secretsmanager").create_secret(Name="switchyard-prod/session-key", Tags=listed(tags))
    return Made({"name": "switchyard-prod/session-key"}, made["ARN"])


def key(tags: Tags) -> Made:
    made = client("kms").create_key(
        Description="logs of switchyard-prod", Tags=listed(tags, "TagKey", "TagValue")
    )
    return Made({"description": "logs of switchyard-prod"}, made["KeyMetadata"]["KeyId"])


def alias(tags: Tags) -> Made:
    target = key(tags).id
    client("kms").create_alias(AliasName="alias/switchyard-prod", TargetKeyId=target)
    return Made({"name": "alias/switchyard-prod", "targetKeyId": target}, "alias/switchyard-prod")


def vault(tags: Tags) -> Made:
    client("backup").create_backup_vault(BackupVaultName="main", BackupVaultTags=dict(tags))
    return Made({"name": "main"}, "main")


def plan(tags: Tags) -> Made:
    vault(tags)
    made = client("backup").create_backup_plan(
        BackupPlan={
            "BackupPlanName": "standard",
            "Rules": [{"RuleName": "standard", "TargetBackupVaultName": "main"}],
        },
        BackupPlanTags=dict(tags),
    )
    return Made({"name": "standard"}, made["BackupPlanId"])


def selection(tags: Tags) -> Made:
    plan_id = plan(tags).id
    made = client("backup").create_backup_selection(
        BackupPlanId=plan_id,
        BackupSelection={
            "SelectionName": "standard",
            "IamRoleArn": "arn:aws:iam::123456789012:role/backup",
            "ListOfTags": [
                {
                    "ConditionType": "STRINGEQUALS",
                    "ConditionKey": "backup-tier",
                    "ConditionValue": "standard",
                }
            ],
        },
    )
    return Made({"planId": plan_id, "name": "standard"}, f"{plan_id}|{made['SelectionId']}")


def cluster(tags: Tags) -> Made:
    client("ecs").create_cluster(clusterName="switchyard-prod", tags=listed(tags, "key", "value"))
    return Made({"name": "switchyard-prod"}, "switchyard-prod")


def service(tags: Tags) -> Made:
    ecs = client("ecs")
    cluster(tags)
    ecs.register_task_definition(
        family="api", containerDefinitions=[{"name": "api", "image": "api", "memory": 128}]
    )
    ecs.create_service(
        cluster="switchyard-prod",
        serviceName="api-blue",
        taskDefinition="api",
        desiredCount=0,
        tags=listed(tags, "key", "value"),
    )
    arn = f"arn:aws:ecs:{REGION}:123456789012:cluster/switchyard-prod"
    return Made({"cluster": arn, "name": "api-blue"}, "switchyard-prod/api-blue")


def repository(tags: Tags) -> Made:
    client("ecr").create_repository(repositoryName="switchyard-prod/api", tags=listed(tags))
    return Made({"name": "switchyard-prod/api"}, "switchyard-prod/api")


def role(tags: Tags) -> Made:
    client("iam").create_role(RoleName="api-task", AssumeRolePolicyDocument=TRUST, Tags=listed(tags))
    return Made({"name": "api-task"}, "api-task")


def log_group(tags: Tags) -> Made:
    for name in ("/switchyard-prod/api", "/switchyard-prod/api-old"):
        client("logs").create_log_group(logGroupName=name, tags=dict(tags))
    return Made({"name": "/switchyard-prod/api"}, "/switchyard-prod/api")


def topic(tags: Tags) -> Made:
    made = client("sns").create_topic(Name="switchyard-prod-alerts", Tags=listed(tags))
    return Made({"name": "switchyard-prod-alerts"}, made["TopicArn"])


def metric_alarm(tags: Tags) -> Made:
    client("cloudwatch").put_metric_alarm(
        AlarmName="switchyard-prod-backup-jobs-failed",
        MetricName="NumberOfBackupJobsFailed",
        Namespace="AWS/Backup",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0,
        Statistic="Sum",
        ComparisonOperator="GreaterThanThreshold",
        Tags=listed(tags),
    )
    name = "switchyard-prod-backup-jobs-failed"
    return Made({"name": name}, name)


def dashboard(_: Tags) -> Made:
    for name in ("switchyard-prod", "switchyard-prod-2"):
        client("cloudwatch").put_dashboard(DashboardName=name, DashboardBody='{"widgets": []}')
    return Made({"dashboardName": "switchyard-prod"}, "switchyard-prod")


MAKERS: Mapping[str, Maker] = {
    token: globals()[finder.__name__] for token, finder in FINDERS.items() if finder.__name__ in globals()
}
# Known by what they belong to or by a name that has the stack's in it.
HELD = {
    "aws:backup/selection:Selection",
    "aws:cloudwatch/dashboard:Dashboard",
    "aws:ec2/route:Route",
    "aws:ec2/routeTableAssociation:RouteTableAssociation",
    "aws:kms/alias:Alias",
    "aws:lb/listener:Listener",
    "aws:lb/listenerRule:ListenerRule",
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
}


@pytest.fixture(autouse=True, scope="module")
def additions() -> None:
    install()


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    # Each reset would make 1,296 images and 1,500 policies anew, for seconds.
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    monkeypatch.setattr(IAMBackend, "_init_aws_policies", lambda _: [])
    with mock_aws():
        yield


def look(token: str, inputs: Mapping[str, Any], *known: str, tags: Tags = TAGS) -> Look:
    pending = PendingCreate(
        urn=f"urn:pulumi:prod::switchyard::{token}::thing",
        type=token,
        inputs=inputs,
        region=REGION,
        tags=tags,
        replaces=False,
    )
    return Look(pending=pending, known=frozenset(known), client=client)


def test_every_type_that_the_program_uses_is_either_found_or_written_again() -> None:
    types = aws_names.RESOURCES.keys() - aws_names.OF_BOOTSTRAP
    assert sorted([*FINDERS, *WRITTEN_AGAIN]) == sorted(types), "a type in neither stops a recovery"
    assert set(SLOW) <= set(FINDERS)
    assert set(IMPORTED_BY_NAME) <= set(FINDERS)


def test_every_finder_is_tried_here() -> None:
    assert set(MAKERS) == set(FINDERS)


@pytest.mark.parametrize("token", FINDERS)
def test_what_was_begun_is_found_as_long_as_it_is_there(token: str) -> None:
    made = MAKERS[token](TAGS)
    assert FINDERS[token](look(token, made.inputs)) == made.id
    moto_api_backend.reset()
    assert FINDERS[token](look(token, made.inputs)) is None, "AWS's word for it is no error here"


@pytest.mark.parametrize("token", sorted(set(FINDERS) - HELD))
def test_what_has_another_stacks_tags_is_not_found(token: str) -> None:
    made = MAKERS[token](OTHERS)
    assert FINDERS[token](look(token, made.inputs)) is None, "adopted, it would be changed, and destroyed"


@pytest.mark.parametrize(
    "token", ["aws:ec2/vpc:Vpc", "aws:kms/key:Key", "aws:s3/bucket:Bucket", "aws:ec2/eip:Eip"]
)
def test_what_the_state_holds_is_another(token: str) -> None:
    made = MAKERS[token](TAGS)
    assert FINDERS[token](look(token, made.inputs, made.id)) is None


def test_two_that_could_be_it_are_for_a_person_to_tell_apart() -> None:
    first, second = key(TAGS), key(TAGS)
    with pytest.raises(Ambiguous, match="thing was being created, and AWS has 2") as told:
        FINDERS["aws:kms/key:Key"](look("aws:kms/key:Key", first.inputs))
    assert first.id in str(told.value)
    assert second.id in str(told.value)


def test_a_dashboard_whose_name_only_begins_alike_is_another() -> None:
    dashboard(TAGS)
    client("cloudwatch").delete_dashboards(DashboardNames=["switchyard-prod"])
    kind = "aws:cloudwatch/dashboard:Dashboard"
    assert FINDERS[kind](look(kind, {"dashboardName": "switchyard-prod"})) is None


def test_a_key_that_waits_for_its_deletion_is_none() -> None:
    made = key(TAGS)
    client("kms").schedule_key_deletion(KeyId=made.id, PendingWindowInDays=7)
    assert FINDERS["aws:kms/key:Key"](look("aws:kms/key:Key", made.inputs)) is None


def test_a_rule_for_another_port_is_not_it() -> None:
    made = egress_rule(TAGS)
    rule = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
    assert FINDERS[rule](look(rule, {**made.inputs, "toPort": 444})) is None


def test_a_bucket_with_a_name_of_its_own_needs_no_tags() -> None:
    client("s3").create_bucket(
        Bucket="edge-logs-1a2b3c4", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    kind = "aws:s3/bucket:Bucket"
    found = FINDERS[kind](look(kind, {"bucket": "edge-logs-1a2b3c4"}))
    assert found == "edge-logs-1a2b3c4", "a bucket is tagged by a second call, which may not have come"


def test_a_stack_without_tags_of_its_own_is_for_a_person() -> None:
    made = vpc({})
    with pytest.raises(Ambiguous, match="no tag project and stack"):
        FINDERS["aws:ec2/vpc:Vpc"](look("aws:ec2/vpc:Vpc", made.inputs, tags={}))


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException", "UnauthorizedOperation"])
@pytest.mark.parametrize("token", ["aws:iam/role:Role", "aws:ec2/vpc:Vpc", "aws:ecs/cluster:Cluster"])
def test_a_lookup_that_fails_is_no_answer(token: str, code: str) -> None:
    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "Describe")

    class Refusing:
        def can_paginate(self, _: str) -> bool:
            return False

        def __getattr__(self, _: str) -> Any:
            return refuse

    asked = look(token, {"name": "x", "cidrBlock": "10.0.0.0/20"})
    refused = Look(pending=asked.pending, known=frozenset(), client=lambda _: Refusing())
    with pytest.raises(ClientError, match=code):
        FINDERS[token](refused)


def test_tags_are_read_in_every_spelling_of_aws() -> None:
    assert (
        {"a": "1"}
        == tags_of({"a": "1"})
        == tags_of([{"Key": "a", "Value": "1"}])
        == tags_of([{"key": "a", "value": "1"}])
        == tags_of([{"TagKey": "a", "TagValue": "1"}])
    )
    assert tags_of(None) == {}

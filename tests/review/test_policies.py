"""Each control, on a resource that keeps it and on one that breaks it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from localcloud.paths import PROJECT
from policies.catalogue import CONTROLS, NOT_JUDGED
from policies.controls import balancing, containers, databases, identity, network, storage
from policies.model import UNKNOWN, Control, Resource, Severity, Stack, given, is_true, items, one_of, value

BY_ID = {control.id: control for control in CONTROLS}

# The controls that the platform is checked for, from AWS Foundational Security Best Practices.
LIST: Mapping[str, Sequence[int]] = {
    "EC2": (2, 6, 10, 15, 16, 18, 19, 21, 55, 56, 57, 58, 60, 172),
    "ELB": (1, 4, 5, 6, 12, 13, 17, 18),
    "ECS": (1, 2, 3, 4, 5, 8, 9, 10, 12, 16),
    "EKS": (1, 2, 3, 8),
    "ECR": (1, 2, 3),
    "RDS": (2, 3, *range(5, 18), *range(19, 26), 27, *range(34, 38), 43, *range(45, 49)),
    "DocumentDB": (1, 2, 4, 5, 6),
    "S3": (1, 2, 3, 5, 6, 8, 9, 12, 13),
    "KMS": (1, 2, 5),
    "Backup": (1,),
    "CloudTrail": (1, 2, 4, 5),
    "GuardDuty": (1, *range(5, 14)),
    "SecretsManager": (1, 4),
    "SNS": (4,),
    "SQS": (1, 3),
    "IAM": (1, 21),
    "Config": (1,),
}
WANTED = {f"{service}.{number}" for service, numbers in LIST.items() for number in numbers}


def made(type_: str, name: str = "it", **properties: Any) -> Resource:
    """A resource. What is itself a resource among the properties is used by it, as in a program."""
    uses: dict[str, list[str]] = {}
    plain: dict[str, Any] = {}
    for key, given_ in properties.items():
        found = given_ if isinstance(given_, list) else [given_]
        used = [other.urn for other in found if isinstance(other, Resource)]
        if used:
            uses[key] = used
            plain[key] = [f"id-of-{urn}" for urn in used] if isinstance(given_, list) else f"id-of-{used[0]}"
        else:
            plain[key] = given_
    return Resource(urn=f"{type_}::{name}", type=type_, name=name, properties=plain, uses=uses)


def document(**statement: Any) -> str:
    return json.dumps({"Statement": [{"Effect": "Allow", **statement}]})


def task(**container: Any) -> Resource:
    kept = {
        "name": "app",
        "user": "10001",
        "readonlyRootFilesystem": True,
        "logConfiguration": {"logDriver": "awslogs"},
    }
    return made(containers.TASK, containerDefinitions=json.dumps([{**kept, **container}]))


VPC = made(network.VPC, "vpc")
IGW = made(databases.INTERNET_GATEWAY, "internet")
BUCKET = made(storage.BUCKET, "bucket")
SECRET = made(identity.SECRET, "secret")
REPOSITORY = made(containers.REPOSITORY, "images")
TLS_ONLY = json.dumps(
    {
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": "*",
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ]
    }
)
DATABASE: Mapping[str, Any] = {
    "engine": "postgres",
    "storageEncrypted": True,
    "multiAz": True,
    "monitoringInterval": 60.0,
    "deletionProtection": True,
    "enabledCloudwatchLogsExports": ["postgresql", "upgrade"],
    "iamDatabaseAuthenticationEnabled": True,
    "backupRetentionPeriod": 7.0,
    "autoMinorVersionUpgrade": True,
    "copyTagsToSnapshot": True,
    "port": 5433.0,
    "username": "owner",
    "publiclyAccessible": False,
}


def database(**changes: Any) -> list[Resource]:
    return [made(databases.INSTANCE, "main", **{**DATABASE, **changes})]


def endpoint(service: str) -> list[Resource]:
    return [VPC, made(network.ENDPOINT, vpcId=VPC, serviceName=f"com.amazonaws.eu-west-1.{service}")]


def ingress(port: int, last: int | None = None, cidr: str = "0.0.0.0/0") -> list[Resource]:
    end = port if last is None else last
    rule = made(
        network.INGRESS_RULE, cidrIpv4=cidr, ipProtocol="tcp", fromPort=float(port), toPort=float(end)
    )
    return [rule]


def acl(*rules: tuple[int, str, int | None]) -> list[Resource]:
    """Rules by number, action and port; None for all ports."""
    written = [
        {
            "ruleNo": float(number),
            "action": action,
            "protocol": "-1" if port is None else "tcp",
            "fromPort": float(port or 0),
            "toPort": float(port or 0),
            "cidrBlock": "0.0.0.0/0",
        }
        for number, action, port in rules
    ]
    return [made(network.DEFAULT_ACL, ingress=written)]


def listener(**properties: Any) -> list[Resource]:
    return [made(balancing.LISTENER, **properties)]


def balancer(**properties: Any) -> list[Resource]:
    kept = {
        "dropInvalidHeaderFields": True,
        "accessLogs": {"enabled": True, "bucket": "logs"},
        "enableDeletionProtection": True,
        "desyncMitigationMode": "defensive",
        "subnets": ["a", "b"],
    }
    return [made(balancing.BALANCER, **{**kept, **properties})]


REDIRECT = [{"type": "redirect", "redirect": {"protocol": "HTTPS"}}]
FORWARD = [{"type": "forward"}]
GOOD_TLS = "ELBSecurityPolicy-TLS13-1-2-2021-06"


def events(source: str, *categories: str) -> list[Resource]:
    return [
        *database(),
        made(databases.SUBSCRIPTION, sourceType=source, eventCategories=list(categories)),
    ]


def beside_the_internet(way_out: Resource) -> list[Resource]:
    subnet = made(databases.SUBNET, "data")
    table = made(databases.ROUTE_TABLE, "routes")
    group = made(databases.SUBNET_GROUP, "group", subnetIds=[subnet])
    return [
        IGW,
        subnet,
        table,
        group,
        way_out,
        made(databases.ASSOCIATION, subnetId=subnet, routeTableId=table),
        made(databases.ROUTE, routeTableId=table, gatewayId=way_out),
        *database(dbSubnetGroupName=group),
    ]


def bucket_policy(**statement: Any) -> list[Resource]:
    return [made(storage.BUCKET_POLICY, bucket=BUCKET, policy=document(**statement))]


def role_policy(type_: str = identity.ROLE_POLICY, **statement: Any) -> list[Resource]:
    return [made(type_, policy=document(**statement))]


BLOCKED: Mapping[str, Any] = dict.fromkeys(storage.BLOCKS, True)
EVERYBODY = {"Principal": {"AWS": "*"}, "Resource": "*"}
MAINTENANCE = ("maintenance", "configuration change", "failure")

# By control: what keeps it, and what breaks it.
CASES: Mapping[str, tuple[Sequence[Resource], Sequence[Resource]]] = {
    "EC2.2": (
        [VPC, made(network.DEFAULT_GROUP, vpcId=VPC, ingress=[], egress=[])],
        [VPC, made(network.DEFAULT_GROUP, vpcId=VPC, ingress=[{"protocol": "-1"}], egress=[])],
    ),
    "EC2.6": ([VPC, made(network.FLOW_LOG, vpcId=VPC, trafficType="ALL")], [VPC]),
    "EC2.10": (endpoint("ec2"), endpoint("ecr.api")),
    "EC2.15": ([made(network.SUBNET)], [made(network.SUBNET, mapPublicIpOnLaunch=True)]),
    "EC2.16": ([made(network.ACL, subnetIds=["a"])], [made(network.ACL, subnetIds=[])]),
    "EC2.18": (ingress(443), ingress(8443)),
    "EC2.19": (ingress(8443), ingress(5000, 6000)),
    "EC2.21": (acl((10, "deny", 22), (20, "deny", 3389), (100, "allow", None)), acl((100, "allow", None))),
    "EC2.55": (endpoint("ecr.api"), endpoint("ecr.dkr")),
    "EC2.56": (endpoint("ecr.dkr"), endpoint("ecr.api")),
    "EC2.57": (endpoint("ssm"), endpoint("ssm-contacts")),
    "EC2.58": (endpoint("ssm-contacts"), endpoint("ssm")),
    "EC2.60": (endpoint("ssm-incidents"), endpoint("ssm")),
    "ELB.1": (
        listener(protocol="HTTP", defaultActions=REDIRECT),
        listener(protocol="HTTP", defaultActions=FORWARD),
    ),
    "ELB.4": (balancer(), balancer(dropInvalidHeaderFields=False)),
    "ELB.5": (balancer(), balancer(accessLogs={"enabled": False})),
    "ELB.6": (balancer(), balancer(enableDeletionProtection=False)),
    "ELB.12": (balancer(), balancer(desyncMitigationMode="monitor")),
    "ELB.13": (balancer(), balancer(subnets=["a"])),
    "ELB.17": (
        listener(protocol="HTTPS", sslPolicy=GOOD_TLS),
        listener(protocol="HTTPS", sslPolicy="ELBSecurityPolicy-2016-08"),
    ),
    "ELB.18": (listener(protocol="HTTPS"), listener(protocol="HTTP", defaultActions=REDIRECT)),
    "ECS.1": (
        [replace(task(user="10001"), properties={**task().properties, "networkMode": "host"})],
        [replace(task(), properties={**task(user="0", privileged=True).properties, "networkMode": "host"})],
    ),
    "ECS.2": (
        [made(containers.SERVICE, networkConfiguration={"assignPublicIp": False})],
        [made(containers.SERVICE, networkConfiguration={"assignPublicIp": True})],
    ),
    "ECS.3": ([made(containers.TASK, pidMode="task")], [made(containers.TASK, pidMode="host")]),
    "ECS.4": ([task()], [task(privileged=True)]),
    "ECS.5": ([task()], [task(readonlyRootFilesystem=False)]),
    "ECS.8": (
        [task(environment=[{"name": "LOG_LEVEL", "value": "info"}])],
        [task(environment=[{"name": "AWS_SECRET_ACCESS_KEY", "value": "planted"}])],
    ),
    "ECS.9": ([task()], [task(logConfiguration=None)]),
    "ECS.10": (
        [made(containers.SERVICE, launchType="FARGATE", platformVersion="LATEST")],
        [made(containers.SERVICE, launchType="FARGATE", platformVersion="1.3.0")],
    ),
    "ECS.12": (
        [made(containers.CLUSTER, settings=[{"name": "containerInsights", "value": "enhanced"}])],
        [made(containers.CLUSTER, settings=[{"name": "containerInsights", "value": "disabled"}])],
    ),
    "ECR.1": (
        [made(containers.REPOSITORY, imageScanningConfiguration={"scanOnPush": True})],
        [made(containers.REPOSITORY)],
    ),
    "ECR.2": (
        [made(containers.REPOSITORY, imageTagMutability="IMMUTABLE")],
        [made(containers.REPOSITORY, imageTagMutability="MUTABLE")],
    ),
    "ECR.3": ([REPOSITORY, made(containers.LIFECYCLE, repository=REPOSITORY, policy="{}")], [REPOSITORY]),
    "RDS.2": (database(), database(publiclyAccessible=True)),
    "RDS.3": (database(), database(storageEncrypted=False)),
    "RDS.5": (database(), database(multiAz=False)),
    "RDS.6": (database(), database(monitoringInterval=0.0)),
    "RDS.8": (database(), database(deletionProtection=False)),
    "RDS.9": (database(), database(enabledCloudwatchLogsExports=["postgresql"])),
    "RDS.10": (database(), database(iamDatabaseAuthenticationEnabled=False)),
    "RDS.11": (database(), database(backupRetentionPeriod=6.0)),
    "RDS.13": (database(), database(autoMinorVersionUpgrade=False)),
    "RDS.17": (database(), database(copyTagsToSnapshot=False)),
    "RDS.20": (events("db-instance", *MAINTENANCE), events("db-instance", "failure")),
    "RDS.21": (events("db-parameter-group", "configuration change"), database()),
    "RDS.22": (
        events("db-security-group", "configuration change", "failure"),
        events("db-instance", *MAINTENANCE),
    ),
    "RDS.23": (database(), database(port=5432.0)),
    "RDS.25": (database(), database(username="postgres")),
    "RDS.36": (database(), database(enabledCloudwatchLogsExports=["upgrade"])),
    "RDS.46": (
        beside_the_internet(made("aws:ec2/natGateway:NatGateway", "nat")),
        beside_the_internet(IGW),
    ),
    "Backup.1": ([made(databases.VAULT, kmsKeyArn="arn")], [made(databases.VAULT)]),
    "S3.2": (
        bucket_policy(Principal={"AWS": "arn:aws:iam::1:root"}, Action="s3:GetObject"),
        bucket_policy(**EVERYBODY, Action="s3:GetObject"),
    ),
    "S3.3": (
        bucket_policy(Principal={"AWS": "arn:aws:iam::1:root"}, Action="s3:PutObject"),
        bucket_policy(**EVERYBODY, Action=["s3:PutObject"]),
    ),
    "S3.5": (
        [BUCKET, made(storage.BUCKET_POLICY, bucket=BUCKET, policy=TLS_ONLY)],
        [BUCKET, *bucket_policy(Principal={"Service": "logs"}, Action="s3:PutObject")],
    ),
    "S3.6": (
        bucket_policy(Principal={"AWS": "arn:aws:iam::1:root"}, Action="s3:GetObject"),
        bucket_policy(Principal={"AWS": "arn:aws:iam::1:root"}, Action="s3:PutBucketPolicy"),
    ),
    "S3.8": (
        [BUCKET, made(storage.PUBLIC_ACCESS, bucket=BUCKET, **BLOCKED)],
        [BUCKET, made(storage.PUBLIC_ACCESS, bucket=BUCKET, **{**BLOCKED, "ignorePublicAcls": False})],
    ),
    "S3.9": ([BUCKET, made(balancing.BALANCER, accessLogs=BUCKET)], [BUCKET]),
    "S3.12": (
        [BUCKET, made(storage.OWNERSHIP, bucket=BUCKET, rule={"objectOwnership": "BucketOwnerEnforced"})],
        [BUCKET, made(storage.OWNERSHIP, bucket=BUCKET, rule={"objectOwnership": "ObjectWriter"})],
    ),
    "S3.13": ([BUCKET, made(storage.LIFECYCLE, bucket=BUCKET, rules=[{"id": "all"}])], [BUCKET]),
    "IAM.1": (role_policy(Action="s3:GetObject", Resource="*"), role_policy(Action="*", Resource="*")),
    "IAM.21": (
        role_policy(Action="s3:Get*", Resource="*"),
        role_policy(Action=["logs:PutLogEvents", "s3:*"], Resource="arn"),
    ),
    "KMS.1": (
        role_policy(identity.POLICY, Action="kms:Decrypt", Resource="arn:aws:kms:r:1:key/abc"),
        role_policy(identity.POLICY, Action="kms:Decrypt", Resource="arn:aws:kms:r:1:key/*"),
    ),
    "KMS.2": (
        role_policy(Action="kms:Decrypt", Resource=["arn:aws:kms:r:1:key/abc"]),
        role_policy(Action=["kms:Decrypt"], Resource="*"),
    ),
    "KMS.5": (
        [made(identity.KEY, policy=document(Principal={"AWS": "arn:aws:iam::1:root"}, Action="kms:*"))],
        [made(identity.KEY, policy=document(**EVERYBODY, Action="kms:Decrypt"))],
    ),
    "SecretsManager.1": ([SECRET, made(identity.ROTATION, secretId=SECRET)], [SECRET]),
    "SecretsManager.4": (
        [SECRET, made(identity.ROTATION, secretId=SECRET, rotationRules={"automaticallyAfterDays": 90.0})],
        [SECRET, made(identity.ROTATION, secretId=SECRET, rotationRules={"automaticallyAfterDays": 91.0})],
    ),
    "SNS.4": (
        [
            made(
                identity.TOPIC_POLICY,
                policy=document(**EVERYBODY, Condition={"StringEquals": {"aws:SourceAccount": "1"}}),
            )
        ],
        [made(identity.TOPIC_POLICY, policy=document(Principal="*", Action="sns:Publish", Resource="*"))],
    ),
}


def test_every_control_of_the_list_is_judged_or_says_why_not() -> None:
    assert set(BY_ID) | set(NOT_JUDGED) == WANTED
    assert not set(BY_ID) & set(NOT_JUDGED), "what is judged needs no excuse"
    assert len(BY_ID) == len(CONTROLS), "two controls have one name"


def test_the_page_on_policy_names_every_control() -> None:
    page = (PROJECT / "docs" / "policy.md").read_text()
    for control in CONTROLS:
        assert f"| [{control.id}]({control.url}) | {control.title} | {control.severity.value} |" in page
    for id_, reason in NOT_JUDGED.items():
        row = next((line for line in page.splitlines() if line.endswith(f"| {reason} |")), "")
        assert id_ in row.replace("|", ",").replace(" ", "").split(","), f"{id_} has no row"


def test_every_control_has_a_case_that_breaks_it() -> None:
    assert set(CASES) == set(BY_ID)


@pytest.mark.parametrize("id_", sorted(CASES))
def test_a_control_finds_what_breaks_it_and_nothing_else(id_: str) -> None:
    control, (kept, broken) = BY_ID[id_], CASES[id_]
    assert control.judge(Stack(kept)) == []
    found = control.judge(Stack(broken))
    assert len(found) == 1, f"{id_} found {found}"
    resource, message = found[0]
    assert resource in broken
    assert message, "a finding says what is wrong"


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.id)
def test_a_control_says_what_holds_how_bad_it_is_and_what_to_do(control: Control) -> None:
    assert control.title
    assert control.remedy
    assert isinstance(control.severity, Severity)
    assert control.url.startswith("https://docs.aws.amazon.com/securityhub/latest/userguide/")


@pytest.mark.parametrize("id_", sorted(id_ for id_ in CASES if BY_ID[id_].check is not None))
def test_nothing_is_concluded_from_what_is_not_known_yet(id_: str) -> None:
    """In a preview of a new stack most values are unknown: the update judges them."""
    control, cases = BY_ID[id_], CASES[id_]
    names = {name for case in cases for resource in case for name in resource.properties}
    for resource in cases[1]:
        unknown = replace(resource, properties=dict.fromkeys(names, UNKNOWN))
        assert control.judge(Stack([unknown])) == []


def test_only_what_is_of_low_severity_may_pass_with_a_word() -> None:
    assert [severity.name for severity in Severity if not severity.mandatory] == ["LOW"]


# --- single rules, where one case does not tell them


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ([(10, "deny", 22), (20, "deny", 3389), (100, "allow", None)], True),
        ([(10, "deny", 22), (100, "allow", None)], False),
        ([(100, "allow", None), (110, "deny", 22), (120, "deny", 3389)], False),
        ([(100, "allow", 443)], True),
        ([(100, "allow", 3389)], False),
    ],
)
def test_the_first_matching_rule_of_a_network_acl_decides(
    rules: Sequence[tuple[int, str, int | None]], kept: bool
) -> None:
    assert (BY_ID["EC2.21"].judge(Stack(acl(*rules))) == []) is kept


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ({"cidrIpv4": "10.0.0.0/8", "ipProtocol": "tcp", "fromPort": 22.0, "toPort": 22.0}, True),
        ({"cidrIpv6": "::/0", "ipProtocol": "tcp", "fromPort": 22.0, "toPort": 22.0}, False),
        ({"cidrIpv4": "0.0.0.0/0", "ipProtocol": "-1"}, False),
        ({"cidrIpv4": "0.0.0.0/0", "ipProtocol": "tcp", "fromPort": 80.0, "toPort": 443.0}, False),
    ],
)
def test_a_port_is_open_to_the_world_by_either_family_and_by_any_range(
    rule: Mapping[str, Any], kept: bool
) -> None:
    group = {**rule, "protocol": rule["ipProtocol"]}
    group["cidrBlocks"] = [rule["cidrIpv4"]] if "cidrIpv4" in rule else []
    group["ipv6CidrBlocks"] = [rule["cidrIpv6"]] if "cidrIpv6" in rule else []
    for resource in (made(network.INGRESS_RULE, **rule), made(network.GROUP, ingress=[group])):
        assert (BY_ID["EC2.18"].judge(Stack([resource])) == []) is kept, resource.type


def test_a_replica_is_not_asked_for_what_its_source_has() -> None:
    replica = database(
        replicateSourceDb="main", storageEncrypted=None, backupRetentionPeriod=0.0, port=None, username=None
    )
    for id_ in ("RDS.3", "RDS.11", "RDS.23", "RDS.25"):
        assert BY_ID[id_].judge(Stack(replica)) == [], id_


def test_a_database_without_a_port_listens_on_the_usual_one() -> None:
    assert len(BY_ID["RDS.23"].judge(Stack(database(port=None)))) == 1


def test_a_vpc_without_its_default_group_has_awss_which_is_open() -> None:
    assert len(BY_ID["EC2.2"].judge(Stack([VPC]))) == 1


def test_one_vpcs_endpoint_is_not_anothers() -> None:
    other = made(network.VPC, "other")
    found = BY_ID["EC2.57"].judge(Stack([*endpoint("ssm"), other]))
    assert [resource.name for resource, _ in found] == ["other"]


def test_a_message_repeats_no_value_of_a_variable() -> None:
    _, broken = CASES["ECS.8"]
    ((_, message),) = BY_ID["ECS.8"].judge(Stack(broken))
    assert "planted" not in message


def test_a_control_needs_exactly_one_check() -> None:
    told: dict[str, Any] = {"id": "X.1", "title": "t", "severity": Severity.LOW, "remedy": "r"}
    with pytest.raises(TypeError, match=r"X\.1 needs exactly one of check and check_stack"):
        Control(**told)
    with pytest.raises(TypeError, match=r"X\.1 needs types"):
        Control(**told, check=lambda _: None)


def test_reading_a_property_tells_a_gap_from_what_is_not_known() -> None:
    properties = {"a": {"b": True, "c": UNKNOWN, "d": ""}, "l": ["x"], "u": UNKNOWN}
    assert value(properties, "a.b") is True
    assert value(properties, "a.c.deeper") is UNKNOWN
    assert value(properties, "a.x.y") is None
    assert is_true(properties, "u")
    assert not is_true(properties, "a.x")
    assert not given(properties, "a.d")
    assert one_of(properties, "u", ["anything"])
    assert not one_of(properties, "a.b", ["other"])
    assert (items(properties, "l"), items(properties, "u"), items(properties, "a.d")) == (["x"], [], [])

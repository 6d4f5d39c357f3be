"""Stack `local`, brought up for real: what is there, and that nothing moves what it should not."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cloud import looks
from tests.cloud.conftest import Begin
from tests.cloud.stack import StackUnderTest

pytestmark = pytest.mark.cloud

SERVICES = ("api", "web")


@pytest.fixture(scope="module")
def stack(begin: Begin) -> Iterator[StackUnderTest]:
    stack = begin("local", "100000000001")
    stack.up()
    yield stack
    said = stack.pulumi("destroy", "--yes", "--skip-preview", "--stack", "local")
    assert said.status == 0, said.text
    assert looks.leftovers(stack) == {}, "destroy must leave nothing that costs money"


def test_the_network_has_three_tiers_in_each_zone(stack: StackUnderTest) -> None:
    (vpc,) = looks.own_vpcs(stack)
    assert vpc["CidrBlock"] == "10.0.0.0/20"
    subnets = stack.aws("ec2").describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])[
        "Subnets"
    ]
    assert sorted((subnet["AvailabilityZone"][-1], subnet["CidrBlock"]) for subnet in subnets) == [
        ("a", "10.0.0.0/23"),
        ("a", "10.0.2.0/24"),
        ("a", "10.0.3.0/25"),
        ("b", "10.0.4.0/23"),
        ("b", "10.0.6.0/24"),
        ("b", "10.0.7.0/25"),
    ]


def test_the_default_security_group_lets_nothing_through(stack: StackUnderTest) -> None:
    (vpc,) = looks.own_vpcs(stack)
    (group,) = stack.aws("ec2").describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}, {"Name": "group-name", "Values": ["default"]}]
    )["SecurityGroups"]
    assert (group["IpPermissions"], group["IpPermissionsEgress"]) == ([], [])


def test_the_default_network_acl_denies_ssh_and_rdp_first(stack: StackUnderTest) -> None:
    (vpc,) = looks.own_vpcs(stack)
    (acl,) = stack.aws("ec2").describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])[
        "NetworkAcls"
    ]
    ingress = sorted((e for e in acl["Entries"] if not e["Egress"]), key=lambda entry: entry["RuleNumber"])
    denied = [entry["PortRange"]["From"] for entry in ingress[:2] if entry["RuleAction"] == "deny"]
    assert sorted(denied) == [22, 3389], "EC2.21"


def test_each_service_has_two_target_groups_and_two_ecs_services(stack: StackUnderTest) -> None:
    outputs = stack.outputs()
    assert sorted(outputs["services"]) == sorted(SERVICES)
    (balancer,) = stack.aws("elbv2").describe_load_balancers()["LoadBalancers"]
    groups = stack.aws("elbv2").describe_target_groups(LoadBalancerArn=balancer["LoadBalancerArn"])
    assert sorted(group["TargetGroupArn"] for group in groups["TargetGroups"]) == sorted(
        arn for name in SERVICES for arn in outputs["services"][name]["target_groups"].values()
    )
    described = stack.aws("ecs").list_services(cluster=outputs["cluster"])["serviceArns"]
    assert sorted(arn.rsplit("/", 1)[-1] for arn in described) == [
        "switchyard-local-api-blue",
        "switchyard-local-api-green",
        "switchyard-local-web-blue",
        "switchyard-local-web-green",
    ]


def test_a_new_stack_sends_production_to_blue_and_the_test_listener_to_green(stack: StackUnderTest) -> None:
    for name in SERVICES:
        rules = stack.outputs()["services"][name]
        assert looks.weights(stack, rules["production_rule"]) == [100, 0]
        assert looks.weights(stack, rules["test_rule"]) == [0, 100]


def test_the_database_is_encrypted_private_and_keeps_its_password_to_itself(stack: StackUnderTest) -> None:
    (database,) = stack.aws("rds").describe_db_instances()["DBInstances"]
    assert database["StorageEncrypted"]
    assert not database["PubliclyAccessible"]
    assert database["MasterUserSecret"]["SecretArn"].startswith("arn:aws:secretsmanager:")
    exported = stack.pulumi("stack", "export", "--stack", "local", check=True).text
    password = stack.aws("secretsmanager").get_secret_value(
        SecretId=database["MasterUserSecret"]["SecretArn"]
    )["SecretString"]
    assert password not in exported, "the state must not hold the password"


def test_the_database_password_reaches_the_container_as_a_secret_only(stack: StackUnderTest) -> None:
    task = stack.aws("ecs").describe_task_definition(taskDefinition="switchyard-local-api-blue")
    (container,) = task["taskDefinition"]["containerDefinitions"]
    names = {secret["name"]: secret["valueFrom"] for secret in container["secrets"]}
    assert sorted(names) == ["DATABASE_PASSWORD", "DATABASE_USERNAME", "SESSION_KEY"]
    assert names["DATABASE_PASSWORD"].endswith(":password::")
    assert sorted(entry["name"] for entry in container["environment"]) == [
        "DATABASE_HOST",
        "DATABASE_NAME",
        "DATABASE_PORT",
        "LOG_LEVEL",
    ]
    assert container["readonlyRootFilesystem"] is True


def test_backups_select_by_tag(stack: StackUnderTest) -> None:
    backup = stack.aws("backup")
    (plan,) = backup.list_backup_plans()["BackupPlansList"]
    (selection,) = backup.list_backup_selections(BackupPlanId=plan["BackupPlanId"])["BackupSelectionsList"]
    conditions = backup.get_backup_selection(
        BackupPlanId=plan["BackupPlanId"], SelectionId=selection["SelectionId"]
    )["BackupSelection"]
    assert "standard" in json.dumps(conditions), "the tier's tag selects"


def test_the_aws_cli_sees_what_boto3_sees(stack: StackUnderTest) -> None:
    said = subprocess.run(
        ["aws", "ecs", "list-clusters", "--output", "json"],
        env=dict(stack.environment),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(said.stdout)["clusterArns"] == stack.aws("ecs").list_clusters()["clusterArns"]


def test_a_second_up_changes_nothing(stack: StackUnderTest) -> None:
    said = stack.up()
    assert set(said.changes) == {"unchanged"}, said.text


def test_a_refresh_finds_nothing_that_differs(stack: StackUnderTest) -> None:
    said = stack.preview("--refresh")
    assert set(said.changes) == {"unchanged"}, said.text


def test_a_drift_in_a_security_group_is_found_by_a_refresh(stack: StackUnderTest) -> None:
    (vpc,) = looks.own_vpcs(stack)
    ec2 = stack.aws("ec2")
    (group,) = ec2.describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}, {"Name": "group-name", "Values": ["default"]}]
    )["SecurityGroups"]
    permission = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[permission])
    said = stack.up("--refresh")
    assert said.changes.get("updated") == 1, "a rule added by hand to the default group must go"
    (group,) = ec2.describe_security_groups(GroupIds=[group["GroupId"]])["SecurityGroups"]
    assert group["IpPermissions"] == []


def release(stack: StackUnderTest, service: str, colour: str, digit: str) -> str:
    """Writes down which image a colour runs, as the release engine does. Returns the image."""
    image = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/{service}@sha256:{digit * 64}"
    name = f"{stack.outputs()['images_path']}/{service}/{colour}"
    stack.aws("ssm").put_parameter(Name=name, Value=image, Type="String", Overwrite=True)
    return image


def set_value(section: str, *path: Any, value: Any) -> Any:
    def edit(settings: dict[str, Any]) -> None:
        place = settings[f"switchyard:{section}"]
        for step in path[:-1]:
            place = place[step]
        if value is None:
            place.pop(path[-1], None)
        else:
            place[path[-1]] = value

    return edit


# Every way to update the rule, its listener, its service or its target group, in this order: each starts
# from what the one before has left.
CHANGES = {
    "the rule's condition": set_value("services", "api", "route", "paths", value=["/api/*", "/v1/*"]),
    "every resource's tags": set_value("tags", "owner", value="somebody"),
    "stickiness on": set_value("services", "api", "stickiness_seconds", value=10),
    "stickiness longer": set_value("services", "api", "stickiness_seconds", value=15),
    "stickiness and priority": lambda settings: (
        set_value("services", "api", "stickiness_seconds", value=12)(settings),
        set_value("services", "api", "route", "priority", value=12)(settings),
    ),
    "stickiness off": set_value("services", "api", "stickiness_seconds", value=None),
    "the rule's priority": set_value("services", "api", "route", "priority", value=10),
    "the task's size": set_value("services", "api", "memory_mib", value=1024),
    "the container's port": set_value("services", "api", "port", value=8081),
    "the health check": set_value("services", "api", "health_check", "path", value="/ready"),
    "the deregistration delay": set_value("services", "api", "deregistration_delay_seconds", value=90),
    "the scaling": set_value("services", "api", "count", "maximum", value=6),
    "the load balancer": set_value("edge", "idle_timeout_seconds", value=90),
}


@pytest.mark.parametrize("refresh", [False, True], ids=["without refresh", "with refresh"])
def test_weights_set_by_hand_survive_every_update(stack: StackUnderTest, refresh: bool) -> None:
    rules = stack.outputs()["services"]["api"]
    flags = ["--refresh"] if refresh else []
    original = json.loads(json.dumps(stack.settings))
    # Autoscaling is there for colours that something was released to.
    for colour in ("blue", "green"):
        release(stack, "api", colour, "b")
    stack.up()
    for share, (what, edit) in enumerate(CHANGES.items(), start=21):
        # Another share each time, so that an old one can't pass for the new one.
        looks.shift(stack, rules["production_rule"], share)
        looks.shift(stack, rules["test_rule"], 100 - share)
        stack.change(edit)
        said = stack.up(*flags)
        assert set(said.changes) != {"unchanged"}, f"{what} was to change something: {said.text}"
        assert looks.weights(stack, rules["production_rule"]) == [share, 100 - share], f"after {what}"
        assert looks.weights(stack, rules["test_rule"]) == [100 - share, share], f"after {what}"
    stack.settings = original
    stack.write()
    stack.up(*flags)
    assert looks.weights(stack, rules["production_rule"]) == [share, 100 - share], "after all of it undone"


def test_stickiness_really_reaches_the_rule(stack: StackUnderTest) -> None:
    rule = stack.outputs()["services"]["api"]["production_rule"]
    stack.change(set_value("services", "api", "stickiness_seconds", value=14))
    stack.up()
    action = stack.aws("elbv2").describe_rules(RuleArns=[rule])["Rules"][0]["Actions"][0]
    sticky = action["ForwardConfig"]["TargetGroupStickinessConfig"]
    assert sticky == {"Enabled": True, "DurationSeconds": 14}, "live weights must not cost the change itself"
    stack.change(set_value("services", "api", "stickiness_seconds", value=None))
    stack.up()


def test_desired_counts_set_by_others_survive_an_update(stack: StackUnderTest) -> None:
    ecs, cluster = stack.aws("ecs"), stack.outputs()["cluster"]
    name = stack.outputs()["services"]["web"]["ecs_services"]["blue"]
    ecs.update_service(cluster=cluster, service=name, desiredCount=3)
    stack.change(set_value("services", "web", "memory_mib", value=1024))
    stack.up()
    described = ecs.describe_services(cluster=cluster, services=[name])["services"][0]
    assert described["desiredCount"] == 3
    # Of the family, not of the service: its image can't be pulled, and the circuit breaker may have acted.
    task = ecs.describe_task_definition(taskDefinition="switchyard-local-web-blue")["taskDefinition"]
    assert task["memory"] == "1024", "ignoring the count must not freeze the rest"


def test_a_released_image_reaches_its_colour_only(stack: StackUnderTest) -> None:
    digest = release(stack, "web", "green", "a")
    stack.up()
    images = {}
    for colour in ("blue", "green"):
        task = stack.aws("ecs").describe_task_definition(taskDefinition=f"switchyard-local-web-{colour}")
        images[colour] = task["taskDefinition"]["containerDefinitions"][0]["image"]
    assert images["green"] == digest
    assert images["blue"] != digest


def test_only_a_colour_with_a_release_is_scaled_and_not_until_the_engine_says_so(
    stack: StackUnderTest,
) -> None:
    targets = stack.aws("application-autoscaling").describe_scalable_targets(ServiceNamespace="ecs")
    scaled = {target["ResourceId"].rsplit("/", 1)[-1]: target for target in targets["ScalableTargets"]}
    assert sorted(scaled) == [
        "switchyard-local-api-blue",
        "switchyard-local-api-green",
        "switchyard-local-web-green",
    ], "AWS starts tasks for a target, and web blue has no image to start"
    assert all(target["SuspendedState"]["DynamicScalingInSuspended"] for target in scaled.values())


def test_a_second_service_is_one_block_of_settings(stack: StackUnderTest) -> None:
    def add(settings: dict[str, Any]) -> None:
        copy = json.loads(json.dumps(settings["switchyard:services"]["web"]))
        copy["image_repository"], copy["route"] = "jobs", {"priority": 15, "paths": ["/jobs/*"]}
        copy["smoke"] = []
        settings["switchyard:services"]["jobs"] = copy

    before = looks.weights(stack, stack.outputs()["services"]["web"]["production_rule"])
    stack.change(add)
    stack.up()
    assert sorted(stack.outputs()["services"]) == ["api", "jobs", "web"]
    assert looks.weights(stack, stack.outputs()["services"]["jobs"]["production_rule"]) == [100, 0]
    assert looks.weights(stack, stack.outputs()["services"]["web"]["production_rule"]) == before

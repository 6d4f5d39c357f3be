"""The status of a stack: counted out of Pulumi's state, told out of AWS, shown to people and programs."""

import io
import json
from typing import Any

import boto3
import pulumi.automation as auto
import pytest
from botocore.exceptions import NoCredentialsError
from moto import mock_aws
from rich.console import Console
from typer.testing import CliRunner

from switchyard import cli, status
from switchyard.errors import StackNotUp, SwitchyardError
from switchyard.status import ColourStatus, StackStatus

STACK = "urn:pulumi:local::switchyard::"
ROOT = f"{STACK}pulumi:pulumi:Stack::switchyard-local"


def resource(type_: str, name: str, parent: str = ROOT, *, custom: bool = True) -> dict[str, Any]:
    return {"urn": f"{STACK}{type_}::{name}", "type": type_, "custom": custom, "parent": parent}


# As `pulumi stack export` writes them down.
NETWORK = resource("switchyard:network:Network", "main", custom=False)
SERVICE = resource("switchyard:service:Service", "api", custom=False)
COLOUR = resource("switchyard:service:Colour", "api-blue", SERVICE["urn"], custom=False)
RECORDED = [
    {"urn": ROOT, "type": "pulumi:pulumi:Stack", "custom": False},
    resource("pulumi:providers:aws", "aws-home"),
    NETWORK,
    resource("aws:ec2/vpc:Vpc", "main", NETWORK["urn"]),
    resource("aws:ec2/subnet:Subnet", "main-public-a", NETWORK["urn"]),
    SERVICE,
    COLOUR,
    resource("aws:ecs/service:Service", "api-blue", COLOUR["urn"]),
    resource("aws:lb/targetGroup:TargetGroup", "api-blue", SERVICE["urn"]),
    resource("aws:s3/bucket:Bucket", "logs"),
]


def colour(production: int, test: int, image: str | None = None) -> ColourStatus:
    return ColourStatus(production_weight=production, test_weight=test, desired=2, running=1, image=image)


FOUND = StackStatus(
    stack="local",
    region="eu-west-1",
    production_url="https://edge-0123456789.eu-west-1.example.com",
    test_url="https://edge-0123456789.eu-west-1.example.com:8443",
    endpoint="http://127.0.0.1:4566",
    resources=5,
    components={"Network main": 2, "Service api": 2},
    services={
        "api": {
            "blue": colour(100, 0, "1.dkr.ecr/api@sha256:0123456789abcdef0123456789abcdef"),
            "green": colour(0, 100),
        }
    },
)


# --- counting


def test_resources_are_counted_under_their_topmost_component() -> None:
    assert status.count_by_component(RECORDED) == {"Bucket logs": 1, "Network main": 2, "Service api": 2}


def test_what_is_pulumis_own_is_not_counted() -> None:
    assert status.count_by_component(RECORDED[:3]) == {}


def test_a_resource_whose_parent_was_removed_stands_for_itself() -> None:
    lost = resource("aws:ec2/vpc:Vpc", "old", f"{STACK}switchyard:network:Network::gone")
    assert status.count_by_component([lost]) == {"Vpc old": 1}


# --- showing


def shown(found: StackStatus) -> str:
    # Narrower than the addresses are long.
    console = Console(file=io.StringIO(), width=80)
    status.render(found, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def cells(text: str, first: str) -> list[list[str]]:
    """The rows of a table from the one that begins with `first`."""
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]
    start = next(number for number, row in enumerate(rows) if row[0] == first)
    return rows[start:]


def test_a_person_sees_colours_weights_and_components() -> None:
    text = shown(FOUND)
    assert text.splitlines()[:3] == [
        "switchyard local: 5 resources in eu-west-1",
        "AWS endpoint http://127.0.0.1:4566 (embedded cloud)",
        "Production https://edge-0123456789.eu-west-1.example.com   test https://edge-0123456789.eu-west-1.example.com:8443",
    ]
    assert cells(text, "api") == [
        ["api", "blue", "100 %", "0 %", "1 of 2", "0123456789abcdef012"],
        ["", "green", "0 %", "100 %", "1 of 2", "not released yet"],
        ["Network", "main", "2"],
        ["Service", "api", "2"],
    ]


def test_the_endpoint_is_told_of_the_embedded_cloud_alone() -> None:
    real = StackStatus(**{**FOUND.__dict__, "endpoint": None})
    assert "AWS endpoint" not in shown(real)


def test_a_program_gets_one_json_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "read", lambda _: FOUND)
    said = CliRunner().invoke(cli.app, ["status", "--json"])
    assert said.exit_code == 0
    assert said.stderr == ""
    document = json.loads(said.stdout)
    assert document == FOUND.as_dict()
    assert document["services"]["api"]["green"] == {
        "production_weight": 0,
        "test_weight": 100,
        "desired": 2,
        "running": 1,
        "image": None,
    }


# --- reading


class Workspace:
    """A workspace whose export is this, or fails like this."""

    def __init__(self, deployment: Any) -> None:
        self.deployment = deployment

    def export_stack(self, _: str) -> auto.Deployment:
        if isinstance(self.deployment, Exception):
            raise self.deployment
        return auto.Deployment(version=3, deployment=self.deployment)


def given(monkeypatch: pytest.MonkeyPatch, deployment: Any) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "embedded", "AWS_SECRET_ACCESS_KEY": "embedded"}
    monkeypatch.setattr(status, "environment_of", lambda _: keys)
    monkeypatch.setattr(status, "workspace", lambda _: Workspace(deployment))


def failed(kind: type[auto.CommandError]) -> auto.CommandError:
    return kind(auto.CommandResult(stdout="", stderr="error: it is so", code=255))


@pytest.mark.parametrize("deployment", [None, {}, {"resources": None}, {"resources": RECORDED}])
def test_a_stack_without_outputs_is_not_up(monkeypatch: pytest.MonkeyPatch, deployment: Any) -> None:
    given(monkeypatch, deployment)
    with pytest.raises(StackNotUp, match=r"^stack local is not up; `make up` or `pulumi up --stack local`"):
        status.read("local")


def test_a_stack_that_was_never_made_is_not_up(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, failed(auto.StackNotFoundError))
    with pytest.raises(StackNotUp, match=r"^there is no stack local yet; bring it up with `make up`$"):
        status.read("local")


def test_what_pulumi_refuses_is_told_in_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, failed(auto.CommandError))
    with pytest.raises(SwitchyardError, match=r"(?s)^Pulumi could not read stack local:.*it is so"):
        status.read("local")


OUTPUTS: dict[str, Any] = {
    "region": "eu-west-1",
    "production_url": "https://p",
    "test_url": "https://t",
    "cluster": "main",
    "images_path": "/switchyard/local/images",
}


def up(services: dict[str, Any]) -> dict[str, Any]:
    root = {**RECORDED[0], "outputs": {**OUTPUTS, "services": services}}
    return {"resources": [root, *RECORDED[1:]]}


def test_what_aws_refuses_is_told_in_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise NoCredentialsError

    given(monkeypatch, up({"api": {}}))
    monkeypatch.setattr(status, "_services", refuse)
    with pytest.raises(
        SwitchyardError, match=r"^AWS does not tell how stack local is: Unable to locate cred"
    ):
        status.read("local")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in {"ACCESS_KEY_ID": "embedded", "SECRET_ACCESS_KEY": "embedded"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with mock_aws():
        yield boto3.Session(region_name="eu-west-1")


def service(aws: Any, *, colours: tuple[str, ...] = ("blue", "green")) -> dict[str, Any]:
    """A service in AWS, with the weights of a release that is half way, and its outputs."""
    ecs, ec2, balancers = aws.client("ecs"), aws.client("ec2"), aws.client("elbv2")
    ecs.create_cluster(clusterName="main")
    container = {"name": "api", "image": "api", "memory": 128}
    ecs.register_task_definition(family="api", containerDefinitions=[container])
    for name in colours:
        ecs.create_service(cluster="main", serviceName=f"api-{name}", taskDefinition="api", desiredCount=2)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"eu-west-1{zone}")
        for n, zone in enumerate("ab")
    ]
    ids = [found["Subnet"]["SubnetId"] for found in subnets]
    balancer = balancers.create_load_balancer(Name="edge", Subnets=ids)["LoadBalancers"][0]["LoadBalancerArn"]
    groups = {
        name: balancers.create_target_group(Name=name, Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"][
            0
        ]["TargetGroupArn"]
        for name in ("blue", "green")
    }
    rules = {}
    for port, weights in ((80, {"blue": 90, "green": 10}), (8080, {"green": 100})):
        targets = [{"TargetGroupArn": groups[name], "Weight": weight} for name, weight in weights.items()]
        action = {"Type": "forward", "ForwardConfig": {"TargetGroups": targets}}
        listener = balancers.create_listener(
            LoadBalancerArn=balancer, Protocol="HTTP", Port=port, DefaultActions=[action]
        )["Listeners"][0]["ListenerArn"]
        rules[port] = balancers.create_rule(
            ListenerArn=listener,
            Priority=1,
            Conditions=[{"Field": "path-pattern", "Values": ["/*"]}],
            Actions=[action],
        )["Rules"][0]["RuleArn"]
    return {
        "production_rule": rules[80],
        "test_rule": rules[8080],
        "target_groups": groups,
        "ecs_services": {"blue": "api-blue", "green": "api-green"},
    }


def test_weights_counts_and_images_are_those_that_aws_has_now(
    monkeypatch: pytest.MonkeyPatch, aws: Any
) -> None:
    given(monkeypatch, up({"api": service(aws)}))
    aws.client("ssm").put_parameter(
        Name="/switchyard/local/images/api/green", Value="api@sha256:1", Type="String"
    )
    found = status.read("local")
    assert found.services == {
        "api": {
            "blue": ColourStatus(production_weight=90, test_weight=0, desired=2, running=0, image=None),
            "green": ColourStatus(
                production_weight=10, test_weight=100, desired=2, running=0, image="api@sha256:1"
            ),
        }
    }
    assert (found.region, found.resources) == ("eu-west-1", 5)


def test_a_colour_that_somebody_removed_is_named(monkeypatch: pytest.MonkeyPatch, aws: Any) -> None:
    given(monkeypatch, up({"api": service(aws, colours=("blue",))}))
    with pytest.raises(SwitchyardError, match=r"^ECS has no api-green, which Pulumi's state holds"):
        status.read("local")

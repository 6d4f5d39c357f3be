"""A program as Terraform JSON: names, blocks, references, options; and all of every stack."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest

from localcloud import aws_names, engine
from review import terraform_schema
from review.terraform_checks import written
from review.terraform_json import render
from review.terraform_program import Address, NotRendered, Reference, declared
from tests.review.terraform_program import images, program, rendered
from tests.unit import stacks

VPC = "aws:ec2/vpc:Vpc"


def one(found: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    body: dict[str, Any] = found["resource"][kind][name]
    return body


# --- what a program declares


def test_a_property_of_another_resource_is_known_as_such() -> None:
    def run() -> None:
        vpc = aws.ec2.Vpc("main", cidr_block="10.0.0.0/16")
        aws.ec2.Subnet("first", vpc_id=vpc.id, cidr_block="10.0.0.0/24")

    subnet = next(r for r in program(run) if r.name == "first")
    token = subnet.inputs["vpcId"]
    assert subnet.references == {token: Reference(of=Address(type=VPC, name="main"), path="id")}
    assert subnet.after == (Address(type=VPC, name="main"),)


def test_a_component_is_no_resource_and_names_those_in_it() -> None:
    class Inner(pulumi.ComponentResource):
        def __init__(self, name: str, parent: pulumi.Resource) -> None:
            super().__init__("switchyard:test:Inner", name, None, pulumi.ResourceOptions(parent=parent))
            aws.ec2.Vpc(f"{name}-vpc", cidr_block="10.0.0.0/16", opts=pulumi.ResourceOptions(parent=self))

    class Outer(pulumi.ComponentResource):
        def __init__(self, name: str) -> None:
            super().__init__("switchyard:test:Outer", name)
            Inner(f"{name}-inner", self)

    (vpc,) = program(lambda: Outer("outer"))
    assert (vpc.name, vpc.parents) == ("outer-inner-vpc", ("outer", "outer-inner"))


def test_a_question_to_aws_that_nobody_answers_stops_with_its_name() -> None:
    with pytest.raises(NotRendered, match=r"aws:index/getCallerIdentity:getCallerIdentity"):
        program(aws.get_caller_identity)
    answers = {"aws:index/getCallerIdentity:getCallerIdentity": {"accountId": "1"}}
    assert program(aws.get_caller_identity, answers) == []


def test_what_a_program_raises_comes_out_as_it_is() -> None:
    def run() -> None:
        raise LookupError("no such zone")

    with pytest.raises(LookupError, match="no such zone"):
        program(run)


# --- as Terraform writes it


def test_a_rule_has_its_blocks_as_lists_its_names_and_its_whole_numbers() -> None:
    def run() -> None:
        group = aws.lb.TargetGroup("api.blue", port=80, protocol="HTTP", vpc_id="vpc-1")
        aws.lb.ListenerRule(
            "api",
            listener_arn="arn:listener",
            priority=10,
            conditions=[{"path_pattern": {"values": ["/api/*"]}}],
            actions=[{"type": "forward", "forward": {"target_groups": [{"arn": group.arn, "weight": 100}]}}],
            opts=pulumi.ResourceOptions(ignore_changes=["actions[*].forward.targetGroups[*].weight"]),
        )

    rule = one(rendered(run), "aws_lb_listener_rule", "api")
    assert rule == {
        "listener_arn": "arn:listener",
        "priority": 10,
        "condition": [{"path_pattern": [{"values": ["/api/*"]}]}],
        "action": [
            {
                "type": "forward",
                "forward": [
                    {"target_group": [{"arn": "${aws_lb_target_group.api-blue.arn}", "weight": 100}]}
                ],
            }
        ],
        "lifecycle": {"ignore_changes": ["action"]},
    }
    assert isinstance(rule["priority"], int), "1.0 is no priority"


def test_a_reference_in_the_middle_of_a_document_stays_one() -> None:
    def run() -> None:
        bucket = aws.s3.Bucket("logs")
        policy = pulumi.Output.json_dumps({"Resource": pulumi.Output.concat(bucket.arn, "/*")})
        aws.s3.BucketPolicy("logs", bucket=bucket.id, policy=policy)

    policy = one(rendered(run), "aws_s3_bucket_policy", "logs")
    assert policy["policy"] == '{"Resource": "${aws_s3_bucket.logs.arn}/*"}'
    assert policy["bucket"] == "${aws_s3_bucket.logs.id}"
    assert "depends_on" not in policy, "Terraform sees what is used by itself"


def test_a_reference_into_a_block_of_outputs_has_its_index_and_terraforms_name() -> None:
    def run() -> None:
        database = aws.rds.Instance("main", instance_class="db.t4g.medium")
        arn = database.master_user_secrets.apply(lambda secrets: secrets[0].secret_arn)
        aws.sns.Topic("alerts", name=arn)

    assert one(rendered(run), "aws_sns_topic", "alerts")["name"] == (
        "${aws_db_instance.main.master_user_secret[0].secret_arn}"
    )


def test_what_looks_like_an_expression_is_text() -> None:
    def run() -> None:
        aws.iam.RolePolicy("own", role="r", policy='{"Resource": "home/${aws:username}/%{x}"}')

    policy = one(rendered(run), "aws_iam_role_policy", "own")["policy"]
    assert policy == '{"Resource": "home/$${aws:username}/%%{x}"}'


def test_what_looks_like_a_token_is_text() -> None:
    body = one(rendered(lambda: aws.sns.Topic("t", name="xref00000000n0x")), "aws_sns_topic", "t")
    assert body["name"] == "xref00000000n0x"


def test_the_keys_of_a_map_are_the_users_own() -> None:
    tags = {"costCentre": "shop", "Name": "x"}
    vpc = one(rendered(lambda: aws.ec2.Vpc("v", cidr_block="10.0.0.0/16", tags=tags)), "aws_vpc", "v")
    assert vpc["tags"] == tags


def test_where_pulumi_uses_another_word_terraform_gets_its_own() -> None:
    def run() -> None:
        topic = aws.sns.Topic("alerts")
        aws.sns.TopicSubscription("mail", topic=topic.arn, protocol="email", endpoint="a@example.com")
        aws.cloudwatch.MetricAlarm(
            "cpu", name="cpu", comparison_operator="GreaterThanThreshold", evaluation_periods=1
        )

    found = rendered(run)
    assert one(found, "aws_sns_topic_subscription", "mail")["topic_arn"] == "${aws_sns_topic.alerts.arn}"
    assert one(found, "aws_cloudwatch_metric_alarm", "cpu")["alarm_name"] == "cpu"


def test_waiting_without_using_is_a_dependency() -> None:
    def run() -> None:
        gateway = aws.ec2.InternetGateway("internet")
        aws.ec2.Eip("nat", domain="vpc", opts=pulumi.ResourceOptions(depends_on=[gateway]))

    assert one(rendered(run), "aws_eip", "nat")["depends_on"] == ["aws_internet_gateway.internet"]


def test_a_protected_resource_is_not_destroyed_by_terraform_either() -> None:
    guarded = pulumi.ResourceOptions(protect=True)
    topic = one(rendered(lambda: aws.sns.Topic("t", opts=guarded)), "aws_sns_topic", "t")
    assert topic["lifecycle"] == {"prevent_destroy": True}


def test_a_name_that_terraform_demands_is_the_logical_one() -> None:
    found = rendered(lambda: (aws.backup.Vault("main"), aws.sns.Topic("alerts")))
    assert one(found, "aws_backup_vault", "main") == {"name": "main"}
    assert one(found, "aws_sns_topic", "alerts") == {}, "Terraform makes this one by itself"


def test_a_secret_is_a_variable_and_stands_nowhere() -> None:
    def run() -> None:
        aws.rds.Instance(
            "main", instance_class="db.t4g.medium", password=pulumi.Output.secret("planted-value")
        )

    found = rendered(run)
    variable = "aws_db_instance_main_password"
    assert one(found, "aws_db_instance", "main")["password"] == f"${{var.{variable}}}"
    assert found["variable"][variable]["sensitive"] is True
    assert "planted-value" not in json.dumps(found)


def test_the_provider_of_the_most_is_the_default_one() -> None:
    def run() -> None:
        home = aws.Provider("home", region="eu-west-1", allowed_account_ids=["1"])
        copy = aws.Provider("copy", region="eu-central-1", default_tags={"tags": {"teamName": "x"}})
        for name, provider in (("a", home), ("b", home), ("c", copy)):
            aws.sns.Topic(name, opts=pulumi.ResourceOptions(provider=provider))

    found = rendered(run)
    home, copy = sorted(found["provider"]["aws"], key=lambda provider: "alias" in provider)
    assert home == {"region": "eu-west-1", "allowed_account_ids": ["1"]} | {
        key: home[key] for key in home if key.startswith("skip_")
    }
    assert (copy["alias"], copy["default_tags"]) == ("copy", [{"tags": {"teamName": "x"}}])
    assert one(found, "aws_sns_topic", "c")["provider"] == "aws.copy"
    assert "provider" not in one(found, "aws_sns_topic", "a")


def test_two_that_would_have_one_name_are_refused() -> None:
    with pytest.raises(NotRendered, match="several have the name a-b in Terraform"):
        rendered(lambda: (aws.sns.Topic("a.b"), aws.sns.Topic("a/b")))


def test_a_type_that_the_table_does_not_hold_is_refused_with_the_way_out() -> None:
    with pytest.raises(NotRendered, match=r"aws:sqs/queue:Queue is not in review/terraform_schema\.json"):
        rendered(lambda: aws.sqs.Queue("q"))


def test_a_property_that_terraform_does_not_have_is_refused() -> None:
    with pytest.raises(NotRendered, match="aws_vpc has nothing that is called like pulumi-aws's region"):
        rendered(lambda: aws.ec2.Vpc("v", cidr_block="10.0.0.0/16", region="eu-west-1"))


# --- the table


def test_the_table_holds_the_types_of_the_program_under_terraforms_names() -> None:
    types = aws_names.RESOURCES.keys() - aws_names.OF_BOOTSTRAP
    expected = {token: f"aws_{aws_names.RESOURCES[token]}" for token in types}
    assert set(terraform_schema.tokens()) - {terraform_schema.PROVIDER_TYPE} == set(expected)
    assert {token: terraform_schema.resource(token).type for token in expected} == expected


def test_the_table_is_made_of_attributes_objects_and_blocks() -> None:
    block = {
        "attributes": {
            "name": {"type": "string", "required": True},
            "tags": {"type": ["map", "string"]},
            "zones": {"type": ["set", "string"]},
            "rules": {"type": ["list", ["object", {"from_port": "number"}]]},
            "nested": {"nested_type": {"nesting_mode": "single", "attributes": {"a": {"type": "bool"}}}},
        },
        "block_types": {
            "setting": {
                "nesting_mode": "set",
                "min_items": 1,
                "block": {"attributes": {"key": {"type": "string"}}},
            },
            "timeouts": {"nesting_mode": "single", "block": {}},
        },
    }
    schema = {"provider_schemas": {terraform_schema.AWS: {"resource_schemas": {"aws_x": {"block": block}}}}}
    made = terraform_schema.derive(schema, {"aws:x/x:X": "aws_x"})
    assert made["resources"]["aws:x/x:X"]["fields"] == {
        "name": "!",
        "nested": ["", {"a": ""}],
        "rules": ["*", {"from_port": ""}],
        "setting": ["*!", {"key": ""}],
        "tags": "",
        "timeouts": ["", {}],
        "zones": "*",
    }


# --- whole stacks


@pytest.mark.parametrize("stack", stacks.STACKS)
def test_all_of_a_stack_is_rendered(stack: str) -> None:
    resources = declared(stacks.stack(stack), images(stack))
    found = render(resources)
    text = written(found)
    ours = [r for r in resources if not r.type.startswith("pulumi:")]
    assert sum(len(bodies) for bodies in found["resource"].values()) == len(ours) > 100
    assert "xref" not in text, "a token was left"
    assert {p["region"] for p in found["provider"]["aws"]} <= {"eu-west-1", "eu-central-1"}


def test_the_same_program_is_rendered_the_same() -> None:
    first, second = (render(declared(stacks.stack("prod"), images("prod"))) for _ in range(2))
    assert written(first) == written(second)


def test_every_reference_of_a_stack_leads_to_a_resource_of_it() -> None:
    found = render(declared(stacks.stack("prod"), images("prod")))
    named = set(re.findall(r"(?<!\$)\$\{(aws_\w+)\.([\w-]+)[.\[]", written(found)))
    assert len(named) > 50
    assert [(kind, name) for kind, name in named if name not in found["resource"].get(kind, {})] == []


PROVIDER = engine.terraform_provider()


@pytest.mark.skipif(
    shutil.which("terraform") is None or PROVIDER is None, reason="needs terraform and its AWS provider"
)
@pytest.mark.parametrize("stack", stacks.STACKS)
def test_terraform_takes_every_stack_as_valid(stack: str, tmp_path: Path) -> None:
    assert PROVIDER is not None
    mirror = PROVIDER.parents[5]
    (tmp_path / "rc").write_text(
        f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n'
    )
    (tmp_path / "main.tf.json").write_text(written(render(declared(stacks.stack(stack), images(stack)))))
    environment = {**os.environ, "TF_CLI_CONFIG_FILE": str(tmp_path / "rc"), "CHECKPOINT_DISABLE": "1"}
    for command in (["init", "-input=false"], ["validate"]):
        done = subprocess.run(
            ["terraform", *command, "-no-color"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

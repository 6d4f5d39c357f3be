import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.provider import names
from tests.unit import stacks

ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
LIFECYCLE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
SUBSCRIPTION = "aws:sns/topicSubscription:TopicSubscription"
DEFAULT_GROUP = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
VPC = "aws:ec2/vpc:Vpc"
URN = "urn:pulumi:local::switchyard::switchyard:network:Network$aws:ec2/vpc:Vpc::main"


# --- types


@pytest.mark.parametrize(
    ("token", "bridge"),
    [
        (VPC, "aws:index/vpc:Vpc"),
        ("aws:lb/loadBalancer:LoadBalancer", "aws:index/lb:Lb"),
        ("aws:lb/targetGroup:TargetGroup", "aws:index/lbTargetGroup:LbTargetGroup"),
        ("aws:rds/instance:Instance", "aws:index/dbInstance:DbInstance"),
        ("pulumi:providers:aws", "pulumi:providers:aws"),
    ],
)
def test_a_type_is_spelled_as_the_bridge_makes_it_of_terraforms(token: str, bridge: str) -> None:
    assert names.bridge_type(token) == bridge


def test_a_function_is_spelled_as_the_bridge_makes_it_of_terraforms() -> None:
    identity = "aws:index/getCallerIdentity:getCallerIdentity"
    assert names.bridge_function(identity) == identity
    rule = names.bridge_function("aws:lb/getListenerRule:getListenerRule")
    assert rule == "aws:index/getLbListenerRule:getLbListenerRule"


@pytest.mark.parametrize("translate", [names.bridge_type, names.bridge_function])
def test_what_the_table_does_not_hold_is_refused_with_the_way_out(translate: object) -> None:
    assert callable(translate)
    with pytest.raises(names.UnknownType) as refused:
        translate("aws:sqs/queue:Queue")
    assert str(refused.value) == (
        "aws:sqs/queue:Queue is not in the AWS stand-in's table of names (localcloud/provider/names.py). "
        "Add its Terraform type there, or install Pulumi's own plugin: "
        f"pulumi plugin install resource aws {names.VERSION}"
    )


def test_no_two_types_are_one_in_the_bridge() -> None:
    assert len(names.RESOURCES) > 50
    assert len(set(names.RESOURCES.values())) == len(names.RESOURCES)
    assert set(names.PROPERTIES) <= set(names.RESOURCES), "a rename of no type would never be used"


@pytest.mark.parametrize("stack", ["local", "staging", "prod"])
def test_every_type_and_function_that_the_program_uses_is_in_the_table(stack: str) -> None:
    deployment = stacks.platform(stack)
    used = {r.type for r in deployment.resources if not r.type.startswith(("switchyard:", "pulumi:"))}
    assert len(used) > 40
    assert used - set(names.RESOURCES) == set()
    assert {token for token, _ in deployment.calls} - set(names.FUNCTIONS) == set()


# --- URNs


def test_only_the_resources_own_type_is_translated_in_a_urn() -> None:
    assert names.urn_type(URN) == VPC
    assert names.bridge_urn(URN) == URN.replace(VPC, "aws:index/vpc:Vpc")
    top = "urn:pulumi:local::switchyard::aws:lb/loadBalancer:LoadBalancer::edge"
    assert names.bridge_urn(top) == "urn:pulumi:local::switchyard::aws:index/lb:Lb::edge"


def test_a_name_may_hold_what_separates_a_urns_parts() -> None:
    urn = "urn:pulumi:s::p::aws:ec2/eip:Eip::a::b$c"
    assert names.urn_type(urn) == "aws:ec2/eip:Eip"
    assert names.bridge_urn(urn) == "urn:pulumi:s::p::aws:index/eip:Eip::a::b$c"


# --- paths


@pytest.mark.parametrize(
    ("token", "ours", "theirs"),
    [
        (ALARM, "name", "alarmName"),
        (ALARM, "namespace", "namespace"),
        (ALARM, "dimensions.name", "dimensions.name"),
        (SUBSCRIPTION, "topic", "topicArn"),
        (DEFAULT_GROUP, "ingress[0].fromPort", "ingresses[0].fromPort"),
        (DEFAULT_GROUP, "egress", "egresses"),
        (LIFECYCLE, "rules[0].filter.prefix", "rules[0].filters[0].prefix"),
        (LIFECYCLE, "rules[1].expiration", "rules[1].expirations[0]"),
        (LIFECYCLE, "rules[1].id", "rules[1].id"),
        (LIFECYCLE, "expiration", "expiration"),
        (VPC, "name", "name"),
    ],
)
def test_a_path_is_translated_where_the_property_is_and_nowhere_else(
    token: str, ours: str, theirs: str
) -> None:
    assert names.bridge_path(token, ours) == theirs
    assert names.own_path(token, theirs) == ours


def test_a_path_to_the_whole_list_of_one_is_the_object() -> None:
    assert names.own_path(LIFECYCLE, "rules[0].filters") == "rules[0].filter"


def test_a_property_that_only_begins_alike_is_left_alone() -> None:
    assert names.own_path(ALARM, "alarmNames") == "alarmNames"
    assert names.bridge_path(SUBSCRIPTION, "topicArn") == "topicArn"


SEGMENTS = st.sampled_from(["tags", "prefix", "id", "days", "tags[0]", 'tags["a.b"]'])


@given(data=st.data())
def test_every_path_of_a_renamed_property_survives_the_way_there_and_back(data: st.DataObject) -> None:
    token = data.draw(st.sampled_from(sorted(names.PROPERTIES)))
    rename = data.draw(st.sampled_from(names.renames(token)))
    rest = data.draw(st.lists(SEGMENTS, max_size=3))
    index = data.draw(st.integers(0, 99))
    holders = [f"{holder}[{index}]" for holder in rename.holders]
    path = ".".join([*holders, rename.ours, *rest])
    there = names.bridge_path(token, path)
    assert there != path
    assert names.own_path(token, there) == path


@given(st.from_regex(r"[a-z]{1,8}(_[a-z0-9]{1,8}){0,4}", fullmatch=True))
def test_camel_case_keeps_every_letter(name: str) -> None:
    spelled = names.camel(name)
    assert "_" not in spelled
    assert spelled.lower() == name.replace("_", "")
    assert spelled[0] == name[0]

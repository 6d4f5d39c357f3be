from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime.proto import provider_pb2
from pulumi.runtime.rpc import UNKNOWN, _special_secret_sig, _special_sig_key

from localcloud.provider import names, properties

ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
LIFECYCLE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
DEFAULT_GROUP = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
VPC = "aws:ec2/vpc:Vpc"


def secret(value: Any) -> dict[str, Any]:
    return {_special_sig_key: _special_secret_sig, "value": value}


def request(values: dict[str, Any]) -> Any:
    asked = provider_pb2.CreateRequest()
    asked.properties.update(values)
    return asked


def there(token: str, values: dict[str, Any]) -> dict[str, Any]:
    asked = request(values)
    properties.to_bridge(asked, "properties", token)
    return json_format.MessageToDict(asked.properties)  # type: ignore[no-any-return]


def back(token: str, values: dict[str, Any]) -> dict[str, Any]:
    asked = request(values)
    properties.from_bridge(asked, "properties", token)
    return json_format.MessageToDict(asked.properties)  # type: ignore[no-any-return]


def test_a_property_is_renamed_both_ways() -> None:
    assert there(ALARM, {"name": "deep", "period": 60}) == {"alarmName": "deep", "period": 60}
    assert back(ALARM, {"alarmName": "deep", "period": 60}) == {"name": "deep", "period": 60}


def test_a_type_without_renames_is_passed_as_it_is() -> None:
    values = {"name": "main", "ingress": [], "alarmName": "x"}
    assert there(VPC, values) == values
    assert back(VPC, values) == values


def test_a_list_under_another_name_stays_the_list() -> None:
    rules = [{"fromPort": 0}, {"fromPort": 1}]
    assert there(DEFAULT_GROUP, {"ingress": rules, "egress": []}) == {"ingresses": rules, "egresses": []}


def test_nested_objects_become_lists_of_one_in_every_entry() -> None:
    ours = {
        "bucket": "logs",
        "rules": [
            {"id": "a", "filter": {"prefix": "x/"}, "expiration": {"days": 7}},
            {"id": "b", "noncurrentVersionExpiration": {"noncurrentDays": 30}},
            {"id": "c"},
        ],
    }
    theirs = {
        "bucket": "logs",
        "rules": [
            {"id": "a", "filters": [{"prefix": "x/"}], "expirations": [{"days": 7}]},
            {"id": "b", "noncurrentVersionExpirations": [{"noncurrentDays": 30}]},
            {"id": "c"},
        ],
    }
    assert there(LIFECYCLE, ours) == theirs
    assert back(LIFECYCLE, theirs) == ours


def test_an_empty_list_of_one_is_null() -> None:
    assert back(LIFECYCLE, {"rules": [{"filters": []}]}) == {"rules": [{"filter": None}]}


@pytest.mark.parametrize("value", [None, UNKNOWN, [{"days": 7}]], ids=["null", "unknown", "a list already"])
def test_a_value_that_is_no_object_is_renamed_and_left_alone(value: Any) -> None:
    assert there(LIFECYCLE, {"rules": [{"expiration": value}]}) == {"rules": [{"expirations": value}]}


@pytest.mark.parametrize("value", [None, UNKNOWN], ids=["null", "unknown"])
def test_an_unknown_or_a_null_comes_back_as_it_is(value: Any) -> None:
    assert back(LIFECYCLE, {"rules": [{"expirations": value}]}) == {"rules": [{"expiration": value}]}
    assert back(LIFECYCLE, {"rules": value}) == {"rules": value}


def test_a_secret_stays_a_secret_under_its_other_name() -> None:
    hidden = secret("deep")
    assert there(ALARM, {"name": hidden}) == {"alarmName": hidden}
    assert back(ALARM, {"alarmName": hidden}) == {"name": hidden}


def test_properties_that_are_not_there_stay_away() -> None:
    asked = provider_pb2.CreateRequest()
    properties.to_bridge(asked, "properties", ALARM)
    properties.from_bridge(asked, "properties", ALARM)
    assert not asked.HasField("properties"), "an empty object is something else than none"


SCALARS = st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=8) | st.just(UNKNOWN)
OBJECTS = st.dictionaries(st.sampled_from(["days", "prefix", "tag"]), SCALARS)
BLOCKS = st.sampled_from([rename.ours for rename in names.renames(LIFECYCLE)])
RULES = st.lists(st.dictionaries(BLOCKS, OBJECTS) | st.just({"id": "plain"}), max_size=3)


@given(rules=RULES)
def test_whatever_goes_there_comes_back_the_same(rules: list[dict[str, Any]]) -> None:
    sent = Struct()
    sent.update({"rules": rules})
    assert back(LIFECYCLE, there(LIFECYCLE, {"rules": rules})) == json_format.MessageToDict(sent)


# --- the provider's own configuration


def test_blocks_of_the_configuration_become_lists_of_one_in_a_copy() -> None:
    asked = provider_pb2.CheckRequest()
    asked.news.update({"region": "eu-west-1", "defaultTags": '{"tags": {"owner": "platform"}}'})
    sent = properties.configuration_to_bridge(asked, "olds", "news")
    assert json_format.MessageToDict(sent.news) == {
        "region": "eu-west-1",
        "defaultTags": [{"tags": {"owner": "platform"}}],
    }
    assert not sent.HasField("olds")
    assert asked.news["defaultTags"] == '{"tags": {"owner": "platform"}}', "the engine's own is not touched"


def test_blocks_of_a_checked_configuration_come_back_as_objects() -> None:
    answer = provider_pb2.CheckResponse()
    answer.inputs.update({"assumeRole": [{"roleArn": "arn"}], "ignoreTags": [], "region": "eu-west-1"})
    properties.configuration_from_bridge(answer)
    assert json_format.MessageToDict(answer.inputs) == {
        "assumeRole": {"roleArn": "arn"},
        "ignoreTags": None,
        "region": "eu-west-1",
    }

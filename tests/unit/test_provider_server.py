"""What the AWS stand-in hands on to its bridges: names translated, errors as they are."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2

from localcloud.provider import names
from tests.unit.bridges import WAIT_SECONDS, Fleet, Served, message, plain

VPC = "urn:pulumi:local::switchyard::aws:ec2/vpc:Vpc::main"
ALARM = "urn:pulumi:local::switchyard::switchyard:a:B$aws:cloudwatch/metricAlarm:MetricAlarm::deep"
BRIDGE_ALARM = ALARM.replace(
    "aws:cloudwatch/metricAlarm:MetricAlarm", "aws:index/cloudwatchMetricAlarm:CloudwatchMetricAlarm"
)
LIFECYCLE = (
    "urn:pulumi:local::switchyard::aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration::logs"
)


@pytest.fixture
def served() -> Iterator[Served]:
    with Served.over(Fleet()) as served:
        yield served


# --- names in every method


def test_check_is_translated(served: Served) -> None:
    def answer(*_: Any) -> Any:
        made = message("CheckResponse", inputs={"alarmName": "deep", "period": 60})
        made.failures.add(property="alarmName", reason="too long")
        return made

    served.fleet.answers["Check"] = answer
    asked = message(
        "CheckRequest", urn=ALARM, type=names.urn_type(ALARM), olds={"name": "o"}, news={"name": "n"}
    )
    got = served.connect().Check(asked, timeout=WAIT_SECONDS)
    sent = served.fleet.one("Check")
    assert (sent.urn, sent.type) == (BRIDGE_ALARM, "aws:index/cloudwatchMetricAlarm:CloudwatchMetricAlarm")
    assert (plain(sent.olds), plain(sent.news)) == ({"alarmName": "o"}, {"alarmName": "n"})
    assert plain(got.inputs) == {"name": "deep", "period": 60}
    assert [failure.property for failure in got.failures] == ["name"], "the user knows the alarm's `name`"


def test_diff_is_translated_and_its_paths_come_back(served: Served) -> None:
    def answer(*_: Any) -> Any:
        made = message("DiffResponse", replaces=["bucket"], diffs=["rules"], hasDetailedDiff=True)
        made.detailedDiff["rules[0].filters[0].prefix"].kind = provider_pb2.PropertyDiff.UPDATE
        made.detailedDiff["bucket"].kind = provider_pb2.PropertyDiff.UPDATE_REPLACE
        return made

    served.fleet.answers["Diff"] = answer
    rules = {"rules": [{"filter": {"prefix": "a"}}]}
    asked = message("DiffRequest", urn=LIFECYCLE, olds=rules, news=rules, old_inputs=rules)
    asked.ignoreChanges.append("rules[1].expiration.days")
    got = served.connect().Diff(asked, timeout=WAIT_SECONDS)
    sent = served.fleet.one("Diff")
    for sent_field in (sent.olds, sent.news, sent.old_inputs):
        assert plain(sent_field) == {"rules": [{"filters": [{"prefix": "a"}]}]}
    assert list(sent.ignoreChanges) == ["rules[1].expirations[0].days"]
    assert (list(got.replaces), list(got.diffs)) == (["bucket"], ["rules"])
    assert {path: diff.kind for path, diff in got.detailedDiff.items()} == {
        "rules[0].filter.prefix": provider_pb2.PropertyDiff.UPDATE,
        "bucket": provider_pb2.PropertyDiff.UPDATE_REPLACE,
    }


def test_replaced_properties_have_their_own_names(served: Served) -> None:
    served.fleet.answers["Diff"] = lambda *_: message(
        "DiffResponse", replaces=["alarmName"], stables=["alarmName"], diffs=["alarmName"]
    )
    got = served.connect().Diff(message("DiffRequest", urn=ALARM), timeout=WAIT_SECONDS)
    assert (list(got.replaces), list(got.stables), list(got.diffs)) == (["name"], ["name"], ["name"])


@pytest.mark.parametrize(
    ("method", "request_kind", "answer_kind", "sent_fields", "got_fields"),
    [
        ("Create", "CreateRequest", "CreateResponse", ["properties"], ["properties"]),
        ("Read", "ReadRequest", "ReadResponse", ["properties", "inputs"], ["properties", "inputs"]),
        ("Update", "UpdateRequest", "UpdateResponse", ["olds", "news", "old_inputs"], ["properties"]),
        ("Delete", "DeleteRequest", None, ["properties", "old_inputs"], []),
    ],
)
def test_the_operations_are_translated(
    served: Served,
    method: str,
    request_kind: str,
    answer_kind: str | None,
    sent_fields: list[str],
    got_fields: list[str],
) -> None:
    if answer_kind:
        answer = message(answer_kind, **{name: {"alarmName": "deep"} for name in got_fields})
        served.fleet.answers[method] = lambda *_: answer
    asked = message(request_kind, urn=ALARM, **{name: {"name": name} for name in sent_fields})
    got = getattr(served.connect(), method)(asked, timeout=WAIT_SECONDS)
    sent = served.fleet.one(method)
    assert (sent.urn, sent.type) == (BRIDGE_ALARM, "aws:index/cloudwatchMetricAlarm:CloudwatchMetricAlarm")
    assert {name: plain(getattr(sent, name)) for name in sent_fields} == {
        name: {"alarmName": name} for name in sent_fields
    }
    assert [plain(getattr(got, name)) for name in got_fields] == [{"name": "deep"}] * len(got_fields)


def test_an_invoke_is_translated(served: Served) -> None:
    token = "aws:ssm/getParametersByPath:getParametersByPath"  # noqa: S105 - a function's name
    answer = provider_pb2.InvokeResponse()
    getattr(answer, "return").update({"names": ["/a"]})
    served.fleet.answers["Invoke"] = lambda *_: answer
    got = served.connect().Invoke(
        message("InvokeRequest", tok=token, args={"path": "/"}), timeout=WAIT_SECONDS
    )
    assert served.fleet.one("Invoke").tok == "aws:index/getSsmParametersByPath:getSsmParametersByPath"
    assert plain(getattr(got, "return")) == {"names": ["/a"]}


# --- errors


def test_a_providers_error_passes_with_its_details(served: Served) -> None:
    details = b"\x08\x02\x12\x04init"

    def fails(_: Any, context: Any) -> None:
        context.set_trailing_metadata([("grpc-status-details-bin", details), ("other", "x")])
        context.abort(grpc.StatusCode.UNKNOWN, "creating EC2 VPC: VpcLimitExceeded")

    served.fleet.answers["Create"] = fails
    with pytest.raises(grpc.RpcError) as refused:
        served.connect().Create(message("CreateRequest", urn=VPC), timeout=WAIT_SECONDS)
    assert refused.value.code() == grpc.StatusCode.UNKNOWN
    assert refused.value.details() == "creating EC2 VPC: VpcLimitExceeded"
    passed = dict(refused.value.trailing_metadata())
    assert passed == {"grpc-status-details-bin": details}, "it holds the half-made resource's state"


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("Check", message("CheckRequest", urn="urn:pulumi:s::p::aws:sqs/queue:Queue::q")),
        ("Delete", message("DeleteRequest", urn="urn:pulumi:s::p::aws:sqs/queue:Queue::q")),
        ("Invoke", message("InvokeRequest", tok="aws:sqs/queue:Queue")),
    ],
)
def test_an_unknown_type_is_one_clear_message(served: Served, method: str, request_: Any) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        getattr(served.connect(), method)(request_, timeout=WAIT_SECONDS)
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert refused.value.details() == str(names.UnknownType("aws:sqs/queue:Queue"))
    assert served.fleet.asked(method) == []

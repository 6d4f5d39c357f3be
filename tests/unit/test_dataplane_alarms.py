"""Alarms: which state follows from which values, and alarms of moto by data of moto."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from localcloud.dataplane.alarms import Rule, evaluate_all, judge
from localcloud.dataplane.metrics import Point, publish

PLACE = ("123456789012", "eu-west-1")
END = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def state(values: Sequence[float | None], missing: str = "notBreaching", **changes: Any) -> str | None:
    settings: dict[str, Any] = {
        "comparison": "GreaterThanThreshold",
        "threshold": 10.0,
        "periods": 3,
        "needed": 3,
        "missing": missing,
    }
    found = judge(values, Rule(**(settings | changes)))
    return found.value if found else None


def test_an_alarm_fires_when_all_of_its_last_periods_are_beyond() -> None:
    assert state([11, 11, 11]) == "ALARM"
    assert state([11, 10, 11]) == "OK", "at the threshold is not above it"
    assert state([99, 99, 1, 11, 11]) == "OK", "only the last three count"


def test_m_of_n_fires_with_m() -> None:
    assert state([11, 1, 11], needed=2) == "ALARM"
    assert state([1, 1, 11], needed=2) == "OK"


def test_the_comparison_is_the_alarms_own() -> None:
    assert state([9, 9, 9], comparison="LessThanThreshold") == "ALARM"
    assert state([10, 10, 10], comparison="LessThanThreshold") == "OK"
    assert state([10, 10, 10], comparison="LessThanOrEqualToThreshold") == "ALARM"
    assert state([10, 10, 10], comparison="GreaterThanOrEqualToThreshold") == "ALARM"


# The table "How CloudWatch evaluates alarms when data is missing", 3 of 3: values, then the state by how
# missing data is treated; None keeps what there is. The last row is its text on premature transitions.
X, Z, N = 11.0, 0.0, None


@pytest.mark.parametrize(
    ("values", "missing", "ignore", "breaching", "not_breaching"),
    [
        ([Z, N, X, N, X], "OK", "OK", "OK", "OK"),
        ([N, N, N, N, Z], "OK", "OK", "OK", "OK"),
        ([N, N, N, N, N], "INSUFFICIENT_DATA", None, "ALARM", "OK"),
        ([Z, X, X, N, X], "ALARM", "ALARM", "ALARM", "ALARM"),
        ([N, N, X, N, N], "ALARM", None, "ALARM", "OK"),
        ([N, N, N, X, X], None, None, "ALARM", "OK"),
    ],
)
def test_missing_data_counts_as_the_alarm_says(
    values: list[float | None], missing: str | None, ignore: str | None, breaching: str, not_breaching: str
) -> None:
    assert state(values, "missing") == missing
    assert state(values, "ignore") == ignore
    assert state(values, "breaching") == breaching
    assert state(values, "notBreaching") == not_breaching


def test_a_reason_has_the_figures() -> None:
    rule = Rule(comparison="GreaterThanThreshold", threshold=5.0, periods=2, needed=2, missing="notBreaching")
    found = judge([7.5, 9.0], rule)
    assert found is not None
    assert found.reason == (
        "Threshold Crossed: 2 of the last 2 datapoints [7.5, 9] were greater than the threshold (5) "
        "(minimum 2 datapoints for OK -> ALARM transition)."
    )


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        with mock_aws():
            yield boto3.client("cloudwatch", region_name="eu-west-1")


def put(name: str, counts: dict[float, int], *, seconds_before: float, group: str = "g") -> None:
    point = Point(
        namespace="AWS/ApplicationELB",
        name=name,
        dimensions=(("LoadBalancer", "app/edge/1"), ("TargetGroup", group)),
        unit="Count",
        counts=counts,
    )
    publish({PLACE: [point]}, END - timedelta(seconds=seconds_before))


def dimensions(group: str) -> list[dict[str, str]]:
    return [{"Name": "TargetGroup", "Value": group}, {"Name": "LoadBalancer", "Value": "app/edge/1"}]


def alarm(client: Any, name: str, **settings: Any) -> None:
    usual = {
        "AlarmName": name,
        "EvaluationPeriods": 2,
        "Threshold": 5.0,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    }
    client.put_metric_alarm(**(usual | settings))


def error_rate(client: Any, name: str, group: str) -> None:
    """The alarm on the error rate as the platform makes it."""

    def metric(key: str, metric_name: str) -> dict[str, Any]:
        found = {
            "Namespace": "AWS/ApplicationELB",
            "MetricName": metric_name,
            "Dimensions": dimensions(group),
        }
        return {"Id": key, "MetricStat": {"Metric": found, "Period": 60, "Stat": "Sum"}, "ReturnData": False}

    result = {
        "Id": "result",
        "Expression": "IF(requests > 0, 100 * FILL(errors, 0) / requests, 0)",
        "ReturnData": True,
    }
    alarm(
        client,
        name,
        Metrics=[metric("errors", "HTTPCode_Target_5XX_Count"), metric("requests", "RequestCount"), result],
    )


def states(client: Any, *names: str) -> list[str]:
    found = client.describe_alarms(AlarmNames=list(names))["MetricAlarms"]
    by_name = {each["AlarmName"]: each["StateValue"] for each in found}
    return [by_name[name] for name in names]


def test_the_error_rate_alarm_fires_by_share_and_not_by_count(client: Any) -> None:
    for before in (60, 120):
        put("RequestCount", {1000.0: 1}, seconds_before=before, group="many")
        put("HTTPCode_Target_5XX_Count", {40.0: 1}, seconds_before=before, group="many")
        put("RequestCount", {100.0: 1}, seconds_before=before, group="few")
        put("HTTPCode_Target_5XX_Count", {10.0: 1}, seconds_before=before, group="few")
        put("RequestCount", {100.0: 1}, seconds_before=before, group="none")
    for group in ("many", "few", "none", "silent"):
        error_rate(client, f"rate-{group}", group)
    evaluate_all(END, 1)
    assert states(client, "rate-many", "rate-few", "rate-none", "rate-silent") == ["OK", "ALARM", "OK", "OK"]


def test_a_percentile_alarm_looks_at_all_requests_of_the_period(client: Any) -> None:
    for before in (60, 120):
        put("TargetResponseTime", {0.1: 98, 8.0: 2}, seconds_before=before, group="slow")
        put("TargetResponseTime", {0.1: 999, 8.0: 1}, seconds_before=before, group="quick")
    for group in ("slow", "quick"):
        alarm(
            client,
            f"p99-{group}",
            Namespace="AWS/ApplicationELB",
            MetricName="TargetResponseTime",
            Dimensions=dimensions(group),
            ExtendedStatistic="p99",
            Period=60,
        )
    evaluate_all(END, 1)
    assert states(client, "p99-slow", "p99-quick") == ["ALARM", "OK"]


def unhealthy(client: Any, name: str, group: str, **settings: Any) -> None:
    alarm(
        client,
        name,
        Namespace="AWS/ApplicationELB",
        MetricName="UnHealthyHostCount",
        Dimensions=dimensions(group),
        Statistic="Maximum",
        Period=60,
        Threshold=0,
        **settings,
    )


def test_a_fast_schedule_shortens_the_periods(client: Any) -> None:
    for before in (3, 6):
        put("UnHealthyHostCount", {1.0: 1}, seconds_before=before, group="fast")
    unhealthy(client, "fast", "fast")
    evaluate_all(END, 1)
    assert states(client, "fast") == ["OK"], "at the pace of AWS that is one period alone"
    evaluate_all(END, 20)
    assert states(client, "fast") == ["ALARM"]


def test_a_fast_schedule_does_not_make_a_sum_smaller(client: Any) -> None:
    """400 requests in 3 seconds are a rate of 8,000 per minute, which the threshold is meant for."""
    for before in (3, 6):
        put("RequestCount", {400.0: 1}, seconds_before=before, group="rate")
    for name, threshold in (("below", 7999.0), ("above", 8001.0)):
        alarm(
            client,
            name,
            Namespace="AWS/ApplicationELB",
            MetricName="RequestCount",
            Dimensions=dimensions("rate"),
            Statistic="Sum",
            Period=60,
            Threshold=threshold,
        )
    evaluate_all(END, 20)
    assert states(client, "below", "above") == ["ALARM", "OK"]


def test_an_alarm_that_is_over_goes_back_and_keeps_its_history(client: Any) -> None:
    put("UnHealthyHostCount", {1.0: 1}, seconds_before=60, group="back")
    put("UnHealthyHostCount", {1.0: 1}, seconds_before=120, group="back")
    unhealthy(client, "back", "back")
    evaluate_all(END, 1)
    assert states(client, "back") == ["ALARM"]
    since = client.describe_alarms(AlarmNames=["back"])["MetricAlarms"][0]["StateUpdatedTimestamp"]
    evaluate_all(END, 1)
    again = client.describe_alarms(AlarmNames=["back"])["MetricAlarms"][0]
    assert again["StateUpdatedTimestamp"] == since, "nothing has changed, so nothing was updated"
    point = {"seconds_before": -60.0, "group": "back"}
    put("UnHealthyHostCount", {0.0: 1}, **point)  # type: ignore[arg-type]
    evaluate_all(END + timedelta(seconds=120), 1)
    assert states(client, "back") == ["OK"]


def test_an_alarm_that_can_not_be_evaluated_says_why_and_stops_no_other(client: Any) -> None:
    metric = {"Namespace": "AWS/ApplicationELB", "MetricName": "RequestCount", "Dimensions": dimensions("x")}
    stat = {"Id": "m", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}, "ReturnData": False}
    odd = {"Id": "odd", "Expression": "ANOMALY_DETECTION_BAND(m)", "ReturnData": True}
    put("RequestCount", {1.0: 1}, seconds_before=60, group="x")
    alarm(client, "a-odd", Metrics=[stat, odd])
    put("UnHealthyHostCount", {1.0: 1}, seconds_before=60, group="after")
    put("UnHealthyHostCount", {1.0: 1}, seconds_before=120, group="after")
    unhealthy(client, "b-after", "after")
    evaluate_all(END, 1)
    assert states(client, "a-odd", "b-after") == ["INSUFFICIENT_DATA", "ALARM"]
    reason = client.describe_alarms(AlarmNames=["a-odd"])["MetricAlarms"][0]["StateReason"]
    assert "ANOMALY_DETECTION_BAND" in reason

import pulumi
import pytest

from components.watch import Metric, Rhythm, Watch, alarm
from tests.unit.harness import Registered, deploy

ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"


class Owner(pulumi.ComponentResource):
    def __init__(self, watch: Watch) -> None:
        super().__init__("switchyard:test:Owner", "owner")
        rhythm = Rhythm(period_seconds=60, evaluation_periods=2, topic_arn="arn:topic")
        alarm("queue", "test-queue", watch, rhythm, self)


def made(
    statistic: str = "Average", *, expression: str | None = None, fires_below: bool = False
) -> Registered:
    metric = Metric(namespace="AWS/SQS", name="Age", statistic=statistic, dimensions={"QueueName": "q"})
    watch = Watch(
        name="age",
        description="Old messages. Look first at the worker.",
        metrics={"age": metric},
        expression=expression,
        threshold=0.5,
        fires_below=fires_below,
        missing_data="breaching",
    )
    return deploy(lambda: Owner(watch)).one(ALARM)


COMMON = {
    "name": "test-queue-age",
    "alarmDescription": "Old messages. Look first at the worker.",
    "comparisonOperator": "GreaterThanThreshold",
    "threshold": 0.5,
    "evaluationPeriods": 2,
    "treatMissingData": "breaching",
    "alarmActions": ["arn:topic"],
    "okActions": ["arn:topic"],
}


def test_one_metric_is_watched_as_it_is_and_told_when_bad_and_when_over() -> None:
    found = made()
    assert found.inputs == {
        **COMMON,
        "namespace": "AWS/SQS",
        "metricName": "Age",
        "dimensions": {"QueueName": "q"},
        "period": 60,
        "statistic": "Average",
    }, "CloudWatch refuses an alarm with a metric and a query at once"
    assert (found.name, found.parent) == ("queue-age", "owner")


@pytest.mark.parametrize("percentile", ["p99", "p99.9", "p50"])
def test_a_percentile_is_an_extended_statistic(percentile: str) -> None:
    inputs = made(percentile).inputs
    assert "statistic" not in inputs
    assert inputs["extendedStatistic"] == percentile


def test_an_expression_is_the_only_query_that_returns_data() -> None:
    assert made(expression="age / 60").inputs == {
        **COMMON,
        "metricQueries": [
            {
                "id": "age",
                "metric": {
                    "namespace": "AWS/SQS",
                    "metricName": "Age",
                    "dimensions": {"QueueName": "q"},
                    "stat": "Average",
                    "period": 60,
                },
                "returnData": False,
            },
            {"id": "result", "expression": "age / 60", "label": "age", "returnData": True},
        ],
    }, "an alarm watches exactly one series"


def test_an_alarm_can_watch_for_too_little() -> None:
    assert made(fires_below=True).inputs["comparisonOperator"] == "LessThanThreshold"

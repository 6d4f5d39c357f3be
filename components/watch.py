"""One CloudWatch alarm, said in one piece.

Creates, for a `Watch`, the alarm that tells a topic when it fires and when it is over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pulumi
from pulumi_aws import cloudwatch


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric of an AWS service; `statistic` is `Average`, `Sum`, ... or a percentile such as `p99`."""

    namespace: str
    name: str
    statistic: str
    dimensions: Mapping[str, pulumi.Input[str]]


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What an alarm looks at, and when it is bad.

    name: last part of the alarm's name.
    description: what it means and what to look at first, for whoever is woken up.
    metrics: metrics by id; exactly one without an expression.
    expression: metric math over the ids. Default: the one metric as it is.
    threshold: in the metric's unit; the alarm fires above it.
    fires_below: the alarm fires below the threshold instead.
    missing_data: what a data point that isn't there counts as.
    """

    name: str
    description: str
    metrics: Mapping[str, Metric]
    expression: str | None = None
    threshold: float
    fires_below: bool = False
    missing_data: Literal["breaching", "notBreaching"]


@dataclass(frozen=True, kw_only=True)
class Rhythm:
    """How often a watch looks, how many looks in a row it takes to fire, and who is told."""

    period_seconds: int
    evaluation_periods: int
    topic_arn: pulumi.Input[str]


def alarm(
    name: str, physical_prefix: str, watch: Watch, rhythm: Rhythm, parent: pulumi.Resource
) -> cloudwatch.MetricAlarm:
    """Creates the alarm `<name>-<watch>` under `parent`; in AWS it is `<physical prefix>-<watch>`."""
    single = None if watch.expression else next(iter(watch.metrics.values()))
    percentile = single is not None and single.statistic.startswith("p")
    return cloudwatch.MetricAlarm(
        f"{name}-{watch.name}",
        name=f"{physical_prefix}-{watch.name}",
        alarm_description=watch.description,
        comparison_operator="LessThanThreshold" if watch.fires_below else "GreaterThanThreshold",
        threshold=watch.threshold,
        evaluation_periods=rhythm.evaluation_periods,
        treat_missing_data=watch.missing_data,
        alarm_actions=[rhythm.topic_arn],
        ok_actions=[rhythm.topic_arn],
        namespace=single.namespace if single else None,
        metric_name=single.name if single else None,
        dimensions=single.dimensions if single else None,
        period=rhythm.period_seconds if single else None,
        statistic=single.statistic if single and not percentile else None,
        extended_statistic=single.statistic if single and percentile else None,
        metric_queries=None if single else _queries(watch, rhythm.period_seconds),
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _queries(watch: Watch, period_seconds: int) -> list[cloudwatch.MetricAlarmMetricQueryArgsDict]:
    result: cloudwatch.MetricAlarmMetricQueryArgsDict = {
        "id": "result",
        "expression": watch.expression,
        "label": watch.name,
        "return_data": True,
    }
    inputs: list[cloudwatch.MetricAlarmMetricQueryArgsDict] = [
        {
            "id": key,
            "metric": {
                "namespace": metric.namespace,
                "metric_name": metric.name,
                "dimensions": metric.dimensions,
                "stat": metric.statistic,
                "period": period_seconds,
            },
            "return_data": False,
        }
        for key, metric in watch.metrics.items()
    ]
    return [*inputs, result]

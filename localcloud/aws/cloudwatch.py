"""CloudWatch: percentiles, metric math, and windows that are aligned as the real ones are."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from moto.cloudwatch.exceptions import InvalidParameterValue
from moto.cloudwatch.models import (
    CloudWatchBackend,
    MetricAggregatedDatum,
    MetricDatum,
    MetricDatumBase,
    Statistics,
)
from moto.cloudwatch.responses import CloudWatchResponse

from localcloud.dataplane.expressions import evaluate

Json = dict[str, Any]
# Moto's own times are UTC without saying so.
EPOCH = datetime(1970, 1, 1)


class Distribution(MetricAggregatedDatum):
    """Many values of one period as counts by value, so that percentiles can be told."""

    def __init__(
        self,
        namespace: str,
        name: str,
        counts: Mapping[float, int],
        dimensions: list[dict[str, str]],
        timestamp: datetime,
        unit: str,
    ) -> None:
        """`counts` holds how often each value was seen; it is not empty."""
        super().__init__(
            namespace,
            name,
            min_stat=min(counts),
            max_stat=max(counts),
            sample_count=sum(counts.values()),
            sum_stat=sum(value * count for value, count in counts.items()),
            dimensions=dimensions,
            timestamp=timestamp,
            unit=unit,
        )
        self.counts = dict(counts)


@dataclass(frozen=True, kw_only=True)
class Series:
    """What identifies a metric."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]


def series_of(datum: MetricDatumBase) -> Series:
    """The series that a data point belongs to."""
    dimensions = frozenset((str(found.name), str(found.value)) for found in datum.dimensions)
    return Series(namespace=datum.namespace, name=datum.name, dimensions=dimensions)


def statistic(data: Sequence[MetricDatumBase], stat: str) -> float | None:
    """`Sum`, `Average`, `Minimum`, `Maximum`, `SampleCount` or `p99` and its like; None without data.

    Raises ValueError for any other name.
    """
    if not data:
        return None
    if stat[0] == "p":
        return percentile(data, float(stat[1:]))
    found = Statistics([stat], EPOCH)
    found.metric_data = list(data)
    if stat not in ("Sum", "Average", "Minimum", "Maximum", "SampleCount"):
        raise ValueError(
            f"no statistic {stat!r}; there are Sum, Average, Minimum, Maximum, SampleCount and p0 to p100"
        )
    value = found.get_statistics_for_type(stat)
    return None if value is None else float(value)


def percentile(data: Iterable[MetricDatumBase], percent: float) -> float | None:
    """The nearest rank. A statistic set that hides its values counts only if they are all the same."""
    counts: dict[float, float] = {}
    for datum in data:
        if isinstance(datum, MetricDatum):
            counts[datum.value] = counts.get(datum.value, 0) + 1
        elif isinstance(datum, Distribution):
            for value, count in datum.counts.items():
                counts[value] = counts.get(value, 0) + count
        elif isinstance(datum, MetricAggregatedDatum) and datum.min == datum.max:
            counts[datum.min] = counts.get(datum.min, 0) + datum.sample_count
    rank = math.ceil(percent / 100 * sum(counts.values()))
    seen = 0.0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= rank:
            return value
    return None


def naive(moment: datetime) -> datetime:
    """UTC as moto keeps it, without saying so."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def windows(
    data: Iterable[MetricDatumBase], start: datetime, end: datetime, period: float
) -> dict[datetime, list[MetricDatumBase]]:
    """The data points by the beginning of their period, aligned to whole periods as in CloudWatch."""
    found: dict[datetime, list[MetricDatumBase]] = {}
    first = _aligned(naive(start), period)
    for datum in data:
        moment = naive(datum.timestamp)
        if first <= moment < naive(end):
            found.setdefault(_aligned(moment, period), []).append(datum)
    return dict(sorted(found.items()))


def _aligned(moment: datetime, period: float) -> datetime:
    seconds = (moment - EPOCH).total_seconds()
    return EPOCH + timedelta(seconds=math.floor(seconds / period + 1e-6) * period)


@cache
def add() -> None:
    """Adds it all to moto, once however often it is called."""
    for method in (with_metric_math(CloudWatchBackend.get_metric_data), get_metric_statistics):
        setattr(CloudWatchBackend, method.__name__, method)
    answer = with_percentiles(CloudWatchResponse.get_metric_statistics)
    setattr(CloudWatchResponse, answer.__name__, answer)


def get_metric_statistics(
    self: Any,
    namespace: str,
    metric_name: str,
    start_time: datetime,
    end_time: datetime,
    period: int,
    stats: list[str],
    dimensions: list[dict[str, str]],
    unit: str | None = None,
) -> list[Statistics]:
    """CloudWatchBackend.get_metric_statistics; moto's periods begin at the first data point."""
    if start_time >= end_time:
        raise InvalidParameterValue("The parameter StartTime must be less than the parameter EndTime.")
    wanted = frozenset((dimension["Name"], dimension["Value"]) for dimension in dimensions or [])
    series = Series(namespace=namespace, name=metric_name, dimensions=wanted)
    data = [
        datum for datum in self.get_all_metrics() if series_of(datum) == series and unit in (None, datum.unit)
    ]
    found = []
    for moment, inside in windows(data, start_time, end_time, period).items():
        answer = Statistics(stats, moment, unit=inside[-1].unit)
        answer.metric_data = inside
        found.append(answer)
    return found


def with_percentiles(respond: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """GetMetricStatistics with ExtendedStatistics, which moto leaves out."""

    def get_metric_statistics(self: Any) -> Any:
        answer = respond(self)
        wanted = self._get_param("ExtendedStatistics") or []
        for datapoint in answer._result["Datapoints"]:
            found = {stat: percentile(datapoint.metric_data, float(stat[1:])) for stat in wanted}
            if found:
                datapoint.extended_statistics = found
        return answer

    return get_metric_statistics


def with_metric_math(original: Callable[..., Any]) -> Callable[..., Any]:
    """CloudWatchBackend.get_metric_data with percentiles and metric math; Metrics Insights is moto's own."""

    def get_metric_data(
        self: Any,
        queries: list[Json],
        start_time: datetime,
        end_time: datetime,
        scan_by: str = "TimestampAscending",
    ) -> list[Json]:
        insights = any(str(query.get("Expression", "")).startswith("SELECT") for query in queries)
        if insights or start_time >= end_time:
            found: list[Json] = original(self, queries, start_time, end_time, scan_by)
            return found
        by_series: dict[Series, list[MetricDatumBase]] = {}
        for datum in self.get_all_metrics():
            by_series.setdefault(series_of(datum), []).append(datum)
        values = {
            query["Id"]: _values(by_series, query["MetricStat"], start_time, end_time)
            for query in queries
            if "MetricStat" in query
        }
        for query in queries:
            if "Expression" in query:
                values[query["Id"]] = _calculated(query["Expression"], values)
        backwards = scan_by == "TimestampDescending"
        return [
            _answer(query, values[query["Id"]], backwards)
            for query in queries
            if query.get("ReturnData", True)
        ]

    return get_metric_data


def _values(
    by_series: Mapping[Series, list[MetricDatumBase]], stat: Json, start: datetime, end: datetime
) -> dict[datetime, float]:
    metric = stat["Metric"]
    dimensions = frozenset((found["Name"], found["Value"]) for found in metric.get("Dimensions", []))
    series = Series(namespace=metric["Namespace"], name=metric["MetricName"], dimensions=dimensions)
    data = [datum for datum in by_series.get(series, []) if stat.get("Unit") in (None, datum.unit)]
    found = {
        moment: statistic(inside, stat["Stat"])
        for moment, inside in windows(data, start, end, int(stat["Period"])).items()
    }
    return {moment: value for moment, value in found.items() if value is not None}


def _calculated(expression: str, values: Mapping[str, Mapping[datetime, float]]) -> dict[datetime, float]:
    moments = sorted({moment for series in values.values() for moment in series})
    found = {
        moment: evaluate(expression, {name: series.get(moment) for name, series in values.items()})
        for moment in moments
    }
    return {moment: value for moment, value in found.items() if value is not None}


def _answer(query: Json, values: Mapping[datetime, float], backwards: bool) -> Json:
    moments = sorted(values, reverse=backwards)
    metric = query.get("MetricStat")
    usual = f"{metric['Metric']['MetricName']} {metric['Stat']}" if metric else query["Id"]
    return {
        "id": query["Id"],
        "label": query.get("Label") or usual,
        "values": [values[moment] for moment in moments],
        "timestamps": moments,
        "status_code": "Complete",
    }

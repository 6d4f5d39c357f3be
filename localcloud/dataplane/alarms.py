"""CloudWatch alarms: what their metrics say, and which state follows.

The verdict is pure. Rules are those of "Using Amazon CloudWatch alarms": M of the last N periods; a few older
periods are looked at where newer ones have no data; what is still missing counts as the alarm says.
"""

import json
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from moto.cloudwatch.models import MetricDatumBase, cloudwatch_backends

from localcloud.aws.cloudwatch import Series, naive, series_of, statistic
from localcloud.dataplane.expressions import BadExpressionError, evaluate

# "The evaluation range": CloudWatch looks at more points than it needs. For 3 of 3 it is 5.
EXTRA_PERIODS = 2
COMPARE: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
# Statistics that grow with the length of their period.
ADDING_UP = ("Sum", "SampleCount")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When an alarm fires: `needed` of `periods` values beyond the threshold."""

    comparison: str
    threshold: float
    periods: int
    needed: int
    missing: str


@dataclass(frozen=True, kw_only=True)
class State:
    """`OK`, `ALARM` or `INSUFFICIENT_DATA`, and the sentence that says why; None keeps what there is."""

    value: str
    reason: str


def judge(values: Sequence[float | None], rule: Rule) -> State | None:
    """The state after these values, the newest last; None where the alarm keeps the one that it has.

    More values than `rule.periods` may be given: the older ones count where newer ones are missing.
    Raises ValueError for a comparison that is none.
    """
    if rule.comparison not in COMPARE:
        raise ValueError(f"no comparison {rule.comparison!r}; there are {', '.join(COMPARE)}")
    ages = range(len(values), 0, -1)
    aged = [(age, value) for age, value in zip(ages, values, strict=True) if value is not None][
        -rule.periods :
    ]
    known = [value for _, value in aged]
    beyond = [value for value in known if COMPARE[rule.comparison](value, rule.threshold)]
    absent = rule.periods - len(known)
    if not known and rule.missing == "missing":
        return State(value="INSUFFICIENT_DATA", reason=f"Unchecked: no data in {len(values)} periods")
    breaching = len(beyond) + (absent if rule.missing == "breaching" else 0)
    fires = breaching >= rule.needed
    certain = fires or len(known) - len(beyond) > rule.periods - rule.needed
    if rule.missing == "ignore" and not certain:
        return None
    if rule.missing == "missing" and not certain and len(beyond) == len(known):
        # "Avoiding premature transitions": a bad start that is young may still turn out well.
        if aged[0][0] < rule.needed:
            return None
        fires = True
    return State(value="ALARM" if fires else "OK", reason=_reason(known, beyond, absent, breaching, rule))


def _reason(known: Sequence[float], beyond: Sequence[float], absent: int, breaching: int, rule: Rule) -> str:
    shown = ", ".join(f"{value:g}" for value in (beyond or known))
    words = _words(rule.comparison)
    said = f"Threshold Crossed: {breaching} of the last {rule.periods} datapoints"
    if shown:
        said += f" [{shown}]"
    said += f" {'were' if breaching != 1 else 'was'} {words} the threshold ({rule.threshold:g})"
    if absent:
        said += f"; {absent} missing, treated as {rule.missing}"
    return f"{said} (minimum {rule.needed} datapoints for OK -> ALARM transition)."


def _words(comparison: str) -> str:
    return {
        "GreaterThanThreshold": "greater than",
        "GreaterThanOrEqualToThreshold": "greater than or equal to",
        "LessThanThreshold": "less than",
        "LessThanOrEqualToThreshold": "less than or equal to",
    }[comparison]


def values_of(
    alarm: Any, by_series: Mapping[Series, Sequence[MetricDatumBase]], end: datetime, speed: float
) -> list[float | None]:
    """The alarm's value in each period of its evaluation range, the newest last.

    Periods are divided by `speed`, and what adds up over a period is multiplied by it: the threshold is meant
    for the whole period. Raises BadExpressionError and ValueError for what can't be calculated.
    """
    queries = {query.id: query for query in alarm.metric_data_queries}
    stats = {name: query.metric_stat for name, query in queries.items() if query.metric_stat}
    period = float(alarm.period or max(int(stat.period) for stat in stats.values())) / speed
    count = int(alarm.evaluation_periods) + EXTRA_PERIODS
    moments = [naive(end) - timedelta(seconds=period * back) for back in range(count, 0, -1)]

    def looked_up(series: Series, stat: str) -> list[float | None]:
        inside = _by_window(by_series.get(series, ()), moments, period)
        factor = speed if stat in ADDING_UP else 1.0
        found = [statistic(data, stat) for data in inside]
        return [None if value is None else value * factor for value in found]

    if not queries:
        return looked_up(
            _series(alarm, alarm.namespace, alarm.metric_name), alarm.extended_statistic or alarm.statistic
        )
    known = {
        name: looked_up(_series(stat.metric, stat.metric.namespace, stat.metric.metric_name), stat.stat)
        for name, stat in stats.items()
    }
    return [_resolved(queries, known, index) for index in range(count)]


def _resolved(
    queries: Mapping[str, Any], known: Mapping[str, Sequence[float | None]], index: int
) -> float | None:
    """The value of the query whose data the alarm watches."""
    at = {name: values[index] for name, values in known.items()}
    for name, query in queries.items():
        if query.expression:
            at[name] = evaluate(query.expression, {key: value for key, value in at.items() if key != name})
    watched = [name for name, query in queries.items() if str(query.return_data).lower() != "false"]
    if len(watched) != 1:
        raise BadExpressionError(f"an alarm watches one query with ReturnData; this one has {len(watched)}")
    return at[watched[0]]


def _series(holder: Any, namespace: str, name: str) -> Series:
    dimensions = frozenset((dimension.name, dimension.value) for dimension in holder.dimensions)
    return Series(namespace=namespace, name=name, dimensions=dimensions)


def _by_window(
    data: Iterable[MetricDatumBase], moments: Sequence[datetime], period: float
) -> list[list[MetricDatumBase]]:
    """The data of each period that begins at one of the moments."""
    found: list[list[MetricDatumBase]] = [[] for _ in moments]
    for datum in data:
        # Half a millisecond: periods of a fast schedule are no whole microseconds.
        index = int(((naive(datum.timestamp) - moments[0]).total_seconds() + 5e-4) // period)
        if 0 <= index < len(moments):
            found[index].append(datum)
    return found


def evaluate_all(end: datetime, speed: float) -> None:
    """Sets the state of every alarm in moto by the data before `end`."""
    for regions in list(cloudwatch_backends.values()):
        for backend in list(regions.values()):
            alarms = [alarm for alarm in list(backend.alarms.values()) if alarm.rule is None]
            if alarms:
                by_series = _recent(backend.metric_data, alarms)
                for alarm in alarms:
                    _set(alarm, by_series, end, speed)


def _recent(data: Sequence[MetricDatumBase], alarms: Sequence[Any]) -> dict[Series, list[MetricDatumBase]]:
    names = {alarm.metric_name for alarm in alarms} | {
        query.metric_stat.metric.metric_name
        for alarm in alarms
        for query in alarm.metric_data_queries
        if query.metric_stat
    }
    found: dict[Series, list[MetricDatumBase]] = {}
    for datum in list(data):
        if datum.name in names:
            found.setdefault(series_of(datum), []).append(datum)
    return found


def _set(
    alarm: Any, by_series: Mapping[Series, Sequence[MetricDatumBase]], end: datetime, speed: float
) -> None:
    try:
        rule = Rule(
            comparison=alarm.comparison_operator,
            threshold=float(alarm.threshold),
            periods=int(alarm.evaluation_periods),
            needed=int(alarm.datapoints_to_alarm or alarm.evaluation_periods),
            missing=alarm.treat_missing_data or "missing",
        )
        state = judge(values_of(alarm, by_series, end, speed), rule)
    except (BadExpressionError, ValueError, TypeError) as error:
        # Such as an anomaly detector, which has no threshold.
        state = State(value="INSUFFICIENT_DATA", reason=f"The alarm can't be evaluated: {error}")
    if state is not None and (state.value != alarm.state_value or state.reason != alarm.state_reason):
        changed_at = alarm.state_updated_timestamp
        if state.value != alarm.state_value:
            alarm.update_state(state.reason, json.dumps({"evaluated": end.isoformat()}), state.value)
        else:
            alarm.state_reason, alarm.state_updated_timestamp = state.reason, changed_at

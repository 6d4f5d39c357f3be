"""Where the figures and the opinions of an analysis come from: CloudWatch, a URL, a command."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from components.colours import Colour
from infra.settings import CheckSettings
from release.aws.outputs import ServiceParts
from release.aws.session import asking
from release.checks import command, web
from release.checks.statistics import Pair, Period
from release.errors import Unavailable
from release.masking import masked, secrets_of
from release.ports import Outcome, Verdict

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import DimensionTypeDef, MetricDataQueryTypeDef, MetricTypeDef

NAMESPACE = "AWS/ApplicationELB"
# A request whose connection to the target fails is answered with 502 by the load balancer itself, so it is
# in RequestCount and in no HTTPCode_Target count. Of what the load balancer answers itself, only this is
# told by target group. https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
ERRORS = {"answered": "HTTPCode_Target_5XX_Count", "refused": "TargetConnectionErrorCount"}
PERCENTILES = ("p50", "p90", "p99")
# What a command ends with to say "I can't tell yet" (EX_TEMPFAIL of sysexits.h).
UNDECIDED = 75
# Times that a URL is asked when the connection fails.
CHECK_ATTEMPTS = 3


@dataclass(frozen=True, kw_only=True)
class Window:
    """Whole periods between two times.

    look: how many periods are complete since the comparison began; the window may hold only the last ones.
    """

    start: datetime
    end: datetime
    periods: int
    look: int


def window(
    since: datetime, until: datetime, *, period_seconds: int, settle_seconds: float, at_most: int
) -> Window:
    """The complete periods, on the boundaries that CloudWatch has.

    The period in which `since` lies is not whole; one that ended less than `settle_seconds` ago may still
    be filled.
    """
    first = math.ceil(since.timestamp() / period_seconds)
    last = max(first, math.floor((until.timestamp() - settle_seconds) / period_seconds))
    shown = max(first, last - at_most)
    return Window(
        start=datetime.fromtimestamp(shown * period_seconds, UTC),
        end=datetime.fromtimestamp(last * period_seconds, UTC),
        periods=last - shown,
        look=last - first,
    )


def load_balancer_dimension(rule_arn: str) -> str:
    """The LoadBalancer dimension that belongs to a listener rule: `app/<name>/<id>`."""
    return "/".join(rule_arn.split(":listener-rule/", 1)[1].split("/")[:3])


def target_group_dimension(target_group_arn: str) -> str:
    """The TargetGroup dimension of a target group: `targetgroup/<name>/<id>`."""
    return target_group_arn.rsplit(":", 1)[1]


def read_pairs(
    cloudwatch: "CloudWatchClient", service: ServiceParts, new: Colour, old: Colour, seen: Window, period: int
) -> Sequence[Pair]:
    """The figures of both colours, one pair for each period of the window, oldest first.

    A period without a request has none of CloudWatch's points; errors are missing, not 0, where there are
    none. Raises Unavailable if CloudWatch does not answer, or not with all of it.
    """
    if not seen.periods:
        return []
    queries = [*_queries(service, new, "new", period), *_queries(service, old, "old", period)]
    points = _points(cloudwatch, queries, seen)
    moments = [seen.start + timedelta(seconds=period * number) for number in range(seen.periods)]
    return [
        Pair(new=_period(points, "new", moment), old=_period(points, "old", moment)) for moment in moments
    ]


def _queries(service: ServiceParts, colour: Colour, role: str, period: int) -> "list[MetricDataQueryTypeDef]":
    metrics = {
        "requests": ("RequestCount", "Sum"),
        **{name: (metric, "Sum") for name, metric in ERRORS.items()},
        **{percentile: ("TargetResponseTime", percentile) for percentile in PERCENTILES},
    }
    dimensions: list[DimensionTypeDef] = [
        {"Name": "LoadBalancer", "Value": load_balancer_dimension(service.production_rule)},
        {"Name": "TargetGroup", "Value": target_group_dimension(service.target_groups[colour])},
    ]
    queries: list[MetricDataQueryTypeDef] = []
    for name, (metric, statistic) in metrics.items():
        told: MetricTypeDef = {"Namespace": NAMESPACE, "MetricName": metric, "Dimensions": dimensions}
        queries.append(
            {
                "Id": f"{role}_{name}",
                "MetricStat": {"Metric": told, "Period": period, "Stat": statistic},
            }
        )
    return queries


Points = Mapping[tuple[str, datetime], float]


def _points(
    cloudwatch: "CloudWatchClient", queries: "Sequence[MetricDataQueryTypeDef]", seen: Window
) -> Points:
    points: dict[tuple[str, datetime], float] = {}
    states: dict[str, str] = {}
    with asking("read the metrics of both colours from CloudWatch"):
        pages = cloudwatch.get_paginator("get_metric_data").paginate(
            MetricDataQueries=list(queries), StartTime=seen.start, EndTime=seen.end
        )
        for page in pages:
            for result in page["MetricDataResults"]:
                # The last page that speaks of a metric says whether all of it was told.
                states[result["Id"]] = result.get("StatusCode", "Complete")
                points |= _of_one(result)
    asked = {query["Id"] for query in queries}
    if untold := sorted(name for name in asked if states.get(name) != "Complete"):
        raise Unavailable(
            f"CloudWatch did not tell all of {', '.join(untold)}; without that nothing can be compared"
        )
    return points


def _of_one(result: Any) -> dict[tuple[str, datetime], float]:
    told = zip(result["Timestamps"], result["Values"], strict=True)
    return {(result["Id"], moment.astimezone(UTC)): float(value) for moment, value in told}


def _period(points: Points, role: str, moment: datetime) -> Period:
    requests = round(points.get((f"{role}_requests", moment), 0))
    errors = sum(points.get((f"{role}_{name}", moment), 0) for name in ERRORS)
    return Period(
        requests=requests,
        # The two counts may be a period apart from that of the requests.
        errors=min(requests, round(errors)),
        latency={
            percentile: points[f"{role}_{percentile}", moment]
            for percentile in PERCENTILES
            if requests and (f"{role}_{percentile}", moment) in points
        },
    )


def own_check(check: CheckSettings, variables: Mapping[str, str]) -> Verdict:
    """What a check of the user's own says.

    An answer of "no" fails. What gives no answer (can't be reached, can't be started, takes too long) has
    said nothing: that is INSUFFICIENT, which holds the release and shows a person why.
    """
    source = f"check {check.name}"
    if check.url is not None:
        outcome, reason = _asked(check.url, check.timeout_seconds)
    else:
        outcome, reason = _ran(check.command or [], variables, check.timeout_seconds)
    return Verdict(outcome=outcome, source=source, reason=reason)


def _asked(url: str, timeout_seconds: float) -> tuple[Outcome, str]:
    for attempt in range(1, CHECK_ATTEMPTS + 1):
        try:
            answer = web.ask(web.Request(url=url, timeout_seconds=timeout_seconds, proxied=True))
        except web.NoAnswer as error:
            again = error.trouble in (web.Trouble.NOT_CONNECTED, web.Trouble.CUT_OFF)
            if not again or attempt == CHECK_ATTEMPTS:
                tried = f", tried {attempt} times" if attempt > 1 else ""
                return Outcome.INSUFFICIENT, f"no answer, so no opinion: {error}{tried}"
        else:
            said = command.shown(answer.text, secrets_of())
            outcome = Outcome.PASS if 200 <= answer.status < 300 else Outcome.FAIL
            return outcome, f"answered {answer.status}" + (f": {said}" if said else "")
    raise AssertionError("the last attempt returns")


def _ran(
    arguments: Sequence[str], variables: Mapping[str, str], timeout_seconds: float
) -> tuple[Outcome, str]:
    ended = command.run(arguments, variables=variables, timeout_seconds=timeout_seconds)
    if ended.status is None:
        return Outcome.INSUFFICIENT, f"no opinion: {ended.words}"
    outcomes = {0: Outcome.PASS, UNDECIDED: Outcome.INSUFFICIENT}
    said = f": {ended.words}" if ended.words else ""
    return outcomes.get(ended.status, Outcome.FAIL), masked(f"ended with status {ended.status}{said}")

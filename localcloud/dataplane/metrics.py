"""What CloudWatch is told: requests and times of the load balancers, hosts, ECS services, databases.

Names, dimensions and when a metric is left out are those of "CloudWatch metrics for your Application Load
Balancer", "Amazon ECS CloudWatch metrics" and "Amazon RDS CloudWatch metrics". What is made from a period's
requests is pure; `publish` alone writes to moto.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from moto.cloudwatch.models import MetricDatumBase, cloudwatch_backends
from moto.ecs.models import ecs_backends
from moto.rds.models import rds_backends

from localcloud.aws.cloudwatch import Distribution, naive
from localcloud.dataplane.balancers import LoadBalancer, Snapshot, Target, TargetGroup

BALANCER = "AWS/ApplicationELB"
ECS = "AWS/ECS"
INSIGHTS = "ECS/ContainerInsights"
RDS = "AWS/RDS"
BYTES_PER_GIB = 1024**3
# How Envoy marks an answer that a target gave.
BY_TARGET = "via_upstream"
# CloudWatch keeps points of a minute for 15 days; here they live in memory.
KEPT = timedelta(hours=3)
MOST_POINTS = 500_000

Place = tuple[str, str]
Dimensions = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class ServiceUsage:
    """What the tasks of an ECS service use, in percent of what they reserve, one value per task."""

    account: str
    region: str
    cluster: str
    service: str
    cpu_percent: Sequence[float]
    memory_percent: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class DatabaseUsage:
    """What a server behind an RDS instance uses. One that does not run reports nothing, as in AWS."""

    account: str
    region: str
    instance: str
    running: bool
    cpu_percent: float
    connections: int
    free_storage_bytes: float


@dataclass(frozen=True, kw_only=True)
class Point:
    """One metric of one period, as counts by value."""

    namespace: str
    name: str
    dimensions: Dimensions
    unit: str
    counts: Mapping[float, int]


@dataclass(kw_only=True)
class Tally:
    """Requests of one period that were answered in one way.

    statuses: how many of each status class, "2XX" to "5XX", the targets gave.
    own_errors: how many of each status from 500 on the load balancer gave itself.
    seconds: how often each response time was seen, rounded to three digits.
    """

    requests: int = 0
    refused: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    own_errors: Counter[int] = field(default_factory=Counter)
    own_answers: Counter[str] = field(default_factory=Counter)
    seconds: Counter[float] = field(default_factory=Counter)


class Requests:
    """Adds up the lines of the access log until somebody takes the sums."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, str], Tally] = {}

    def add(self, line: str) -> None:
        """One line, as `listeners.LOG_LINE` has it; anything else is left alone."""
        parts = line.split("\t")
        if len(parts) != 6 or not parts[3].isdigit():
            return
        balancer, group, host, status, details, microseconds = parts
        tally = self._tallies.setdefault((balancer, "" if group == "-" else group), Tally())
        code = int(status)
        if host != "-":
            tally.requests += 1
        if details == BY_TARGET:
            tally.statuses[f"{code // 100}XX"] += 1
            if microseconds.isdigit():
                tally.seconds[rounded(int(microseconds) / 1e6)] += 1
        else:
            tally.own_answers[f"{code // 100}XX"] += 1
            tally.own_errors.update([code] if code >= 500 else [])
            tally.refused += "connect" in details

    def take(self) -> dict[tuple[str, str], Tally]:
        """The sums by load balancer's and target group's ARN since the last call; the group may be empty."""
        taken, self._tallies = self._tallies, {}
        return taken


def rounded(seconds: float) -> float:
    """Three digits: percentiles stay within 0.5 %, and a period has few different values."""
    return float(f"{seconds:.3g}")


def of_balancers(
    snapshot: Snapshot,
    tallies: Mapping[tuple[str, str], Tally],
    healthy: Mapping[str, Mapping[Target, str]],
) -> dict[Place, list[Point]]:
    """The points of all load balancers, by account and region.

    healthy: the state of each registered target, by target group's ARN.
    """
    users = snapshot.users()
    groups = {group.arn: group for group in snapshot.groups}
    made: dict[Place, list[Point]] = {}
    for balancer in snapshot.balancers:
        points = made.setdefault((balancer.account, balancer.region), [])
        own = {group: tally for (arn, group), tally in tallies.items() if arn == balancer.arn}
        points += _of_balancer(balancer, _sum(own.values()))
        for arn, group in groups.items():
            if users.get(arn) is balancer:
                points += _of_group(balancer, group, own.get(arn, Tally()), healthy.get(arn, {}))
    return made


def _sum(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.requests += tally.requests
        total.refused += tally.refused
        total.statuses.update(tally.statuses)
        total.own_errors.update(tally.own_errors)
        total.own_answers.update(tally.own_answers)
        total.seconds.update(tally.seconds)
    return total


def _of_balancer(balancer: LoadBalancer, tally: Tally) -> list[Point]:
    dimensions: Dimensions = (("LoadBalancer", balancer.suffix),)
    points = _of_requests(dimensions, tally)
    for kind in ("3XX", "4XX", "5XX"):
        points += _count(BALANCER, f"HTTPCode_ELB_{kind}_Count", dimensions, tally.own_answers[kind])
    for status in (500, 502, 503, 504):
        points += _count(BALANCER, f"HTTPCode_ELB_{status}_Count", dimensions, tally.own_errors[status])
    return points


def _of_group(
    balancer: LoadBalancer, group: TargetGroup, tally: Tally, states: Mapping[Target, str]
) -> list[Point]:
    both: Dimensions = (("LoadBalancer", balancer.suffix), ("TargetGroup", group.suffix))
    points = _of_requests(both, tally)
    if not states:
        return points
    counted = Counter(states.values())
    for name, state in (("HealthyHostCount", "healthy"), ("UnHealthyHostCount", "unhealthy")):
        points.append(_point(BALANCER, name, both, "Count", float(counted[state])))
    per_target = tally.requests / max(counted["healthy"], 1)
    for dimensions in (both, (("TargetGroup", group.suffix),)):
        points.append(_point(BALANCER, "RequestCountPerTarget", dimensions, "Count", per_target))
    return points


def _of_requests(dimensions: Dimensions, tally: Tally) -> list[Point]:
    """Counts that are zero are left out, as AWS does."""
    points = _count(BALANCER, "RequestCount", dimensions, tally.requests)
    for kind in ("2XX", "3XX", "4XX", "5XX"):
        points += _count(BALANCER, f"HTTPCode_Target_{kind}_Count", dimensions, tally.statuses[kind])
    points += _count(BALANCER, "TargetConnectionErrorCount", dimensions, tally.refused)
    if tally.seconds:
        points.append(
            Point(
                namespace=BALANCER,
                name="TargetResponseTime",
                dimensions=dimensions,
                unit="Seconds",
                counts=dict(tally.seconds),
            )
        )
    return points


def _count(namespace: str, name: str, dimensions: Dimensions, count: int) -> list[Point]:
    return [_point(namespace, name, dimensions, "Count", float(count))] if count else []


def _point(namespace: str, name: str, dimensions: Dimensions, unit: str, *values: float) -> Point:
    return Point(namespace=namespace, name=name, dimensions=dimensions, unit=unit, counts=Counter(values))


def of_services(usage: Iterable[ServiceUsage]) -> dict[Place, list[Point]]:
    """CPU and memory of ECS services; a service without a task has none, as in AWS."""
    made: dict[Place, list[Point]] = {}
    for used in usage:
        dimensions: Dimensions = (("ClusterName", used.cluster), ("ServiceName", used.service))
        points = made.setdefault((used.account, used.region), [])
        for name, values in (
            ("CPUUtilization", used.cpu_percent),
            ("MemoryUtilization", used.memory_percent),
        ):
            if values:
                points.append(_point(ECS, name, dimensions, "Percent", *values))
    return made


def of_counts() -> dict[Place, list[Point]]:
    """How many tasks every ECS service wants and has, as Container Insights reports it."""
    made: dict[Place, list[Point]] = {}
    for account, regions in list(ecs_backends.items()):
        for region, backend in list(regions.items()):
            for service in list(backend.services.values()):
                if service.status != "ACTIVE":
                    continue
                dimensions: Dimensions = (
                    ("ClusterName", service.cluster_name),
                    ("ServiceName", service.name),
                )
                made.setdefault((account, region), []).extend(
                    [
                        _point(
                            INSIGHTS, "DesiredTaskCount", dimensions, "Count", float(service.desired_count)
                        ),
                        _point(
                            INSIGHTS, "RunningTaskCount", dimensions, "Count", float(service.running_count)
                        ),
                        _point(
                            INSIGHTS, "PendingTaskCount", dimensions, "Count", float(service.pending_count)
                        ),
                    ]
                )
    return made


def of_databases(measured: Iterable[DatabaseUsage] = ()) -> dict[Place, list[Point]]:
    """What RDS instances report: as measured, and as idle where nobody measures.

    An instance without a server, such as a read replica, is a record in the API: nothing is used there. It is
    not down either, and silence would say that.
    """
    known = {(used.account, used.region, used.instance): used for used in measured}
    made: dict[Place, list[Point]] = {}
    for account, regions in list(rds_backends.items()):
        for region, backend in list(regions.items()):
            for name, instance in list(getattr(backend, "databases", {}).items()):
                used = known.get((account, region, name)) or _idle(account, region, name, instance)
                made.setdefault((account, region), []).extend(_of_database(used, instance))
    return made


def _idle(account: str, region: str, name: str, instance: Any) -> DatabaseUsage:
    storage = float(getattr(instance, "allocated_storage", None) or 0) * BYTES_PER_GIB
    return DatabaseUsage(
        account=account,
        region=region,
        instance=name,
        running=True,
        cpu_percent=0.0,
        connections=0,
        free_storage_bytes=storage,
    )


def _of_database(used: DatabaseUsage, instance: Any) -> list[Point]:
    if not used.running:
        return []
    dimensions: Dimensions = (("DBInstanceIdentifier", used.instance),)
    points = [
        _point(RDS, "CPUUtilization", dimensions, "Percent", used.cpu_percent),
        _point(RDS, "DatabaseConnections", dimensions, "Count", float(used.connections)),
        _point(RDS, "FreeStorageSpace", dimensions, "Bytes", used.free_storage_bytes),
    ]
    if getattr(instance, "is_replica", False):
        points.append(_point(RDS, "ReplicaLag", dimensions, "Seconds", 0.0))
    return points


def publish(points: Mapping[Place, Sequence[Point]], moment: datetime) -> None:
    """Writes the points to CloudWatch under the beginning of their period, and forgets what is too old."""
    at = naive(moment)
    for (account, region), found in points.items():
        data = cloudwatch_backends[account][region].metric_data
        data.extend(
            Distribution(
                point.namespace,
                point.name,
                point.counts,
                [{"Name": name, "Value": value} for name, value in point.dimensions],
                at,
                point.unit,
            )
            for point in found
        )
        _forget(data, at - KEPT)


def _forget(data: list[MetricDatumBase], before: datetime) -> None:
    """Drops the oldest points from the front; one that was put in late may stay a little longer."""
    old = next((index for index, datum in enumerate(data) if naive(datum.timestamp) >= before), len(data))
    surplus = max(old, len(data) - MOST_POINTS)
    del data[:surplus]


def merged(*several: Mapping[Place, Sequence[Point]]) -> dict[Place, list[Point]]:
    """All points of several sources by account and region."""
    made: dict[Place, list[Point]] = {}
    for points in several:
        for place, found in points.items():
            made.setdefault(place, []).extend(found)
    return made


Usage = Callable[[], Sequence[ServiceUsage]]
Databases = Callable[[], Sequence[DatabaseUsage]]

"""Requests as CloudWatch metrics, and CloudWatch's own arithmetic: percentiles and metric math."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from moto.cloudwatch.models import cloudwatch_backends
from moto.ecs.models import ecs_backends

from localcloud.aws import cloudwatch
from localcloud.dataplane.balancers import Target
from localcloud.dataplane.expressions import BadExpressionError, evaluate
from localcloud.dataplane.metrics import (
    DatabaseUsage,
    Place,
    Point,
    Requests,
    ServiceUsage,
    Tally,
    merged,
    of_balancers,
    of_counts,
    of_databases,
    of_services,
    publish,
    rounded,
)
from tests.unit.test_dataplane_targets import BALANCER, GROUP, snapshot

PLACE: Place = ("123456789012", "eu-west-1")
ONE, TWO = Target(host="127.0.0.1", port=8001), Target(host="127.0.0.1", port=8002)


def line(status: int, *, by: str = "via_upstream", host: str = "127.0.0.1:8001", time: str = "2000") -> str:
    return "\t".join((BALANCER, GROUP, host, str(status), by, time))


def tallies(*lines: str) -> dict[tuple[str, str], Tally]:
    requests = Requests()
    for each in lines:
        requests.add(each)
    return requests.take()


def points(*lines: str, states: dict[Target, str] | None = None) -> dict[tuple[str, tuple[str, ...]], Point]:
    """By name and names of the dimensions."""
    known = {ONE: "healthy"} if states is None else states
    made = of_balancers(snapshot(ONE), tallies(*lines), {GROUP: known})
    return {
        (point.name, tuple(name for name, _ in point.dimensions)): point for point in made["1", "eu-west-1"]
    }


def value(point: Point) -> float:
    """The sum of what was counted."""
    return sum(amount * count for amount, count in point.counts.items())


BOTH = ("LoadBalancer", "TargetGroup")


def test_answers_of_targets_and_of_the_load_balancer_are_told_apart() -> None:
    found = points(
        line(200),
        line(404),
        line(500),
        line(502, by="upstream_reset_before_response_started{connection_refused}"),
        line(503, by="no_healthy_upstream", host="-"),
        line(301, by="direct_response", host="-"),
    )
    assert value(found["RequestCount", BOTH]) == 4, "only where a target was chosen"
    assert value(found["HTTPCode_Target_2XX_Count", BOTH]) == 1
    assert value(found["HTTPCode_Target_4XX_Count", BOTH]) == 1
    assert value(found["HTTPCode_Target_5XX_Count", BOTH]) == 1
    alone = ("LoadBalancer",)
    assert value(found["HTTPCode_ELB_5XX_Count", alone]) == 2
    assert value(found["HTTPCode_ELB_502_Count", alone]) == 1
    assert value(found["HTTPCode_ELB_503_Count", alone]) == 1
    assert value(found["HTTPCode_ELB_3XX_Count", alone]) == 1
    assert value(found["RequestCount", alone]) == 4
    assert ("HTTPCode_ELB_5XX_Count", BOTH) not in found, "AWS has it for the load balancer alone"


def test_counts_of_nothing_are_left_out() -> None:
    assert set(points(states={})) == set(), "AWS reports nothing for an idle load balancer"
    assert not any(name.startswith("HTTPCode") for name, _ in points())


def test_hosts_are_counted_by_state_and_requests_shared_among_the_healthy() -> None:
    states = {ONE: "healthy", TWO: "healthy", Target(host="127.0.0.1", port=3): "unhealthy"}
    states |= {Target(host="127.0.0.1", port=4): "initial"}
    found = points(*[line(200)] * 10, states=states)
    assert value(found["HealthyHostCount", BOTH]) == 2
    assert value(found["UnHealthyHostCount", BOTH]) == 1, "a new target is not a sick one"
    assert value(found["RequestCountPerTarget", BOTH]) == 5
    assert value(found["RequestCountPerTarget", ("TargetGroup",)]) == 5


def test_response_times_are_seconds_of_the_targets_alone() -> None:
    found = points(
        line(200, time="1500"), line(200, time="2500"), line(503, by="no_healthy_upstream", time="-")
    )
    assert found["TargetResponseTime", BOTH].counts == {0.0015: 1, 0.0025: 1}
    assert found["TargetResponseTime", BOTH].unit == "Seconds"


def test_dimensions_are_the_suffixes_that_aws_uses() -> None:
    dimensions = dict(points(line(200))["RequestCount", BOTH].dimensions)
    assert dimensions == {"LoadBalancer": "app/edge/1", "TargetGroup": "targetgroup/blue/2"}


def test_what_is_no_line_of_the_log_is_left_alone() -> None:
    assert tallies("", "a warning of the proxy", "a\tb\tc\td\te\tf") == {}


def test_sums_begin_anew_when_they_were_taken() -> None:
    requests = Requests()
    requests.add(line(200))
    assert requests.take()[BALANCER, GROUP].requests == 1
    assert requests.take() == {}


@given(st.floats(min_value=1e-6, max_value=1e4))
def test_rounding_moves_a_time_by_less_than_half_a_percent(seconds: float) -> None:
    assert rounded(seconds) == pytest.approx(seconds, rel=0.005)


def test_usage_has_one_value_per_task() -> None:
    used = ServiceUsage(
        account="1",
        region="eu-west-1",
        cluster="main",
        service="api-blue",
        cpu_percent=(10.0, 30.0),
        memory_percent=(),
    )
    (point,) = of_services([used])["1", "eu-west-1"]
    assert (point.namespace, point.name, point.counts) == ("AWS/ECS", "CPUUtilization", {10.0: 1, 30.0: 1})
    assert dict(point.dimensions) == {"ClusterName": "main", "ServiceName": "api-blue"}


def test_sources_are_merged_by_place() -> None:
    first = Point(namespace="a", name="a", dimensions=(), unit="Count", counts={1.0: 1})
    second = Point(namespace="b", name="b", dimensions=(), unit="Count", counts={1.0: 1})
    assert merged({PLACE: [first]}, {PLACE: [second]}, {}) == {PLACE: [first, second]}


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    cloudwatch.add()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        with mock_aws():
            yield boto3.client("cloudwatch", region_name="eu-west-1")


NOW = datetime.now(UTC).replace(second=0, microsecond=0)


def written(name: str, counts: dict[float, int], minutes_ago: int = 5) -> None:
    point = Point(namespace="Test", name=name, dimensions=(("A", "1"),), unit="Seconds", counts=counts)
    publish({PLACE: [point]}, NOW - timedelta(minutes=minutes_ago))


def statistics(client: Any, name: str, **wanted: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get_metric_statistics(
        Namespace="Test",
        MetricName=name,
        Dimensions=[{"Name": "A", "Value": "1"}],
        StartTime=NOW - timedelta(minutes=10),
        EndTime=NOW,
        Period=60,
        **wanted,
    )["Datapoints"]
    return sorted(found, key=lambda point: point["Timestamp"])


def test_percentiles_can_be_asked_for(client: Any) -> None:
    written("Percentiles", {0.1: 98, 1.0: 1, 7.0: 1})
    (found,) = statistics(client, "Percentiles", ExtendedStatistics=["p50", "p99", "p99.9"])
    assert found["ExtendedStatistics"] == {"p50": 0.1, "p99": 1.0, "p99.9": 7.0}
    (found,) = statistics(client, "Percentiles", Statistics=["SampleCount", "Maximum", "Sum"])
    assert (found["SampleCount"], found["Maximum"]) == (100, 7.0)
    assert found["Sum"] == pytest.approx(17.8)


def test_periods_begin_at_whole_minutes(client: Any) -> None:
    written("Aligned", {1.0: 1}, 5)
    publish(
        {
            PLACE: [
                Point(
                    namespace="Test", name="Aligned", dimensions=(("A", "1"),), unit="Count", counts={2.0: 1}
                )
            ]
        },
        NOW - timedelta(minutes=4, seconds=30),
    )
    written("Aligned", {4.0: 1}, 4)
    found = statistics(client, "Aligned", Statistics=["Sum"])
    assert [(point["Timestamp"], point["Sum"]) for point in found] == [
        (NOW - timedelta(minutes=5), 3.0),
        (NOW - timedelta(minutes=4), 4.0),
    ]


def test_a_metric_with_other_dimensions_is_another_metric(client: Any) -> None:
    written("Dimensions", {1.0: 1})
    client.put_metric_data(
        Namespace="Test",
        MetricData=[
            {
                "MetricName": "Dimensions",
                "Dimensions": [{"Name": "A", "Value": "1"}, {"Name": "B", "Value": "2"}],
                "Timestamp": NOW - timedelta(minutes=5),
                "Value": 100,
            }
        ],
    )
    assert [point["Sum"] for point in statistics(client, "Dimensions", Statistics=["Sum"])] == [1.0]


def test_metric_math_is_calculated_per_period(client: Any) -> None:
    written("Requests", {200.0: 1}, 5)
    written("Requests", {100.0: 1}, 4)
    written("Errors", {10.0: 1}, 5)

    def query(key: str, name: str) -> dict[str, Any]:
        metric = {"Namespace": "Test", "MetricName": name, "Dimensions": [{"Name": "A", "Value": "1"}]}
        return {"Id": key, "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}, "ReturnData": False}

    expression = {"Id": "rate", "Expression": "100 * FILL(errors, 0) / requests", "Label": "error rate"}
    (found,) = client.get_metric_data(
        MetricDataQueries=[query("errors", "Errors"), query("requests", "Requests"), expression],
        StartTime=NOW - timedelta(minutes=10),
        EndTime=NOW,
        ScanBy="TimestampAscending",
    )["MetricDataResults"]
    assert (found["Id"], found["Label"], found["Values"]) == ("rate", "error rate", [5.0, 0.0])


@pytest.mark.usefixtures("client")
def test_points_that_are_too_old_are_forgotten() -> None:
    place = (PLACE[0], "eu-west-2")
    point = Point(namespace="Test", name="Old", dimensions=(), unit="Count", counts={1.0: 1})
    for hours in (5, 4, 2, 0):
        publish({place: [point]}, NOW - timedelta(hours=hours))
    kept = [
        datum.timestamp.replace(tzinfo=UTC) for datum in cloudwatch_backends[place[0]][place[1]].metric_data
    ]
    assert kept == [NOW - timedelta(hours=2), NOW]


@pytest.mark.parametrize(
    ("expression", "values", "expected"),
    [
        ("a + b * 2", {"a": 1.0, "b": 3.0}, 7.0),
        ("IF(r > 0, 100 * FILL(e, 0) / r, 0)", {"e": 5.0, "r": 50.0}, 10.0),
        ("IF(r > 0, 100 * FILL(e, 0) / r, 0)", {"e": None, "r": 50.0}, 0.0),
        ("IF(r > 0, 100 * FILL(e, 0) / r, 0)", {"e": 5.0, "r": None}, None),
        ("MAX([FILL(a, 0), FILL(b, 0)])", {"a": None, "b": 3.0}, 3.0),
        ("FILL(a, 0) + FILL(b, 0)", {"a": None, "b": None}, None),
        ("IF(lag < 0, 30 + 1, lag)", {"lag": -1.0}, 31.0),
        ("a / b", {"a": 1.0, "b": 0.0}, None),
        ("2 ^ 3 - -a", {"a": 1.0}, 9.0),
        ("IF(a > 0 AND b > 0 || a == 7, 1, 0)", {"a": 1.0, "b": 0.0}, 0.0),
        ("AVG([a, b]) + SUM([a, b]) + MIN([a, b]) + CEIL(0.2)", {"a": 2.0, "b": 4.0}, 12.0),
    ],
)
def test_metric_math_means_what_it_means_to_cloudwatch(
    expression: str, values: dict[str, float | None], expected: float | None
) -> None:
    assert evaluate(expression, values) == expected


@pytest.mark.parametrize(
    "expression", ["a +", "ANOMALY_DETECTION_BAND(a)", "other + 1", "a.real", "a if a else 1"]
)
def test_what_is_no_metric_math_is_refused_with_what_is_there(expression: str) -> None:
    with pytest.raises(BadExpressionError, match=r"there are|not metric math"):
        evaluate(expression, {"a": 1.0})


@pytest.mark.usefixtures("client")
def test_every_active_service_reports_what_it_wants_and_has() -> None:
    ecs: Any = boto3.client("ecs", region_name="eu-west-1")
    ecs.create_cluster(clusterName="main")
    ecs.register_task_definition(
        family="api", containerDefinitions=[{"name": "api", "image": "api", "memory": 512}]
    )
    for name in ("api-blue", "gone"):
        ecs.create_service(cluster="main", serviceName=name, taskDefinition="api", desiredCount=3)
    ecs.delete_service(cluster="main", service="gone", force=True)
    service = ecs_backends[PLACE[0]][PLACE[1]].services["main:api-blue"]
    service.running_count, service.pending_count = 2, 1
    found = {point.name: (dict(point.dimensions), point.counts) for point in of_counts()[PLACE]}
    dimensions = {"ClusterName": "main", "ServiceName": "api-blue"}
    assert found == {
        "DesiredTaskCount": (dimensions, {3.0: 1}),
        "RunningTaskCount": (dimensions, {2.0: 1}),
        "PendingTaskCount": (dimensions, {1.0: 1}),
    }


@pytest.mark.usefixtures("client")
def test_a_database_that_nobody_uses_is_idle_and_not_silent() -> None:
    rds: Any = boto3.client("rds", region_name="eu-west-1")
    rds.create_db_instance(
        DBInstanceIdentifier="main",
        Engine="postgres",
        DBInstanceClass="db.t4g.micro",
        AllocatedStorage=20,
        MasterUsername="admin",
        MasterUserPassword="0123456789",
    )
    rds.create_db_instance_read_replica(DBInstanceIdentifier="replica", SourceDBInstanceIdentifier="main")
    found = {
        (dict(point.dimensions)["DBInstanceIdentifier"], point.name): value(point)
        for point in of_databases()[PLACE]
    }
    assert found["main", "FreeStorageSpace"] == 20 * 1024**3
    assert found["main", "CPUUtilization"] == found["main", "DatabaseConnections"] == 0
    assert found["replica", "ReplicaLag"] == 0
    assert ("main", "ReplicaLag") not in found
    busy = DatabaseUsage(
        account=PLACE[0],
        region=PLACE[1],
        instance="main",
        running=True,
        cpu_percent=42.0,
        connections=7,
        free_storage_bytes=5.0,
    )

    def of_main(used: DatabaseUsage) -> dict[str, float]:
        points = of_databases([used])[PLACE]
        mine = [point for point in points if ("DBInstanceIdentifier", "main") in point.dimensions]
        return {point.name: value(point) for point in mine}

    assert of_main(busy) == {"CPUUtilization": 42.0, "DatabaseConnections": 7.0, "FreeStorageSpace": 5.0}
    assert of_main(replace(busy, running=False)) == {}, "a database that is down is silent"

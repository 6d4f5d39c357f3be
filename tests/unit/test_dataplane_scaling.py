"""Target tracking: what is decided, and what happens to an ECS service."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from localcloud.dataplane import alarms
from localcloud.dataplane.metrics import Point, ServiceUsage, of_services, publish
from localcloud.dataplane.scaling import Limits, Scaling, Wish, decide

OPEN = Limits(minimum=2, maximum=10, out_suspended=False, in_suspended=False)
LONG_AGO = math.inf
RESOURCE = "service/main/api-blue"
END = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def wish(ratio: float, **changes: Any) -> Wish:
    settings: dict[str, Any] = {
        "ratio": ratio,
        "high": ratio > 1,
        "low": ratio < 0.9,
        "out_cooldown_seconds": 60.0,
        "in_cooldown_seconds": 300.0,
    }
    return Wish(**(settings | changes))


def decided(
    current: int, *wishes: Wish, limits: Limits = OPEN, out: float = LONG_AGO, into: float = LONG_AGO
) -> int | None:
    return decide(current, wishes, limits, out, into)


def test_out_goes_in_proportion_to_the_target() -> None:
    assert decided(4, wish(1.5)) == 6
    assert decided(4, wish(1.01)) == 5, "a firing alarm adds at least one"


def test_the_largest_wish_wins() -> None:
    assert decided(4, wish(1.2), wish(2.0)) == 8


def test_limits_hold_on_both_sides() -> None:
    assert decided(4, wish(9.0)) == 10
    assert decided(10, wish(2.0)) is None
    assert decided(4, wish(0.01)) == 2
    assert decided(2, wish(0.01)) is None


def test_in_only_goes_if_every_policy_wants_it() -> None:
    assert decided(8, wish(0.5), wish(0.5)) == 4
    assert decided(8, wish(0.5), wish(0.95)) is None
    assert decided(8) is None


def test_a_suspended_direction_stands_still() -> None:
    no_out = Limits(minimum=2, maximum=10, out_suspended=True, in_suspended=False)
    no_in = Limits(minimum=2, maximum=10, out_suspended=False, in_suspended=True)
    assert (decided(4, wish(2.0), limits=no_out), decided(4, wish(0.5), limits=no_out)) == (None, 2)
    assert (decided(4, wish(2.0), limits=no_in), decided(4, wish(0.5), limits=no_in)) == (8, None)


def test_cooldowns_hold_each_direction_back() -> None:
    assert decided(4, wish(2.0), out=59) is None
    assert decided(4, wish(2.0), out=60) == 8
    assert decided(4, wish(2.0), into=1) == 8, "out need not wait for in"
    assert decided(4, wish(0.5), into=299) is None
    assert decided(4, wish(0.5), out=299) is None, "in waits for out"
    assert decided(4, wish(0.5), out=300, into=300) == 2


@given(
    current=st.integers(2, 10),
    ratios=st.lists(st.floats(0.0, 5.0), max_size=3),
    out_suspended=st.booleans(),
    in_suspended=st.booleans(),
)
def test_no_decision_leaves_the_limits_or_moves_a_suspended_direction(
    current: int, ratios: list[float], out_suspended: bool, in_suspended: bool
) -> None:
    limits = Limits(minimum=2, maximum=10, out_suspended=out_suspended, in_suspended=in_suspended)
    found = decided(current, *map(wish, ratios), limits=limits)
    if found is not None:
        assert 2 <= found <= 10
        assert found != current
        assert not (found > current and out_suspended)
        assert not (found < current and in_suspended)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "false")
    with mock_aws():
        names = ("ecs", "application-autoscaling", "cloudwatch")
        clients: dict[str, Any] = {name: boto3.client(name, region_name="eu-west-1") for name in names}  # type: ignore[call-overload]
        ecs = clients["ecs"]
        ecs.create_cluster(clusterName="main")
        ecs.register_task_definition(
            family="api", containerDefinitions=[{"name": "api", "image": "api", "memory": 512}]
        )
        ecs.create_service(cluster="main", serviceName="api-blue", taskDefinition="api", desiredCount=2)
        yield clients


def target(aws: dict[str, Any], suspended: bool = False) -> None:
    aws["application-autoscaling"].register_scalable_target(
        ServiceNamespace="ecs",
        ResourceId=RESOURCE,
        ScalableDimension="ecs:service:DesiredCount",
        MinCapacity=1,
        MaxCapacity=6,
        SuspendedState={
            "DynamicScalingInSuspended": suspended,
            "DynamicScalingOutSuspended": suspended,
            "ScheduledScalingSuspended": suspended,
        },
    )


def policy(aws: dict[str, Any], kind: str, value: float, **label: str) -> None:
    aws["application-autoscaling"].put_scaling_policy(
        PolicyName=kind,
        ServiceNamespace="ecs",
        ResourceId=RESOURCE,
        ScalableDimension="ecs:service:DesiredCount",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": value,
            "PredefinedMetricSpecification": {"PredefinedMetricType": kind, **label},
            "ScaleOutCooldown": 60,
            "ScaleInCooldown": 300,
        },
    )


def used(percent: float, minutes: int) -> None:
    """CPU of the last minutes."""
    usage = ServiceUsage(
        account="123456789012",
        region="eu-west-1",
        cluster="main",
        service="api-blue",
        cpu_percent=(percent,),
        memory_percent=(percent,),
    )
    for minute in range(1, minutes + 1):
        publish(of_services([usage]), END - timedelta(minutes=minute))


def count(aws: dict[str, Any], scaling: Scaling | None = None) -> int:
    """The desired count after one look."""
    scaling = scaling or Scaling(speed=1)
    scaling.correct()
    alarms.evaluate_all(END, 1)
    scaling.act(END)
    found = aws["ecs"].describe_services(cluster="main", services=["api-blue"])["services"][0]
    return int(found["desiredCount"])


def test_a_busy_service_grows_and_then_waits_for_its_cooldown(aws: dict[str, Any]) -> None:
    target(aws)
    policy(aws, "ECSServiceAverageCPUUtilization", 60)
    scaling = Scaling(speed=1)
    assert count(aws, scaling) == 2, "without data nothing is known"
    used(90, minutes=3)
    assert count(aws, scaling) == 3
    assert count(aws, scaling) == 3


def test_two_busy_minutes_are_not_enough(aws: dict[str, Any]) -> None:
    target(aws)
    policy(aws, "ECSServiceAverageCPUUtilization", 60)
    used(90, minutes=2)
    assert count(aws) == 2


def test_an_idle_service_shrinks_after_fifteen_minutes(aws: dict[str, Any]) -> None:
    target(aws)
    policy(aws, "ECSServiceAverageCPUUtilization", 60)
    used(20, minutes=14)
    assert count(aws) == 2
    used(20, minutes=15)
    assert count(aws) == 1


def test_a_suspended_service_stays_as_it_is(aws: dict[str, Any]) -> None:
    target(aws, suspended=True)
    policy(aws, "ECSServiceAverageCPUUtilization", 60)
    used(90, minutes=3)
    assert count(aws) == 2


def test_requests_per_target_are_those_of_the_policys_target_group(aws: dict[str, Any]) -> None:
    target(aws)
    policy(aws, "ALBRequestCountPerTarget", 1000, ResourceLabel="app/edge/1/targetgroup/blue/2")
    for group, requests in (("targetgroup/blue/2", 1500.0), ("targetgroup/green/3", 9000.0)):
        point = Point(
            namespace="AWS/ApplicationELB",
            name="RequestCountPerTarget",
            dimensions=(("TargetGroup", group),),
            unit="Count",
            counts={requests: 1},
        )
        for minute in (1, 2, 3):
            publish({("123456789012", "eu-west-1"): [point]}, END - timedelta(minutes=minute))
    assert count(aws) == 3


def test_the_alarms_of_a_policy_have_its_own_thresholds(aws: dict[str, Any]) -> None:
    target(aws)
    policy(aws, "ECSServiceAverageCPUUtilization", 60)
    used(30, minutes=3)
    count(aws)
    found = aws["cloudwatch"].describe_alarms()["MetricAlarms"]
    assert sorted((alarm["Threshold"], alarm["EvaluationPeriods"]) for alarm in found) == [
        (54.0, 15),
        (60.0, 3),
    ]
    assert {alarm["StateValue"] for alarm in found} <= {"OK", "INSUFFICIENT_DATA", "ALARM"}

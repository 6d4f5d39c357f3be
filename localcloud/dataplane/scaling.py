"""Application Auto Scaling: target tracking of ECS services.

As in AWS, a policy has a high and a low alarm, and acts while one of them fires. Moto makes both with a
threshold of its own; they are set right first. The decision is pure.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moto.applicationautoscaling.models import applicationautoscaling_backends
from moto.cloudwatch.models import Dimension, cloudwatch_backends
from moto.ecs.models import ecs_backends

from localcloud.aws.cloudwatch import Series, series_of
from localcloud.dataplane.alarms import values_of

# AWS's own alarms: out after 3 minutes above the target, in after 15 minutes below 90 % of it.
HIGH_PERIODS = 3
LOW_PERIODS = 15
LOW_SHARE = 0.9
PERIOD_SECONDS = 60
DEFAULT_COOLDOWN_SECONDS = 300.0
DIMENSION = "ecs:service:DesiredCount"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What one policy wants: `ratio` is its metric divided by its target; None where it wants nothing."""

    ratio: float
    high: bool
    low: bool
    out_cooldown_seconds: float
    in_cooldown_seconds: float


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The scalable target's: capacity, and what is suspended."""

    minimum: int
    maximum: int
    out_suspended: bool
    in_suspended: bool


def decide(
    current: int, wishes: Sequence[Wish], limits: Limits, since_out: float, since_in: float
) -> int | None:
    """The new count, or None where nothing is to be done.

    The largest wish wins; it goes in only if every policy wants to. since_out, since_in: seconds since the
    last change in each direction.
    """
    out = [
        math.ceil(current * wish.ratio)
        for wish in wishes
        if wish.high and since_out >= wish.out_cooldown_seconds
    ]
    if out and not limits.out_suspended:
        wanted = min(max(*out, current + 1), limits.maximum)
        return wanted if wanted > current else None
    if limits.in_suspended or not wishes or not all(wish.low for wish in wishes):
        return None
    if any(min(since_in, since_out) < wish.in_cooldown_seconds for wish in wishes):
        return None
    wanted = max(*[math.ceil(current * wish.ratio) for wish in wishes], limits.minimum)
    return wanted if wanted < current else None


class Scaling:
    """Acts on every ECS service that has a target tracking policy. Cooldowns are divided by `speed`."""

    def __init__(self, *, speed: float) -> None:
        self._speed = speed
        self._changed: dict[tuple[str, str, str], dict[str, float]] = {}

    def correct(self) -> None:
        """Gives the policies' alarms the metric and the thresholds that AWS gives them."""
        for _, _, backend in _backends():
            for policy in list(backend.policies.values()):
                config = policy.target_tracking_scaling_policy_configuration
                if policy.service_namespace == "ecs" and config and len(policy.alarms) == 2:
                    _correct(policy, config)

    def act(self, end: Any) -> None:
        """Sets desired counts by the alarms as they are, after those were evaluated up to `end`."""
        for account, region, backend in _backends():
            for resource, target in list(backend.targets.get(DIMENSION, {}).items()):
                policies = [
                    policy
                    for policy in list(backend.policies.values())
                    if policy.resource_id == resource and policy.target_tracking_scaling_policy_configuration
                ]
                if policies:
                    self._act(account, region, target, policies, end)

    def _act(self, account: str, region: str, target: Any, policies: Sequence[Any], end: Any) -> None:
        _, cluster, name = target.resource_id.split("/")
        service = ecs_backends[account][region].services.get(f"{cluster}:{name}")
        if service is None or service.status != "ACTIVE":
            return
        by_series = _by_series(account, region)
        wishes = [self._wish(policy, by_series, end) for policy in policies]
        changed = self._changed.setdefault((account, region, target.resource_id), {})
        now = time.monotonic()
        wanted = decide(
            service.desired_count,
            wishes,
            _limits(target),
            now - changed.get("out", -math.inf),
            now - changed.get("in", -math.inf),
        )
        if wanted is not None:
            changed["out" if wanted > service.desired_count else "in"] = now
            service.desired_count = wanted

    def _wish(self, policy: Any, by_series: Mapping[Series, Sequence[Any]], end: Any) -> Wish:
        config = policy.target_tracking_scaling_policy_configuration
        high, low = policy.alarms
        values = [value for value in values_of(high, by_series, end, self._speed) if value is not None]
        ratio = values[-1] / float(config["TargetValue"]) if values else 1.0

        def cooldown(key: str) -> float:
            given = config.get(key)
            return (DEFAULT_COOLDOWN_SECONDS if given is None else float(given)) / self._speed

        return Wish(
            ratio=ratio,
            high=high.state_value == "ALARM" and ratio > 1,
            low=low.state_value == "ALARM" and not config.get("DisableScaleIn"),
            out_cooldown_seconds=cooldown("ScaleOutCooldown"),
            in_cooldown_seconds=cooldown("ScaleInCooldown"),
        )


def _backends() -> list[tuple[str, str, Any]]:
    return [
        (account, region, backend)
        for account, regions in list(applicationautoscaling_backends.items())
        for region, backend in list(regions.items())
    ]


def _limits(target: Any) -> Limits:
    suspended = target.suspended_state or {}
    return Limits(
        minimum=int(target.min_capacity or 0),
        maximum=int(target.max_capacity or 0),
        out_suspended=bool(suspended.get("DynamicScalingOutSuspended")),
        in_suspended=bool(suspended.get("DynamicScalingInSuspended")),
    )


def _by_series(account: str, region: str) -> dict[Series, list[Any]]:
    found: dict[Series, list[Any]] = {}
    for datum in list(cloudwatch_backends[account][region].metric_data):
        if datum.namespace in ("AWS/ECS", "AWS/ApplicationELB"):
            found.setdefault(series_of(datum), []).append(datum)
    return found


def _correct(policy: Any, config: Mapping[str, Any]) -> None:
    given = config.get("PredefinedMetricSpecification") or {}
    kind = given.get("PredefinedMetricType")
    high, low = policy.alarms
    if kind == "ALBRequestCountPerTarget":
        # app/<name>/<id>/targetgroup/<name>/<id>
        group = "targetgroup/" + given["ResourceLabel"].split("/targetgroup/", 1)[1]
        for alarm in policy.alarms:
            alarm.namespace, alarm.metric_name, alarm.statistic = (
                "AWS/ApplicationELB",
                "RequestCountPerTarget",
                "Sum",
            )
            alarm.dimensions, alarm.unit = [Dimension("TargetGroup", group)], None
    elif kind not in ("ECSServiceAverageCPUUtilization", "ECSServiceAverageMemoryUtilization"):
        return
    target = float(config["TargetValue"])
    high.threshold, high.evaluation_periods, high.comparison_operator = (
        target,
        HIGH_PERIODS,
        "GreaterThanThreshold",
    )
    low.threshold, low.evaluation_periods, low.comparison_operator = (
        target * LOW_SHARE,
        LOW_PERIODS,
        "LessThanThreshold",
    )
    for alarm in policy.alarms:
        alarm.period = PERIOD_SECONDS

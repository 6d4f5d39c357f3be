"""What a container service gets out of its settings and its neighbours."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pulumi
import pytest

from components.alarms import ServiceAlarmsArgs
from components.blue_green import BlueGreenArgs, HealthCheck
from components.container_service import ContainerServiceArgs
from infra import arguments
from infra.arguments import ServiceParts, Stack
from tests.unit.harness import deploy, value_of
from tests.unit.stacks import REMOVED, stack

ARNS = {"blue": "arn:blue", "green": "arn:green"}
SUFFIXES = {"blue": "targetgroup/blue/1", "green": "targetgroup/green/1"}
COLOURS: Any = SimpleNamespace(target_group_arns=ARNS, target_group_arn_suffixes=SUFFIXES)
ELSEWHERE = "arn:aws:secretsmanager:eu-west-1:333333333333:secret:elsewhere-AbCdEf"
RELEASED = "registry.example.com/api@sha256:" + "a" * 64
BOOTSTRAP = "public.ecr.aws/docker/library/busybox@sha256:" + "0" * 64
NEIGHBOURS: dict[str, Any] = {
    "network": SimpleNamespace(private_subnet_ids=["private"], service_security_group_id="sg-services"),
    "edge": SimpleNamespace(arn_suffix="app/edge/1"),
    "cluster": SimpleNamespace(arn="arn:cluster", name="cluster", session_log_group_arn="arn:sessions"),
    "registry": SimpleNamespace(repository_arns={"api": "arn:api", "web": "arn:web"}),
    "secrets": SimpleNamespace(arns={"session-key": "arn:session-key"}),
    "databases": {},
    "monitoring": SimpleNamespace(
        log_group_names={"api": "api-logs", "web": "web-logs"},
        log_group_arns={"api": "arn:api-logs", "web": "arn:web-logs"},
    ),
    "key": SimpleNamespace(key_arn="arn:key"),
}
PARTS = ServiceParts(**NEIGHBOURS)


def args(changes: dict[str, Any], images: dict[str, str] | None = None) -> ContainerServiceArgs:
    without = {"services.api.database": REMOVED, **changes}
    return arguments.container_service(stack("prod", without), "api", COLOURS, PARTS, images or {})


def test_a_container_service() -> None:
    changes = {
        "services.api.port": 8081,
        "services.api.architecture": "ARM64",
        "services.api.count": {"minimum": 2, "maximum": 13},
        "services.api.scaling": {"cpu_percent": 61, "requests_per_target_per_minute": 1501},
        "services.api.health_check.grace_seconds": 63,
        "services.api.stop_timeout_seconds": 64,
        "services.api.user": "10002:10003",
        "services.api.execute_command": True,
        "services.api.secrets": {"A": "session-key", "B": f"{ELSEWHERE}:user::"},
    }
    assert args(changes, {"/switchyard/prod/images/api/green": RELEASED}) == ContainerServiceArgs(
        service_name="api",
        physical_prefix="switchyard-prod",
        account_id="333333333333",
        region="eu-west-1",
        cluster_arn="arn:cluster",
        cluster_name="cluster",
        subnet_ids=["private"],
        security_group_id="sg-services",
        images={"blue": BOOTSTRAP, "green": RELEASED},
        initial_desired_counts={"blue": 0, "green": 0},
        autoscaled_colours=["green"],
        container_port=8081,
        cpu=1024,
        memory_mib=2048,
        architecture="ARM64",
        minimum_tasks=2,
        maximum_tasks=13,
        cpu_target_percent=61,
        requests_per_target=1501,
        load_balancer_arn_suffix="app/edge/1",
        target_group_arns=ARNS,
        target_group_arn_suffixes=SUFFIXES,
        environment={"LOG_LEVEL": "info"},
        secrets={"A": "arn:session-key", "B": f"{ELSEWHERE}:user::"},
        secret_arns=["arn:session-key", ELSEWHERE],
        secret_kms_key_arns=["arn:key"],
        repository_arn="arn:api",
        log_group_name="api-logs",
        log_group_arn="arn:api-logs",
        stop_timeout_seconds=64,
        health_check_grace_period_seconds=63,
        writable_paths=["/tmp"],  # noqa: S108 - in the container
        user="10002:10003",
        role_path="/switchyard/prod/",
        permissions_boundary_arn="arn:aws:iam::333333333333:policy/switchyard-stack-boundary",
        execute_command=True,
        session_log_group_arn="arn:sessions",
        session_kms_key_arn="arn:key",
    )


@pytest.mark.parametrize(
    ("address", "arn"),
    [
        ("api", "arn:api"),
        ("web", "arn:web"),
        (
            "222222222222.dkr.ecr.us-east-1.amazonaws.com/team/api",
            "arn:aws:ecr:us-east-1:222222222222:repository/team/api",
        ),
        ("ghcr.io/team/api", None),
        ("public.ecr.aws/team/api", None),
        ("registry.example.com:5000/api", None),
        ("team/api", None),
    ],
)
def test_a_service_may_pull_from_its_own_repository_where_that_is_ecr(address: str, arn: str | None) -> None:
    assert args({"services.api.image_repository": address}).repository_arn == arn


@pytest.mark.parametrize(
    ("reference", "arn"),
    [
        (ELSEWHERE, ELSEWHERE),
        (f"{ELSEWHERE}:user::", ELSEWHERE),
        (f"{ELSEWHERE}::AWSPREVIOUS:", ELSEWHERE),
        ("session-key", "arn:session-key"),
    ],
)
def test_the_right_to_read_a_secret_is_for_its_arn_alone(reference: str, arn: str) -> None:
    assert args({"services.api.secrets": {"A": reference}}).secret_arns == [arn]


def blue_green(stack: Stack, network: Any, edge: Any) -> BlueGreenArgs:
    """What `api` gets, with the rules of an earlier run resolved."""
    rules = {"api": {"production_rule": "arn:rule", "test_rule": "arn:test-rule"}, "web": {}}

    def program() -> BlueGreenArgs:
        return arguments.blue_green(stack, "api", network, edge, pulumi.Output.from_input(rules))

    args: BlueGreenArgs = deploy(program).result
    return replace(
        args,
        production_rule_arn=value_of(args.production_rule_arn),
        test_rule_arn=value_of(args.test_rule_arn),
    )


def test_the_colours_of_a_service() -> None:
    network: Any = SimpleNamespace(vpc_id="vpc-1")
    edge: Any = SimpleNamespace(production_listener_arn="arn:production", test_listener_arn="arn:test")
    changes = {
        "services.api.health_check": {
            "path": "/ready",
            "interval_seconds": 11,
            "timeout_seconds": 6,
            "healthy_threshold": 4,
            "unhealthy_threshold": 5,
            "matcher": "200-204",
            "grace_seconds": 61,
        },
        "services.api.deregistration_delay_seconds": 62,
        "services.api.slow_start_seconds": 31,
        "services.api.stickiness_seconds": 601,
        "services.api.route": {"priority": 9, "hosts": ["a.example.com"], "paths": ["/b"]},
        "services.api.smoke": [],
    }
    assert blue_green(stack("prod", changes), network, edge) == BlueGreenArgs(
        vpc_id="vpc-1",
        production_listener_arn="arn:production",
        test_listener_arn="arn:test",
        priority=9,
        hosts=["a.example.com"],
        paths=["/b"],
        health_check=HealthCheck(
            path="/ready",
            interval_seconds=11,
            timeout_seconds=6,
            healthy_threshold=4,
            unhealthy_threshold=5,
            matcher="200-204",
        ),
        deregistration_delay_seconds=62,
        slow_start_seconds=31,
        stickiness_seconds=601,
        production_rule_arn="arn:rule",
        test_rule_arn="arn:test-rule",
    )


def test_alarms_of_a_service() -> None:
    changes = {
        "monitoring.alarms": {
            "error_rate_percent": 1.5,
            "latency_p99_seconds": 2.5,
            "cpu_percent": 81,
            "memory_percent": 82,
            "free_storage_gib": 11,
            "replica_lag_seconds": 31,
            "period_seconds": 60,
            "evaluation_periods": 4,
        }
    }
    names = {"blue": "api-blue", "green": "api-green"}
    containers: Any = SimpleNamespace(service_names=names)
    monitored = ServiceParts(**{**NEIGHBOURS, "monitoring": SimpleNamespace(topic_arn="arn:topic")})
    alarms = arguments.service_alarms(stack("prod", changes), "api", COLOURS, containers, monitored)
    assert alarms == ServiceAlarmsArgs(
        name_prefix="switchyard-prod",
        service_name="api",
        cluster_name="cluster",
        ecs_service_names=names,
        load_balancer_arn_suffix="app/edge/1",
        target_group_arn_suffixes=SUFFIXES,
        topic_arn="arn:topic",
        error_rate_percent=1.5,
        latency_p99_seconds=2.5,
        cpu_percent=81,
        memory_percent=82,
        period_seconds=60,
        evaluation_periods=4,
    )

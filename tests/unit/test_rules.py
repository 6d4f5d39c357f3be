"""Rules about the network, the edge and services."""

from collections.abc import Mapping
from typing import Any

import pytest

from infra import rules
from infra.rules import Problem
from tests.unit.stacks import REMOVED, STACKS, problems, settings

RESERVED = ["10.29.0.0/16", "10.30.128.0/24", "10.0.0.0/8"]
SIX_VALUES: dict[str, Any] = {
    "priority": 10,
    "hosts": [f"{n}.example.com" for n in range(3)],
    "paths": ["/a", "/b", "/api/*"],
}
NO_OVERLAP = "a network that does not overlap"
NOT_PRIVATE = (
    "the VPC range 8.8.0.0/16 is not private; choose it from 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 "
    "(RFC 1918), because other addresses belong to somebody else"
)
CERTIFICATE = "arn:aws:acm:eu-central-1:333333333333:certificate/c"
NOT_FOR_THE_WORLD = "networks of /8 or smaller: the idle colour is not for the world"

Change = Mapping[str, Any]
Told = list[tuple[str, str, str]]
# A rule, a stack, what is changed in its file, and all that is told then: key, given, allowed.
BROKEN: list[tuple[str, str, Change, Told]] = [
    (
        "the_network_can_be_cut_into_subnets",
        "prod",
        {"network.cidr": "8.8.0.0/16"},
        [("network.cidr", "8.8.0.0/16", NOT_PRIVATE)],
    ),
    (
        "the_network_overlaps_no_other",
        "prod",
        {"network.reserved_cidrs": RESERVED},
        [
            ("network.cidr", "10.30.0.0/16", f"{NO_OVERLAP} 10.30.128.0/24"),
            ("network.cidr", "10.30.0.0/16", f"{NO_OVERLAP} 10.0.0.0/8"),
        ],
    ),
    (
        "zones_are_different",
        "prod",
        {"network.zones": ["eu-west-1a", "eu-west-1b", "eu-west-1a"]},
        [
            (
                "network.zones",
                "eu-west-1a, eu-west-1b, eu-west-1a",
                "different zones: with one of them lost the platform has to go on",
            )
        ],
    ),
    (
        "zones_are_the_regions",
        "prod",
        {"network.zones": ["eu-west-1a", "eu-west-2b", "eu-west-1"]},
        [
            ("network.zones", "eu-west-2b", "a zone of eu-west-1, such as eu-west-1a"),
            ("network.zones", "eu-west-1", "a zone of eu-west-1, such as eu-west-1a"),
        ],
    ),
    (
        "traffic_is_encrypted",
        "prod",
        {"edge.protocol": "http"},
        [("edge.protocol", "http", "https in prod")],
    ),
    (
        "traffic_is_encrypted",
        "staging",
        {"edge.protocol": "http"},
        [("edge.protocol", "http", "https in staging")],
    ),
    (
        "https_has_a_certificate",
        "dev",
        {"edge.protocol": "https"},
        [
            (
                "edge.certificate_arn",
                "nothing",
                "the ARN of an ACM certificate, because edge.protocol is https",
            )
        ],
    ),
    (
        "the_certificate_is_in_the_region",
        "prod",
        {"edge.certificate_arn": CERTIFICATE},
        [("edge.certificate_arn", CERTIFICATE, "a certificate in eu-west-1")],
    ),
    (
        "the_test_listener_is_not_for_the_world",
        "prod",
        {"edge.test_ingress_cidrs": ["10.0.0.0/8", "0.0.0.0/0", "192.0.0.0/7"]},
        [
            ("edge.test_ingress_cidrs", "0.0.0.0/0", NOT_FOR_THE_WORLD),
            ("edge.test_ingress_cidrs", "192.0.0.0/7", NOT_FOR_THE_WORLD),
        ],
    ),
    (
        "the_task_exists_on_fargate",
        "prod",
        {"services.api.cpu": 300},
        [("services.api.cpu", "300", "256, 512, 1024, 2048, 4096, 8192, 16384 CPU units")],
    ),
    (
        "the_task_exists_on_fargate",
        "prod",
        {"services.api.memory_mib": 1024},
        [
            (
                "services.api.memory_mib",
                "1024",
                "2048, 3072, 4096, 5120, 6144, 7168, 8192 MiB with 1024 CPU units",
            )
        ],
    ),
    (
        "the_task_exists_on_fargate",
        "prod",
        {"services.api.cpu": 2048},
        [("services.api.memory_mib", "2048", "4096 to 16384 MiB in steps of 1024 with 2048 CPU units")],
    ),
    (
        "the_route_matches_something",
        "prod",
        {"services.api.route": {"priority": 10}},
        [("services.api.route", "no host and no path", "at least one of them")],
    ),
    (
        "the_route_matches_something",
        "prod",
        {"services.api.route": SIX_VALUES},
        [
            (
                "services.api.route",
                "3 hosts and 3 paths",
                "5 values together, the limit of a load balancer's rule",
            )
        ],
    ),
    (
        "the_priority_is_its_own",
        "prod",
        {"services.web.route.priority": 10},
        [("services.web.route.priority", "10", "a priority that no other service has; api has this one")],
    ),
    (
        "a_stopped_task_finishes_its_requests",
        "prod",
        {"services.api.stop_timeout_seconds": 29},
        [
            (
                "services.api.stop_timeout_seconds",
                "29",
                "at least 30, the longest_request_seconds of the service",
            )
        ],
    ),
    (
        "a_stopped_task_finishes_its_requests",
        "prod",
        {"services.web.deregistration_delay_seconds": 29},
        [
            (
                "services.web.deregistration_delay_seconds",
                "29",
                "at least 30, the longest_request_seconds of the service",
            )
        ],
    ),
    (
        "the_edge_waits_for_the_longest_request",
        "prod",
        {"edge.idle_timeout_seconds": 29},
        [
            ("edge.idle_timeout_seconds", "29", "at least 30, the longest request of api"),
            ("edge.idle_timeout_seconds", "29", "at least 30, the longest request of web"),
        ],
    ),
    (
        "stickiness_ends_with_the_bake",
        "prod",
        {"services.api.stickiness_seconds": 3601},
        [
            (
                "services.api.stickiness_seconds",
                "3601",
                "at most 3600, the release.bake_seconds: a client must not stick to a colour that has gone",
            )
        ],
    ),
    (
        "the_counts_are_a_range",
        "prod",
        {"services.api.count.maximum": 2},
        [("services.api.count.maximum", "2", "at least the minimum, 3")],
    ),
    (
        "a_health_check_ends_before_the_next",
        "prod",
        {"services.api.health_check.timeout_seconds": 10},
        [("services.api.health_check.timeout_seconds", "10", "less than the interval, 10")],
    ),
    (
        "slow_start_is_offered",
        "prod",
        {"services.api.slow_start_seconds": 29},
        [("services.api.slow_start_seconds", "29", "0, or 30 to 900")],
    ),
    (
        "slow_start_is_offered",
        "prod",
        {"services.api.slow_start_seconds": 1},
        [("services.api.slow_start_seconds", "1", "0, or 30 to 900")],
    ),
    (
        "the_services_database_exists",
        "prod",
        {"services.web.database": "other"},
        [("services.web.database", "other", "a database of the stack: main")],
    ),
    (
        "the_services_database_exists",
        "prod",
        {"databases": {}},
        [("services.api.database", "main", "a database of the stack: it has none")],
    ),
    (
        "a_production_service_has_two_tasks",
        "prod",
        {"services.web.count.minimum": 1},
        [("services.web.count.minimum", "1", "at least 2 in prod: one task is lost with its zone")],
    ),
]

# The weakest that a rule lets pass.
ALLOWED: list[tuple[str, Change]] = [
    ("prod", {"network.cidr": "10.30.0.0/22"}),
    ("prod", {"network.reserved_cidrs": ["10.29.0.0/16", "10.31.0.0/16"]}),
    ("prod", {"network.zones": ["eu-west-1c", "eu-west-1a"]}),
    ("prod", {"edge.test_ingress_cidrs": ["10.0.0.0/8"]}),
    ("dev", {"edge.protocol": "http"}),
    ("dev", {"edge.certificate_arn": CERTIFICATE.replace("eu-central-1", "eu-west-1")}),
    ("prod", {"services.api.memory_mib": 8192}),
    ("prod", {"services.api.route": {"priority": 10, "hosts": ["a.example.com"]}}),
    ("prod", {"services.api.route": {**SIX_VALUES, "hosts": SIX_VALUES["hosts"][:2]}}),
    ("prod", {"services.api.stop_timeout_seconds": 30, "services.api.deregistration_delay_seconds": 30}),
    ("prod", {"edge.idle_timeout_seconds": 30}),
    ("prod", {"services.api.stickiness_seconds": 3600}),
    ("prod", {"services.api.count.maximum": 3}),
    ("prod", {"services.api.health_check.timeout_seconds": 9}),
    ("prod", {"services.api.slow_start_seconds": 0}),
    ("prod", {"services.api.slow_start_seconds": 30}),
    ("prod", {"services.web.database": "main"}),
    ("prod", {"services.api.database": REMOVED, "databases": {}}),
    ("prod", {"services.web.count.minimum": 2}),
    ("staging", {"services.web.count.minimum": 1}),
]


@pytest.mark.parametrize("stack", STACKS)
def test_the_stacks_own_files_break_no_rule(stack: str) -> None:
    assert settings(stack).environment == stack


@pytest.mark.parametrize(("rule", "stack", "changes", "told"), BROKEN, ids=[case[0] for case in BROKEN])
def test_a_broken_rule_is_told_with_its_key_and_what_is_allowed(
    rule: str, stack: str, changes: Change, told: Told
) -> None:
    expected = [Problem(key=key, given=given, allowed=allowed) for key, given, allowed in told]
    assert problems(stack, changes) == expected, rule


@pytest.mark.parametrize(("stack", "changes"), ALLOWED, ids=[str(sorted(case[1])) for case in ALLOWED])
def test_the_weakest_value_that_a_rule_allows_is_allowed(stack: str, changes: Change) -> None:
    settings(stack, changes)


@pytest.mark.parametrize(
    ("cpu", "memories"),
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html, in GiB
    [
        (256, [0.5, 1, 2]),
        (512, [1, 2, 3, 4]),
        (1024, [2, 3, 4, 5, 6, 7, 8]),
        (2048, [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
        (4096, list(range(8, 31))),
        (8192, [16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60]),
        (16384, [32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120]),
    ],
)
def test_fargates_sizes_are_the_ones_that_aws_documents(cpu: int, memories: list[float]) -> None:
    assert rules.FARGATE_MEMORY_MIB[cpu] == tuple(int(memory * 1024) for memory in memories)
    assert len(rules.FARGATE_MEMORY_MIB) == 7

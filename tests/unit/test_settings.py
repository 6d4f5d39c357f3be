"""Every key by itself: what it takes, what it refuses, and what it says is allowed."""

import re
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from infra.load import PREFIX
from infra.rules import Problem
from infra.settings import Settings
from tests.unit import test_settings_for_releases as for_releases
from tests.unit.stacks import config, problems

NAME = "2 to 20 lower-case letters, digits and hyphens, starting with a letter"
LOG_DAYS = "days that CloudWatch Logs offers: 1, 3, 5, 7, 14, 30, 60, 90, 120, 180, 365, 400 …"
PERCENT = "a percentage above 0, up to 100"
DAYS = "whole days, 1 to 3653"
BOOLEAN = "true or false"
NETWORK = "an IPv4 network without host bits, such as 10.1.0.0/16"
ZEROS = "0" * 64
API, MAIN, ALARMS, TIER = "services.api", "databases.main", "monitoring.alarms", "backups.tiers.gold"

# Of each key: what it says is allowed, values that it takes, values that it refuses.
WAIVER = {"control": "RDS.5", "resource": "main", "reason": "only test data", "expires": "2027-06-30"}
ALLOWANCE = {"resource": "main", "operation": "replace", "reason": "moved", "expires": "2026-12-01"}
KEYS: list[tuple[str, str, list[Any], list[Any]]] = [
    ("allow", "what a plan may delete or replace, for a time", [[], [ALLOWANCE]], ["main", {"main": "x"}]),
    ("policy.waivers", "controls not kept for a while", [[], [WAIVER]], ["RDS.5", {"RDS.5": "x"}]),
    ("environment", "local, dev, staging or prod", ["local", "dev", "staging"], ["production", "", 1, None]),
    ("region", "an AWS region such as eu-west-1", ["us-gov-east-1"], ["eu-west", "EU-WEST-1", "eu-west-1a"]),
    ("accounts", "the AWS accounts that this stack may be deployed to", [["012345678901"]], [[], "1"]),
    (
        "permissions_boundary",
        "the name of a policy of the account that limits every role of the stack",
        [None, "a", "Team+=,.@_-", "p" * 128],
        ["", "p" * 129, "a/b", "a*", "arn:aws:iam::333333333333:policy/a", 1],
    ),
    ("tags", "tags for every resource", [{}, {"team": "x"}], [[], "team=x"]),
    (
        "network.cidr",
        "a private IPv4 network of /16 to /22",
        ["10.1.0.0/16"],
        ["10.1.0.1/16", "10.1", "::/64"],
    ),
    ("network.zones", "2 or 3 zones of the region", [["a", "b"], ["a", "b", "c"]], [["a"], ["a"] * 4, "a"]),
    ("network.nat", "per-zone or single", ["per-zone", "single"], ["none", True]),
    (
        "network.interface_endpoints",
        "AWS services to be reached without the internet, such as ecr.api, logs, kms",
        [[], ["ecr.api"]],
        ["kms", None],
    ),
    ("network.flow_log_retention_days", LOG_DAYS, [1, 3653], [0, 2, 366, "long"]),
    ("edge.protocol", "http (local and dev only) or https", ["http", "https"], ["tcp", "HTTPS"]),
    (
        "edge.certificate_arn",
        "the ARN of an ACM certificate in the stack's region",
        [None, "arn:aws-us-gov:acm:us-gov-east-1:333333333333:certificate/c"],
        ["arn:aws:acm:eu-west-1:33:certificate/c", "arn:aws:iam::333333333333:server-certificate/c"],
    ),
    ("edge.ingress_cidrs", "networks that may reach production; 0.0.0.0/0 for all", [["0.0.0.0/0"]], [[]]),
    ("edge.test_port", "a port from 1024 to 65535", [1024, 65535], [1023, 65536, "x", 8443.5, True]),
    ("edge.idle_timeout_seconds", "1 to 4000 seconds", [1, 4000], [0, 4001]),
    ("edge.access_log_retention_days", DAYS, [1, 3653], [0, 3654]),
    ("edge.deletion_protection", BOOLEAN, [True, False], ["perhaps", 2]),
    (
        f"{API}.image_repository",
        "the name of a repository that the stack makes, or the address of another; no tag",
        ["a", "team_api", "localhost:5000/a/b", "222222222222.dkr.ecr.eu-west-1.amazonaws.com/a"],
        ["", "api:1", "host/api:1", f"api@sha256:{ZEROS}", "API", "api/", "/api", "https://host/api"],
    ),
    (f"{API}.port", "a port from 1 to 65535", [1, 65535], [0, 65536, False]),
    (f"{API}.architecture", "X86_64 or ARM64", ["X86_64", "ARM64"], ["amd64", "arm64"]),
    (f"{API}.count.minimum", "1 to 1000 tasks", [1, 1000], [0, 1001, 1.5, True]),
    (f"{API}.count.maximum", "the minimum to 1000 tasks", [1, 1000], [0, 1001]),
    (f"{API}.scaling.cpu_percent", PERCENT, [0.1, 100], [0, 100.1, -1]),
    (f"{API}.scaling.requests_per_target_per_minute", "a whole number of requests", [1], [0, 1.5]),
    (f"{API}.health_check.path", "a path that starts with /", ["/"], ["healthz", "/a b", ""]),
    (f"{API}.health_check.interval_seconds", "5 to 300 seconds", [5, 300], [4, 301]),
    (f"{API}.health_check.timeout_seconds", "2 to 120 seconds, below the interval", [2, 120], [1, 121]),
    (f"{API}.health_check.healthy_threshold", "2 to 10 answers", [2, 10], [1, 11]),
    (f"{API}.health_check.unhealthy_threshold", "2 to 10 answers", [2, 10], [1, 11]),
    (
        f"{API}.health_check.matcher",
        'status codes such as "200" or "200-299"',
        ["200", "200-299", "200,302", "499"],
        [200, "2xx", "500", "200,", "199"],
    ),
    (f"{API}.health_check.grace_seconds", "0 to 7200 seconds", [0, 7200], [-1, 7201]),
    (f"{API}.route.priority", "1 to 50000, another one for each service", [1, 50000], [0, 50001]),
    (f"{API}.route.hosts", "up to 5 host names", [[], ["a"] * 5], [["a"] * 6, "a"]),
    (f"{API}.route.paths", "up to 5 path patterns such as /api/*", [[], ["/"] * 5], [["/"] * 6, "/"]),
    (
        f"{API}.database",
        "the name of one of the stack's databases",
        [None, "main"],
        ["a", "Main", "1ain", "main-", "m" * 21],
    ),
    (
        f"{API}.writable_paths",
        "absolute paths that the container may write to; all else is read-only",
        [[]],
        [1],
    ),
    (f"{API}.user", "a numeric user that is not root, such as 10001", ["1", "1:2"], ["0", "root", "1:0", 1]),
    (f"{API}.longest_request_seconds", "1 to 120 seconds", [1, 120], [0, 121]),
    (
        f"{API}.stop_timeout_seconds",
        "2 to 120 seconds, no less than longest_request_seconds",
        [2, 120],
        [1, 121],
    ),
    (
        f"{API}.deregistration_delay_seconds",
        "0 to 3600 seconds, no less than longest_request_seconds",
        [0, 3600],
        [-1, 3601],
    ),
    (f"{API}.slow_start_seconds", "0 for none, or 30 to 900 seconds", [0, 900], [-1, 901]),
    (
        f"{API}.stickiness_seconds",
        "1 to 604800 seconds, no longer than the bake",
        [None, 1, 604800],
        [0, 604801, True],
    ),
    (f"{API}.execute_command", BOOLEAN, [True], ["perhaps"]),
    (f"{MAIN}.engine_version", "PostgreSQL 13 to 19, such as 16.4", ["13", "19.2"], ["12", "20", 16, "16."]),
    (f"{MAIN}.instance_class", "such as db.t4g.medium", ["db.r6g.2xlarge"], ["t4g.medium", "db.t4g"]),
    (
        f"{MAIN}.database_name",
        "lower-case letters, digits and _, from a letter",
        ["a", "a_" + "1" * 61],
        ["", "1a", "a-b", "A", "a" * 64],
    ),
    (f"{MAIN}.allocated_storage_gib", "20 to 65536 GiB", [20, 65536], [19, 65537]),
    (
        f"{MAIN}.max_allocated_storage_gib",
        "at least a tenth more than allocated_storage_gib, up to 65536",
        [22, 65536],
        [21, 65537],
    ),
    (f"{MAIN}.multi_az", "true or false; true in prod", [False], [None]),
    (f"{MAIN}.read_replicas", "0 to 5", [0, 5], [-1, 6, True]),
    (f"{MAIN}.backup_retention_days", "1 to 35 days; at least 7 in prod", [1, 35], [0, 36]),
    (f"{MAIN}.backup_window", "UTC, such as 02:00-03:00", ["23:00-23:59"], ["2:00-3:00", "02:00"]),
    (
        f"{MAIN}.maintenance_window",
        "UTC, such as sun:04:00-sun:05:00",
        ["mon:04:00-mon:05:00"],
        ["04:00-05:00"],
    ),
    (f"{MAIN}.deletion_protection", "true or false; true in prod", [False], ["perhaps"]),
    (f"{MAIN}.skip_final_snapshot", "true or false; false in prod", [True], ["perhaps"]),
    (f"{MAIN}.monitoring_interval_seconds", "1, 5, 10, 15, 30 or 60 seconds", [1, 60], [0, 2, True]),
    (f"{MAIN}.max_connections_alarm", "a number of connections", [1], [0]),
    (f"{MAIN}.backup_tier", "the name of one of the stack's backup tiers", ["standard"], ["", "Gold"]),
    ("registry.keep_images", "2 to 10000 images", [2, 10000], [1, 10001]),
    ("registry.untagged_days", DAYS, [1, 3653], [0, 3654]),
    ("monitoring.log_retention_days", LOG_DAYS, [1, 3653], [0, 10, None]),
    (f"{ALARMS}.error_rate_percent", PERCENT, [0.1, 100], [0, 101]),
    (f"{ALARMS}.latency_p99_seconds", "seconds, above 0", [0.001], [0, float("inf"), float("nan")]),
    (f"{ALARMS}.cpu_percent", PERCENT, [100], [0, float("nan")]),
    (f"{ALARMS}.memory_percent", PERCENT, [100], [0, 101]),
    (f"{ALARMS}.free_storage_gib", "whole GiB", [1], [0, 0.5]),
    (f"{ALARMS}.replica_lag_seconds", "whole seconds", [1], [0]),
    (f"{ALARMS}.period_seconds", "10, 30, 60 or 300 seconds", [10, 30, 60, 300], [20, 120]),
    (f"{ALARMS}.evaluation_periods", "1 to 60 periods", [1, 60], [0, 61]),
    (
        f"{TIER}.schedule",
        "an AWS schedule of six fields: cron(0 3 * * ? *)",
        ["cron(0 3 * * ? *)"],
        ["0 3 * * *", "cron(0 3 * * *)", "rate(1 day)"],
    ),
    (f"{TIER}.retention_days", DAYS, [1, 3653], [0, 3654]),
    (f"{TIER}.cold_storage_after_days", "days, at least 90 before the end of the retention", [None, 1], [0]),
    (f"{TIER}.continuous", "true or false: restore to any second", [True], ["perhaps"]),
    ("backups.tiers", "at least one tier by name", [], [{}, [], 1]),
    ("backups.lock.min_retention_days", DAYS, [1, 3653], [0, 3654]),
    ("backups.lock.max_retention_days", DAYS, [1, 3653], [0, 3654]),
    (
        "backups.lock.changeable_for_days",
        "absent for a lock that an administrator can lift; 3 or more: nobody can, ever",
        [None, 3],
        [0, 2],
    ),
    ("backups.copy_region", "another AWS region; must be given in prod", [None, "us-east-1"], ["frankfurt"]),
    (
        "release.strategy",
        "all-at-once, linear or canary",
        ["all-at-once", "linear", "canary"],
        ["blue", None],
    ),
    ("release.step_percent", "1 to 100", [1, 100], [0, 101]),
    ("release.every_seconds", "0 to 86400 seconds", [0, 86400], [-1, 86401]),
    ("release.bake_seconds", "0 to 604800 seconds", [0, 604800], [-1, 604801]),
    (
        "release.bootstrap_image",
        "an image by digest (repository@sha256:…), never by tag",
        [f"host:5000/a@sha256:{ZEROS}"],
        ["busybox:latest", "busybox", f"busybox@sha256:{ZEROS[1:]}", f"busybox@sha256:{ZEROS}0"],
    ),
    *for_releases.KEYS,
]
GOOD = [(key, value) for key, _, good, _ in KEYS for value in good]
BAD = [(key, allowed, value) for key, allowed, _, bad in KEYS for value in bad]
# Entries of lists and blocks: the key that is told is the entry's own.
ENTRIES = [
    (
        "allow",
        [{**ALLOWANCE, "resource": "*"}],
        "allow.0.resource",
        "a resource's name, its URN, or a pattern of either; not only *",
    ),
    ("allow", [{**ALLOWANCE, "operation": "update"}], "allow.0.operation", "replace or delete"),
    ("allow", [{**ALLOWANCE, "reason": ""}], "allow.0.reason", "why, for whoever reviews it"),
    (
        "allow",
        [{**ALLOWANCE, "expires": "soon"}],
        "allow.0.expires",
        'the last day in quotes, such as "2026-12-01"',
    ),
    (
        "policy.waivers",
        [{**WAIVER, "control": "rds"}],
        "policy.waivers.0.control",
        "a control such as RDS.5",
    ),
    (
        "policy.waivers",
        [WAIVER, {**WAIVER, "resource": ""}],
        "policy.waivers.1.resource",
        "a logical name; * stands for any part of it",
    ),
    (
        "policy.waivers",
        [{**WAIVER, "reason": "later"}],
        "policy.waivers.0.reason",
        "why it can wait, in 10 characters or more",
    ),
    (
        "policy.waivers",
        [{**WAIVER, "expires": "never"}],
        "policy.waivers.0.expires",
        'the last day in quotes, such as "2027-06-30", at most a year ahead',
    ),
    ("accounts", ["333333333333", "1"], "accounts.1", "an AWS account of 12 digits, in quotes"),
    ("accounts", [333333333333], "accounts.0", "an AWS account of 12 digits, in quotes"),
    (
        "network.interface_endpoints",
        ["a b"],
        "network.interface_endpoints.0",
        "a service name such as ecr.api",
    ),
    ("network.reserved_cidrs", ["10.0.0.1/8"], "network.reserved_cidrs.0", NETWORK),
    ("edge.ingress_cidrs", ["10.0.0.0/8", "any"], "edge.ingress_cidrs.1", NETWORK),
    ("edge.test_ingress_cidrs", ["10.0.0.0/33"], "edge.test_ingress_cidrs.0", NETWORK),
    (f"{API}.route.paths", ["/a", "b"], f"{API}.route.paths.1", "a path pattern that starts with /"),
    (f"{API}.writable_paths", ["/tmp", "/"], f"{API}.writable_paths.1", "an absolute path"),  # noqa: S108
    (f"{API}.environment", {"A-B": "x"}, f"{API}.environment.A-B", "a variable name"),
    ("monitoring.emails", ["somebody"], "monitoring.emails.0", "an email address"),
    ("registry.pull_accounts", ["1"], "registry.pull_accounts.0", "an AWS account of 12 digits"),
    *for_releases.ENTRIES,
]


def raw(key: str, value: Any) -> dict[str, Any]:
    whole = config("prod", {key: value})
    return {name.removeprefix(PREFIX): block for name, block in whole.items() if name.startswith(PREFIX)}


@pytest.mark.parametrize(("key", "value"), GOOD, ids=[f"{key}={value}" for key, value in GOOD])
def test_a_key_takes_what_it_says_is_allowed(key: str, value: Any) -> None:
    Settings.model_validate(raw(key, value))


@pytest.mark.parametrize(("key", "allowed", "value"), BAD, ids=[f"{key}={value}" for key, _, value in BAD])
def test_a_key_refuses_everything_else_and_says_what_is_allowed(key: str, allowed: str, value: Any) -> None:
    own = [problem.allowed for problem in problems("prod", {key: value}) if problem.key == key]
    assert own == [allowed]


@pytest.mark.parametrize(("key", "value", "told", "allowed"), ENTRIES, ids=[entry[2] for entry in ENTRIES])
def test_an_entry_that_is_wrong_is_named_by_its_place(key: str, value: Any, told: str, allowed: str) -> None:
    assert [(problem.key, problem.allowed) for problem in problems("prod", {key: value})] == [(told, allowed)]


@pytest.mark.parametrize("place", ["services", "databases", "backups.tiers"])
@pytest.mark.parametrize("name", ["a", "Api", "1api", "api-", "a_b", "a" * 21])
def test_a_name_that_aws_would_refuse_later_is_refused_now(place: str, name: str) -> None:
    first, *below = place.split(".")
    block = config("prod")[PREFIX + first]
    for step in below:
        block = block[step]
    entry = next(iter(block.values()))
    told = problems("prod", {f"{place}.{name}": entry})
    assert Problem(key=f"{place}.{name}", given=name, allowed=NAME) in told


def keys(model: type[BaseModel], above: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        entries = [kind for kind in get_args(field.annotation) if isinstance(kind, type)]
        for kind in (field.annotation, *entries):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                many = get_origin(field.annotation) in (dict, list)
                yield from keys(kind, f"{above}{name}." + ("*." if many else ""))
                break
        else:
            yield above + name


def test_every_key_has_a_test_here_or_in_those_of_the_rules() -> None:
    tested = {key for key, *_ in (*KEYS, *ENTRIES)}
    tested |= {re.sub(r"\.\d+\.", ".*.", told) for *_, told, _ in ENTRIES}
    for name in ("services.api", "databases.main", "backups.tiers.gold"):
        tested = {key.replace(name, name.rpartition(".")[0] + ".*") for key in tested}
    assert set(keys(Settings)) - tested == {
        "services.*.cpu",
        "services.*.memory_mib",
        "services.*.secrets",
        "databases.*.performance_insights_retention_days",
    }

"""Rules about releases: freezes, promotion, bakes, analysis, and what judges a new version."""

from collections.abc import Mapping
from typing import Any

import pytest

from infra.rules import Problem
from tests.unit.stacks import REMOVED, problems, settings

Change = Mapping[str, Any]
Told = list[tuple[str, str, str]]

START, END = "2026-12-20T00:00:00Z", "2027-01-04T00:00:00Z"
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
ANALYSIS = {
    "minimum_requests": 500,
    "max_error_rate_increase_percent": 0.5,
    "max_latency_increase_percent": 20,
}
ORDERS = {"name": "orders", "url": "https://orders.example.com/health"}
NO_OTHER = "linear or canary in steps below 100 percent: with all traffic on one colour there is no other"
LOOKS_SECRET = "a value that looks like a secret (not shown)"  # noqa: S105 - what is told of one
FROM_ENVIRONMENT = "a command that gets the secret from its own environment"


def freeze(starts: str, ends: str) -> dict[str, str]:
    return {"reason": "holidays", "starts": starts, "ends": ends}


def weekly(days: list[str], from_hour: int, to_hour: int, timezone: str = "UTC") -> dict[str, Any]:
    return {
        "reason": "quiet",
        "days": days,
        "from_hour": from_hour,
        "to_hour": to_hour,
        "timezone": timezone,
    }


# A rule, a stack, what is changed in its file, and all that is told then: key, given, allowed.
BROKEN: list[tuple[str, str, Change, Told]] = [
    (
        "a_freeze_ends_after_it_starts",
        "prod",
        {"release.freezes": [freeze(START, END), freeze(END, START), freeze(START, START)]},
        [
            (
                "release.freezes.1.ends",
                "2026-12-20T00:00:00+00:00",
                "a time after its start, 2027-01-04T00:00:00+00:00",
            ),
            (
                "release.freezes.2.ends",
                "2026-12-20T00:00:00+00:00",
                "a time after its start, 2026-12-20T00:00:00+00:00",
            ),
        ],
    ),
    (
        "a_weekly_freeze_ends_after_it_starts",
        "prod",
        {"release.weekly_freezes": [weekly(["fri"], 22, 6), weekly(["fri"], 6, 6)]},
        [
            (
                "release.weekly_freezes.0.to_hour",
                "6",
                "an hour after from_hour, 22; a night is two: until 24 and from 0",
            ),
            (
                "release.weekly_freezes.1.to_hour",
                "6",
                "an hour after from_hour, 6; a night is two: until 24 and from 0",
            ),
        ],
    ),
    (
        "a_weekly_freezes_zone_exists",
        "prod",
        {
            "release.weekly_freezes": [
                weekly(["sat"], 0, 24, zone)
                for zone in ("Europe/Berlin", "Europe/Bonn", "Europe", "../UTC", "")
            ]
        },
        [
            (
                f"release.weekly_freezes.{number}.timezone",
                zone,
                "a zone of the IANA database, such as Europe/Berlin or UTC",
            )
            for number, zone in enumerate(("Europe/Bonn", "Europe", "../UTC", ""), start=1)
        ],
    ),
    (
        "some_hour_of_the_week_is_left",
        "prod",
        {"release.weekly_freezes": [weekly(DAYS, 0, 12), weekly(DAYS, 11, 24)]},
        [
            (
                "release.weekly_freezes",
                "all 168 hours of the week",
                "freezes that leave an hour of the week in which a release may start",
            )
        ],
    ),
    (
        "a_hotfix_bakes_no_longer",
        "prod",
        {"release.hotfix_bake_seconds": 3601},
        [("release.hotfix_bake_seconds", "3601", "at most 3600, the bake_seconds of any other release")],
    ),
    (
        "a_soak_names_its_stack",
        "staging",
        {"release.soak_seconds": 60},
        [
            (
                "release.soak_seconds",
                "60",
                "0, or a release.promoted_from: the stack in which a digest lives that long first",
            )
        ],
    ),
    (
        "production_is_proven_elsewhere",
        "prod",
        {"release.promoted_from": REMOVED, "release.soak_seconds": 0},
        [
            (
                "release.promoted_from",
                "nothing",
                "a stack in prod: there a digest has to be proven first",
            )
        ],
    ),
    (
        "production_is_proven_elsewhere",
        "prod",
        {"release.soak_seconds": 0},
        [("release.soak_seconds", "0", "at least 1 in prod: how long a digest has to live in staging")],
    ),
    (
        "production_bakes_until_an_alarm_can_fire",
        "prod",
        {"release.bake_seconds": 119, "release.hotfix_bake_seconds": REMOVED},
        [
            (
                "release.bake_seconds",
                "119",
                "at least 120 in prod: so long an alarm takes to fire (2 periods of 60 s)",
            )
        ],
    ),
    (
        "both_colours_have_traffic_to_compare",
        "staging",
        {"release.analysis": ANALYSIS, "release.strategy": "all-at-once"},
        [("release.analysis", "all-at-once", NO_OTHER)],
    ),
    (
        "both_colours_have_traffic_to_compare",
        "staging",
        {"release.analysis": ANALYSIS, "release.step_percent": 100},
        [("release.analysis", "a step of 100 percent", NO_OTHER)],
    ),
    (
        "both_colours_have_traffic_to_compare",
        "staging",
        {"release.analysis": ANALYSIS, "release.every_seconds": 59},
        [
            (
                "release.every_seconds",
                "59",
                "at least 60 with an analysis: CloudWatch has one value a minute",
            )
        ],
    ),
    (
        "an_analysis_has_enough_to_judge",
        "prod",
        {"release.analysis.minimum_requests": 19},
        [("release.analysis.minimum_requests", "19", "at least 20: fewer tell nothing")],
    ),
    (
        "a_check_asks_one_thing",
        "prod",
        {"services.api.checks": [ORDERS, {"name": "none"}, {**ORDERS, "name": "both", "command": ["./c"]}]},
        [
            ("services.api.checks.1", "neither url nor command", "exactly one of url and command"),
            ("services.api.checks.2", "both url and command", "exactly one of url and command"),
        ],
    ),
    (
        "checks_have_names_of_their_own",
        "prod",
        {"services.api.checks": [ORDERS, {"name": "orders", "command": ["./check"]}]},
        [("services.api.checks.1.name", "orders", "a name that no other check of the service has")],
    ),
    (
        "no_secret_is_in_a_check",
        "prod",
        {
            "services.api.checks": [
                {"name": "orders", "url": "https://user:planted@orders.example.com/health"},
                {"name": "stock", "command": ["curl", "https://user:planted@stock.example.com"]},
            ],
            "services.api.smoke_command": ["curl", "https://user:planted@example.com"],
            "services.api.smoke": [{"path": "/api/", "headers": {"X-Key": "eyJ" + "a" * 10 + ".b"}}],
        },
        [
            (f"services.api.{place}", LOOKS_SECRET, FROM_ENVIRONMENT)
            for place in ("smoke.0", "smoke_command", "checks.0", "checks.1")
        ],
    ),
    (
        "a_smoke_check_reaches_its_service",
        "prod",
        {"services.api.smoke": [{"path": "/api/x?y=1"}, {"path": "/healthz"}, {"path": "/api"}]},
        [
            (
                f"services.api.smoke.{number}.path",
                path,
                "a path of its own route (/api/*): others reach other services",
            )
            for number, path in ((1, "/healthz"), (2, "/api"))
        ],
    ),
    (
        "a_head_request_has_no_body",
        "prod",
        {
            "services.api.smoke": [
                {"path": "/api/", "method": "HEAD", "body_contains": "ok"},
                {"path": "/api/", "method": "GET", "body_contains": "ok"},
                {"path": "/api/", "method": "HEAD"},
            ]
        },
        [
            (
                "services.api.smoke.0.body_contains",
                "ok",
                "nothing with method HEAD, whose answer has no body; or method GET",
            )
        ],
    ),
]

# The weakest that a rule lets pass.
ALLOWED: list[tuple[str, Change]] = [
    ("prod", {"release.freezes": [freeze(START, "2026-12-20T00:00:01Z")]}),
    ("prod", {"release.freezes": [freeze("2026-12-20T00:30:00+01:00", "2026-12-20T00:00:00Z")]}),
    ("prod", {"release.weekly_freezes": [weekly(DAYS, 0, 23)]}),
    ("prod", {"release.weekly_freezes": [weekly(DAYS, 0, 12), weekly(DAYS[1:], 12, 24)]}),
    ("prod", {"release.hotfix_bake_seconds": 3600}),
    ("prod", {"release.hotfix_bake_seconds": REMOVED}),
    ("prod", {"release.soak_seconds": 1}),
    ("staging", {"release.promoted_from": "dev", "release.soak_seconds": 0}),
    ("prod", {"release.bake_seconds": 120, "release.hotfix_bake_seconds": 120}),
    ("staging", {"release.bake_seconds": 1, "release.hotfix_bake_seconds": 0}),
    ("staging", {"release.analysis": ANALYSIS, "release.every_seconds": 60}),
    ("local", {"release.analysis": ANALYSIS, "release.every_seconds": 5}),
    ("prod", {"release.analysis.minimum_requests": 20}),
    ("prod", {"release.analysis": REMOVED, "release.strategy": "all-at-once"}),
    ("prod", {"services.api.checks": [ORDERS, {"name": "stock", "command": ["./check"]}]}),
    ("prod", {"services.api.smoke": [{"path": "/api/?a=b"}], "services.api.smoke_command": ["./smoke.sh"]}),
    ("prod", {"services.api.route": {"priority": 10, "hosts": ["a.example.com"]}}),
    (
        "prod",
        {
            "services.api.route": {"priority": 10, "paths": ["/v?/a.b*"]},
            "services.api.smoke": [{"path": "/v1/a.b/c"}],
        },
    ),
]


@pytest.mark.parametrize(("rule", "stack", "changes", "told"), BROKEN, ids=[case[0] for case in BROKEN])
def test_a_broken_rule_is_told_with_its_key_and_what_is_allowed(
    rule: str, stack: str, changes: Change, told: Told
) -> None:
    expected = [Problem(key=key, given=given, allowed=allowed) for key, given, allowed in told]
    assert problems(stack, changes) == expected, rule


@pytest.mark.parametrize(("stack", "changes"), ALLOWED, ids=[str(sorted(case[1])) for case in ALLOWED])
def test_the_weakest_value_that_a_rule_allows_is_allowed(stack: str, changes: Change) -> None:
    settings(stack, changes)


def test_a_dot_in_a_route_is_a_dot_and_no_pattern() -> None:
    changes = {
        "services.api.route": {"priority": 10, "paths": ["/a.b"]},
        "services.api.smoke": [{"path": "/axb"}],
    }
    assert [problem.key for problem in problems("prod", changes)] == ["services.api.smoke.0.path"]


def test_every_stack_proves_a_new_version_before_it_takes_traffic() -> None:
    for stack in ("local", "dev", "staging", "prod"):
        smoke = {name: service.smoke for name, service in settings(stack).services.items()}
        assert all(smoke.values()), f"a service of {stack} has no smoke check: {smoke}"
        assert set(smoke) == {"api", "web"}


def test_production_takes_what_staging_has_proven_for_an_hour() -> None:
    release = settings("prod").release
    assert (release.promoted_from, release.soak_seconds, release.backup_max_age_hours) == (
        "staging",
        3600,
        26,
    )
    assert release.analysis is not None
    assert settings("staging").release.promoted_from is None

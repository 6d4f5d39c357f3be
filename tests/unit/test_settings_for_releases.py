"""Every key about releases by itself. The tests that use these lists are in tests/unit/test_settings.py."""

from typing import Any

API = "services.api"
ANALYSIS = "release.analysis"
BOOLEAN = "true or false"
STACK_NAME = "the stack in which a digest has to be proven first"
NAME = "2 to 20 lower-case letters, digits and hyphens, starting with a letter"
SECRET = "arn:aws:secretsmanager:eu-west-1:333333333333:secret:slack-AbCdEf"  # noqa: S105 - its address
START = "2026-12-20T00:00:00Z"
END = "2027-01-04T00:00:00+01:00"
WITH_ZONE = "a time with its zone, such as 2026-12-20T00:00:00Z"

FREEZE = {"reason": "holidays", "starts": START, "ends": END}
WEEKEND = {"reason": "weekend", "days": ["sat", "sun"]}
SMOKE = {"path": "/api/"}
CHECK = {"name": "orders", "url": "https://orders.example.com/health"}
MIGRATIONS = {"command": ["migrate", "up"], "plan_command": ["migrate", "plan"]}

# Of each key: what it says is allowed, values that it takes, values that it refuses.
KEYS: list[tuple[str, str, list[Any], list[Any]]] = [
    (
        "release.hotfix_bake_seconds",
        "0 to 604800 seconds; else a tenth of the bake",
        [None, 0, 604800],
        [-1, 604801, True],
    ),
    (
        "release.healthy_timeout_seconds",
        "10 to 7200 seconds for the idle colour to become healthy",
        [10, 7200],
        [9, 7201],
    ),
    (
        "release.approval",
        "true: hold each release before it takes traffic, until it is approved",
        [True],
        ["perhaps"],
    ),
    ("release.change_record", "true: a release has to name its change record", [True], ["perhaps"]),
    ("release.promoted_from", STACK_NAME, ["staging", "pre-prod"], ["Staging", "s", ""]),
    (
        "release.soak_seconds",
        "0 to 2592000 seconds that a digest has to live there",
        [0, 2592000],
        [-1, 2592001],
    ),
    (
        "release.backup_max_age_hours",
        "1 to 744 hours, the recovery point objective",
        [None, 1, 744],
        [0, 745],
    ),
    ("release.freezes", "times without releases", [[], [FREEZE]], [FREEZE, "always"]),
    ("release.weekly_freezes", "hours of the week without", [[], [WEEKEND]], [WEEKEND, "sat"]),
    (
        f"{ANALYSIS}.minimum_requests",
        "requests that each colour needs before anything is concluded",
        [1, 100000],
        [0, 1.5],
    ),
    (
        f"{ANALYSIS}.confidence_percent",
        "80 to below 100; how sure a difference has to be",
        [80, 99.9],
        [79, 100],
    ),
    (
        f"{ANALYSIS}.max_error_rate_increase_percent",
        "percentage points of failed requests that are tolerated",
        [0, 100],
        [-0.1, 101],
    ),
    (
        f"{ANALYSIS}.max_latency_increase_percent",
        "percent by which the p99 latency may grow",
        [0, 500],
        [-1, "much"],
    ),
    (
        f"{API}.smoke_command",
        "a program and its arguments; it finds the address in TEST_URL",
        [None, ["./smoke.sh", "-v"]],
        [[], "./smoke.sh"],
    ),
]
# A whole list or block of keys, the key that is told, and what it says is allowed.
ENTRIES: list[tuple[str, Any, str, str]] = [
    (
        "release.freezes",
        [{**FREEZE, "reason": ""}],
        "release.freezes.0.reason",
        "why, for whoever is refused",
    ),
    (
        "release.freezes",
        [{**FREEZE, "starts": "2026-12-20T00:00:00"}],
        "release.freezes.0.starts",
        WITH_ZONE,
    ),
    (
        "release.freezes",
        [{**FREEZE, "ends": "2027-01-04T00:00:00"}],
        "release.freezes.0.ends",
        "a time with its zone, after the start",
    ),
    (
        "release.weekly_freezes",
        [{**WEEKEND, "reason": ""}],
        "release.weekly_freezes.0.reason",
        "why, for whoever is refused",
    ),
    (
        "release.weekly_freezes",
        [{**WEEKEND, "days": []}],
        "release.weekly_freezes.0.days",
        "days of the week: mon, tue, wed, thu, fri, sat, sun",
    ),
    (
        "release.weekly_freezes",
        [{**WEEKEND, "from_hour": 24}],
        "release.weekly_freezes.0.from_hour",
        "0 to 23, the first hour that is frozen",
    ),
    (
        "release.weekly_freezes",
        [{**WEEKEND, "to_hour": 0}],
        "release.weekly_freezes.0.to_hour",
        "1 to 24, the first hour that is not",
    ),
    (
        "release.weekly_freezes",
        [{**WEEKEND, "timezone": 1}],
        "release.weekly_freezes.0.timezone",
        "a zone of the IANA database, such as Europe/Berlin",
    ),
    (
        "release.notify",
        {"slack_webhook_secret": "https://hooks.slack.com/services/x"},
        "release.notify.slack_webhook_secret",
        "name or ARN of the secret with the webhook's URL",
    ),
    (
        "release.notify",
        {"github_repository": "shop"},
        "release.notify.github_repository",
        "owner/name, for deployment statuses",
    ),
    (f"{API}.smoke", [{"path": "api"}], f"{API}.smoke.0.path", "a path that starts with /"),
    (f"{API}.smoke", [{**SMOKE, "method": "PUT"}], f"{API}.smoke.0.method", "GET, HEAD or POST"),
    (f"{API}.smoke", [{**SMOKE, "status": 99}], f"{API}.smoke.0.status", "a status code, 100 to 599"),
    (
        f"{API}.smoke",
        [{**SMOKE, "body_contains": 1}],
        f"{API}.smoke.0.body_contains",
        "text that the body has to contain",
    ),
    (
        f"{API}.smoke",
        [{**SMOKE, "headers": ["X-Version"]}],
        f"{API}.smoke.0.headers",
        "header name and the value that the answer has to have",
    ),
    (
        f"{API}.smoke",
        [{**SMOKE, "max_seconds": 0}],
        f"{API}.smoke.0.max_seconds",
        "above 0, up to 60 seconds",
    ),
    (f"{API}.checks", [{**CHECK, "name": "Orders"}], f"{API}.checks.0.name", NAME),
    (
        f"{API}.checks",
        [{**CHECK, "url": "orders.example.com"}],
        f"{API}.checks.0.url",
        "a URL that answers 2xx while all is well",
    ),
    (
        f"{API}.checks",
        [{"name": "orders", "command": []}],
        f"{API}.checks.0.command",
        "a program and its arguments; status 0 is well",
    ),
    (
        f"{API}.checks",
        [{**CHECK, "timeout_seconds": 0}],
        f"{API}.checks.0.timeout_seconds",
        "1 to 600 seconds",
    ),
    (
        f"{API}.migrations",
        {**MIGRATIONS, "command": []},
        f"{API}.migrations.command",
        "a program of the image and its arguments",
    ),
    (
        f"{API}.migrations",
        {**MIGRATIONS, "plan_command": "migrate plan"},
        f"{API}.migrations.plan_command",
        "a program of the image that prints what the command would do, as JSON",
    ),
    (
        f"{API}.migrations",
        {**MIGRATIONS, "timeout_seconds": 14401},
        f"{API}.migrations.timeout_seconds",
        "1 to 14400 seconds",
    ),
]

"""Settings that nobody thought of: random valid ones load, random junk is told and nothing else."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from infra.load import PREFIX, InvalidSettings, parse
from infra.rules import FARGATE_MEMORY_MIB, INSIGHTS_DAYS, Problem
from tests.unit.stacks import REMOVED, config

SIZES = [(cpu, memory) for cpu, memories in FARGATE_MEMORY_MIB.items() for memory in memories]
VARIABLES = st.from_regex(r"\A[A-Z][A-Z0-9]{0,8}\Z").filter(lambda name: "KEY" not in name)


@st.composite
def services(draw: st.DrawFn, bake_seconds: int) -> dict[str, Any]:
    """A service that any stack of the prod file may have."""
    cpu, memory_mib = draw(st.sampled_from(SIZES))
    longest = draw(st.integers(1, 60))
    minimum = draw(st.integers(2, 1000))
    interval = draw(st.integers(5, 300))
    hosts = draw(st.lists(st.sampled_from(["a.example.com", "*.example.com"]), max_size=3))
    return {
        "cpu": cpu,
        "memory_mib": memory_mib,
        "count": {"minimum": minimum, "maximum": draw(st.integers(minimum, 1000))},
        "route.hosts": hosts,
        "route.paths": draw(st.lists(st.sampled_from(["/*", "/a"]), min_size=not hosts, max_size=2)),
        "health_check.interval_seconds": interval,
        "health_check.timeout_seconds": draw(st.integers(2, min(120, interval - 1))),
        "longest_request_seconds": longest,
        "stop_timeout_seconds": draw(st.integers(max(2, longest), 120)),
        "deregistration_delay_seconds": draw(st.integers(longest, 3600)),
        "slow_start_seconds": draw(st.just(0) | st.integers(30, 900)),
        "stickiness_seconds": draw(st.none() | st.integers(1, bake_seconds)),
        "database": draw(st.sampled_from([None, "main"])),
        "environment": draw(st.dictionaries(VARIABLES, st.sampled_from(["", "info", "8080"]), max_size=3)),
        "execute_command": draw(st.booleans()),
        "smoke": draw(st.sampled_from([[], [{"path": "/a"}]])),
    }


@st.composite
def valid(draw: st.DrawFn) -> dict[str, Any]:
    """The prod file with random legal values."""
    bake_seconds = draw(st.integers(120, 604800))
    allocated = draw(st.integers(20, 59000))
    least = -(-allocated * 11 // 10)
    retention = draw(st.integers(7, 400))
    changes = {
        "release.bake_seconds": bake_seconds,
        "release.hotfix_bake_seconds": draw(st.none() | st.integers(0, bake_seconds)),
        "release.soak_seconds": draw(st.integers(1, 2592000)),
        "release.step_percent": draw(st.integers(1, 99)),
        "release.every_seconds": draw(st.integers(60, 86400)),
        "network.cidr": draw(st.sampled_from(["10.0.0.0/16", "172.16.4.0/22", "192.168.0.0/20"])),
        "network.zones": draw(st.permutations(["eu-west-1a", "eu-west-1b", "eu-west-1c"]))[
            : draw(st.integers(2, 3))
        ],
        "databases.main.allocated_storage_gib": allocated,
        "databases.main.max_allocated_storage_gib": draw(st.integers(least, 65536)),
        "databases.main.performance_insights_retention_days": draw(st.sampled_from(INSIGHTS_DAYS)),
        "databases.main.backup_retention_days": draw(st.integers(7, 35)),
        "backups.tiers.gold.retention_days": retention,
        "backups.tiers.gold.cold_storage_after_days": draw(
            st.none() | (st.integers(1, retention - 90) if retention > 90 else st.none())
        ),
        "backups.tiers.standard.continuous": draw(st.booleans()),
        "edge.idle_timeout_seconds": draw(st.integers(60, 4000)),
    }
    for name in ("api", "web"):
        for key, value in draw(services(bake_seconds)).items():
            changes[f"services.{name}.{key}"] = value
    return config("prod", changes)


@settings(max_examples=50, deadline=None)
@given(valid())
def test_whatever_is_allowed_loads(whole: dict[str, Any]) -> None:
    loaded = parse(whole, "Pulumi.prod.yaml", "333333333333")
    api = whole[f"{PREFIX}services"]["api"]
    assert loaded.services["api"].memory_mib == api["memory_mib"]
    assert loaded.services["api"].route.paths == api["route"]["paths"]


def places(block: dict[str, Any], above: str = "") -> list[str]:
    """The key of every value of the prod file, blocks as well."""
    found = []
    for key, value in block.items():
        if above or key.startswith(PREFIX):
            name = above + key.removeprefix(PREFIX)
            found += [name, *(places(value, f"{name}.") if isinstance(value, dict) else [])]
    return found


PLACES = places(config("prod"))
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


# A rule between two keys tells one of them: by the last part of what was changed, of what may be told.
MEASURED = {
    "bake_seconds": ("hotfix_bake_seconds",),
    "evaluation_periods": ("bake_seconds",),
    "period_seconds": ("bake_seconds",),
    "promoted_from": ("soak_seconds",),
    "step_percent": ("analysis",),
    "strategy": ("analysis",),
    "allocated_storage_gib": ("max_allocated_storage_gib",),
    "cpu": ("memory_mib",),
    "databases": ("database",),
    "hosts": ("route",),
    "interval_seconds": ("timeout_seconds",),
    "longest_request_seconds": (
        "stop_timeout_seconds",
        "deregistration_delay_seconds",
        "idle_timeout_seconds",
    ),
    "max_retention_days": ("retention_days",),
    "min_retention_days": ("max_retention_days", "retention_days"),
    "minimum": ("maximum",),
    "paths": ("route", "path"),
    "priority": ("priority",),
    "region": ("zones", "certificate_arn", "copy_region"),
    "retention_days": ("cold_storage_after_days",),
    "tiers": ("backup_tier",),
}


def names(key: str, place: str) -> bool:
    """Whether a problem's key is the place, something in it, or what the place is measured against."""
    return f"{key}.".startswith(f"{place}.") or last(key) in MEASURED.get(last(place), ())


def last(key: str) -> str:
    return key.rpartition(".")[2]


def told(whole: dict[str, Any]) -> list[Problem]:
    """All that is wrong; anything but InvalidSettings passes through and fails the test."""
    try:
        parse(whole, "Pulumi.prod.yaml", "333333333333")
    except InvalidSettings as error:
        problems = list(error.problems)
        assert problems, "a refusal without a reason"
        return problems
    return []


@settings(max_examples=150, deadline=None)
@given(place=st.sampled_from(PLACES), junk=JUNK)
def test_junk_at_any_place_is_told_with_that_place_or_is_no_junk(place: str, junk: Any) -> None:
    problems = told(config("prod", {place: junk}))
    assert [problem for problem in problems if not names(problem.key, place)] == []
    assert all(problem.given and problem.allowed for problem in problems)


@settings(max_examples=100, deadline=None)
@given(changes=st.dictionaries(st.sampled_from(PLACES), JUNK | st.just(REMOVED), min_size=2, max_size=6))
def test_nothing_but_mistakes_comes_of_junk_at_many_places(changes: dict[str, Any]) -> None:
    problems = told(config("prod", apart(changes)))
    assert all(problem.key and problem.given and problem.allowed for problem in problems)


@settings(max_examples=100, deadline=None)
@given(places=st.sets(st.sampled_from(PLACES), min_size=2, max_size=10))
def test_any_number_of_mistakes_is_told_at_once(places: set[str]) -> None:
    changes: dict[str, Any] = apart({place: [[None]] for place in places})
    keys = [problem.key for problem in told(config("prod", changes))]
    assert [place for place in changes if not any(f"{key}.".startswith(f"{place}.") for key in keys)] == []


def apart(changes: dict[str, Any]) -> dict[str, Any]:
    """Without what is in a block that is changed as a whole: it has nowhere to go."""
    return {
        key: value
        for key, value in changes.items()
        if not any(key.startswith(f"{other}.") for other in changes)
    }


@settings(max_examples=100, deadline=None)
@given(whole=st.dictionaries(st.text(max_size=12) | st.sampled_from(list(config("prod"))), JUNK, max_size=6))
def test_of_a_config_of_nothing_but_junk_each_missing_setting_is_told(whole: dict[str, Any]) -> None:
    keys = {problem.key for problem in told(whole)}
    settings_given = {key.removeprefix(PREFIX) for key in whole if key.startswith(PREFIX)}
    assert {"accounts", "network", "edge", "services", "release"} - settings_given <= keys

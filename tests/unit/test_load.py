from collections.abc import Iterator
from typing import Any

import pytest

from infra.load import PREFIX, InvalidSettings, parse
from infra.rules import Problem
from tests.unit.stacks import REMOVED, STACKS, config, problems, refusal, settings

BLOCK = "a block of keys and values"
# Of the keys in the files, those that may be left out; tests/unit/test_settings_defaults.py has their values.
OPTIONAL = {
    "services.api.database",
    "services.api.environment",
    "services.api.environment.LOG_LEVEL",
    "services.api.secrets",
    "services.api.secrets.SESSION_KEY",
    "services.api.writable_paths",
    "services.api.route.paths",
    "services.api.smoke",
    "permissions_boundary",
    "edge.certificate_arn",
    "backups.copy_region",
    "backups.tiers.gold.cold_storage_after_days",
    "tags.team",
    "tags.cost-centre",
    "release.hotfix_bake_seconds",
    "release.approval",
    "release.backup_max_age_hours",
    "release.analysis",
    "release.analysis.confidence_percent",
    "policy",
    "policy.waivers",
}
# May be left out by themselves, and have to be there in prod.
WANTED_IN_PROD = {"release.promoted_from", "release.soak_seconds"}
NAMED = {"services.api", "services.web", "databases.main", "backups.tiers.gold", "backups.tiers.standard"}


def keys(block: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in block.items():
        if key.startswith(PREFIX) or above:
            name = above + key.removeprefix(PREFIX)
            yield name, value
            if isinstance(value, dict):
                yield from keys(value, f"{name}.")


ALL = [(key, value) for key, value in keys(config("prod")) if not key.startswith("services.web.")]
BLOCKS = [key for key, value in ALL if isinstance(value, dict)]
LISTS = [key for key, value in ALL if isinstance(value, list)]
REQUIRED = [key for key, _ in ALL if key not in OPTIONAL | WANTED_IN_PROD | NAMED]
# An optional block may say that it is not there.
NOTHING_IS_A_VALUE = {"release.analysis"}


def test_the_files_were_read_down_to_their_leaves() -> None:
    assert (len(ALL), len(BLOCKS), len(LISTS)) == (115, 25, 8)
    assert {key for key, _ in ALL} >= OPTIONAL | WANTED_IN_PROD


@pytest.mark.parametrize("stack", STACKS)
def test_a_stacks_own_file_loads_and_says_what_it_is(stack: str) -> None:
    loaded = settings(stack)
    assert loaded.environment == stack
    assert list(loaded.services) == ["api", "web"]
    assert [str(loaded.network.cidr), loaded.services["api"].count.maximum] == {
        "local": ["10.0.0.0/20", 4],
        "dev": ["10.10.0.0/20", 4],
        "staging": ["10.20.0.0/16", 4],
        "prod": ["10.30.0.0/16", 12],
    }[stack]


@pytest.mark.parametrize("key", REQUIRED)
def test_a_key_that_is_missing_is_told_once_as_nothing(key: str) -> None:
    assert [(problem.key, problem.given) for problem in problems("prod", {key: REMOVED})] == [
        (key, "nothing")
    ]


@pytest.mark.parametrize("key", BLOCKS)
@pytest.mark.parametrize("value", [["x"], "x", 5, None], ids=["list", "text", "number", "nothing"])
def test_what_is_no_block_is_told_where_one_belongs(key: str, value: Any) -> None:
    if value is None and key in NOTHING_IS_A_VALUE:
        settings("prod", {key: value})
    else:
        assert [problem.key for problem in problems("prod", {key: value})] == [key]


def test_a_whole_service_that_is_no_block_is_not_repeated() -> None:
    assert problems("prod", {"services.api": ["LOG_LEVEL=planted"]}) == [
        Problem(key="services.api", given="a list (not shown)", allowed=BLOCK)
    ]


@pytest.mark.parametrize("key", LISTS)
@pytest.mark.parametrize("value", [{"x": 1}, "x", 5, None], ids=["block", "text", "number", "nothing"])
def test_what_is_no_list_is_told_where_one_belongs(key: str, value: Any) -> None:
    assert [problem.key for problem in problems("prod", {key: value})] == [key]


@pytest.mark.parametrize(
    ("key", "hint", "some_known"),
    [
        ("netwrok", "did you mean network? ", "accounts, allow, backups, databases, edge, environment"),
        ("network.zone", "did you mean zones? ", "cidr, flow_log_retention_days, interface_endpoints"),
        ("edge.protocoll", "did you mean protocol? ", "access_log_retention_days, certificate_arn"),
        (
            "services.api.memory",
            "did you mean memory_mib? ",
            "architecture, checks, count, cpu, database, deregistration_delay_seconds",
        ),
        ("services.api.secret", "did you mean secrets? ", "architecture, checks, count, cpu"),
        ("services.api.count.minimun", "did you mean minimum? ", "maximum, minimum"),
        ("services.api.scaling.cpu_percnt", "did you mean cpu_percent? ", "cpu_percent, requests_per"),
        ("services.api.health_check.mather", "did you mean matcher? ", "grace_seconds, healthy_threshold"),
        ("services.api.route.order", "", "hosts, paths, priority"),
        ("databases.main.multi-az", "did you mean multi_az? ", "allocated_storage_gib, backup_retention"),
        ("registry.keep", "", "keep_images, pull_accounts, untagged_days"),
        ("monitoring.alarm", "did you mean alarms? ", "alarms, emails, log_retention_days"),
        ("monitoring.alarms.p99", "", "cpu_percent, error_rate_percent, evaluation_periods"),
        ("backups.tier", "did you mean tiers? ", "copy_region, lock, tiers"),
        ("backups.lock.max_retention", "did you mean max_retention_days? ", "changeable_for_days, max_"),
        ("backups.tiers.gold.continous", "did you mean continuous? ", "cold_storage_after_days, continuous"),
        ("release.stratgey", "did you mean strategy? ", "analysis, approval, backup_max_age_hours"),
    ],
)
def test_an_unknown_key_is_told_at_every_depth_with_the_known_ones(
    key: str, hint: str, some_known: str
) -> None:
    (problem,) = problems("prod", {key: "planted"})
    assert (problem.key, problem.given) == (key, "an unknown key")
    assert problem.allowed.startswith(f"{hint}known here: {some_known}")


def test_the_known_keys_are_all_of_them() -> None:
    assert problems("prod", {"registry.x": 1}) == [
        Problem(
            key="registry.x",
            given="an unknown key",
            allowed="known here: keep_images, pull_accounts, untagged_days",
        )
    ]


def test_settings_of_the_default_provider_are_told_but_not_repeated() -> None:
    whole = {**config("prod"), "aws:region": "planted", "aws:secretKey": "planted"}
    with pytest.raises(InvalidSettings) as refused:
        parse(whole, "Pulumi.prod.yaml")
    assert str(refused.value) == (
        "Pulumi.prod.yaml has 2 mistakes; nothing was touched.\n"
        "  aws:region\n"
        "    given:   a setting of the default AWS provider\n"
        "    allowed: nothing reads it; use region and accounts\n"
        "  aws:secretKey\n"
        "    given:   a setting of the default AWS provider\n"
        "    allowed: nothing reads it; use region and accounts"
    )


def test_settings_of_other_programs_are_not_ours() -> None:
    assert parse({**config("prod"), "other:region": 1, "pulumi:tags": {}}, "x") == settings("prod")


def test_a_message_names_the_file_the_key_what_was_given_and_what_is_allowed() -> None:
    error = refusal("prod", {"network.nat": "single"})
    assert (error.source, len(error.problems)) == ("Pulumi.prod.yaml", 1)
    assert str(error) == (
        "Pulumi.prod.yaml has 1 mistake; nothing was touched.\n"
        "  switchyard:network.nat\n"
        "    given:   single\n"
        "    allowed: per-zone in prod"
    )


def test_mistakes_of_all_kinds_in_one_service_and_its_database_are_told_at_once() -> None:
    changes = {
        "services.api.cpuu": 1,
        "services.api.port": "eighty",
        "services.api.longest_request_seconds": REMOVED,
        "services.api.count.maximum": 2,
        "services.api.memory_mib": 1000,
        "services.api.environment": {"DB_PASSWORD": "planted", "A": 5},
        "services.api.route.priority": 20,
        "databases.main.multi_az": False,
        "databases.main.engine_version": 16,
        "databases.main.backup_tier": "silver",
        "databases.main.instance_class": REMOVED,
        "network.nat": "single",
    }
    error = refusal("prod", changes, account="999999999999")
    assert [(problem.key, problem.given) for problem in error.problems] == [
        ("services.api.port", "eighty"),
        ("services.api.environment.A", "a number (not shown)"),
        ("services.api.longest_request_seconds", "nothing"),
        ("services.api.cpuu", "an unknown key"),
        ("databases.main.engine_version", "16"),
        ("databases.main.instance_class", "nothing"),
        ("network.nat", "single"),
        ("accounts", "credentials of account 999999999999"),
        ("services.api.memory_mib", "1000"),
        ("services.api.count.maximum", "2"),
        ("services.api.environment.DB_PASSWORD", "a value that looks like a secret (not shown)"),
        ("services.web.route.priority", "20"),
        ("databases.main.backup_tier", "silver"),
        ("databases.main.multi_az", "false"),
    ], "first what is wrong by itself, then the rules, each as far as it can be judged"
    assert str(error).startswith("Pulumi.prod.yaml has 14 mistakes; nothing was touched.\n")
    assert "planted" not in str(error)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"edge.certificate_arn": "nonsense"}, ["edge.certificate_arn"]),
        ({"backups.copy_region": "frankfurt"}, ["backups.copy_region"]),
        ({"services.api.route": {"priority": 10, "paths": ["api"]}}, ["services.api.route.paths.0"]),
        ({"databases.main": "x"}, ["databases.main"]),
        ({"backups.tiers.gold": 5}, ["backups.tiers.gold"]),
        ({"databases": ["main"]}, ["databases"]),
        ({"services.api.count.minimum": "x"}, ["services.api.count.minimum"]),
        ({"release.bake_seconds": "x", "services.api.stickiness_seconds": 5}, ["release.bake_seconds"]),
    ],
)
def test_what_is_there_but_wrong_is_not_told_as_missing_too(changes: dict[str, Any], told: list[str]) -> None:
    assert [problem.key for problem in problems("prod", changes)] == told


@pytest.mark.parametrize(
    "hidden_behind",
    [{"services.api.route.priority": "x"}, {"services.api.route": 5}, {"services.api": []}],
    ids=["priority", "route", "service"],
)
def test_one_services_mistake_does_not_hide_those_of_others(hidden_behind: dict[str, Any]) -> None:
    third = config("prod")[f"{PREFIX}services"]["web"]
    told = problems("prod", {**hidden_behind, "services.third": third})
    assert [problem.key for problem in told] == [*hidden_behind, "services.third.route.priority"]
    assert told[-1].allowed == "a priority that no other service has; web has this one"

"""Rules about a service's name and variables and the account, and that no rule goes without a test."""

import inspect
from collections.abc import Mapping
from typing import Any

import pytest

from infra import release_rules, rules
from infra.problems import Problem, Problems
from infra.rules import broken_rules
from tests.unit import test_rules, test_rules_for_data, test_rules_for_releases
from tests.unit.stacks import config, problems, refusal, settings

OTHER_NAME = "another name: the platform sets this one from the service's database"
LOOKS_SECRET = "a value that looks like a secret (not shown)"  # noqa: S105 - only the words for one
WEB = config("prod")["switchyard:services"]["web"]

Change = Mapping[str, Any]
Told = list[tuple[str, str, str]]
BROKEN: list[tuple[str, str, Change, Told]] = [
    (
        "the_services_name_is_free",
        "prod",
        {"services.sessions": {**WEB, "route": {"priority": 30, "paths": ["/*"]}}},
        [("services.sessions", "sessions", "another name: the platform itself has a log group of this one")],
    ),
    (
        "the_services_name_is_free",
        "prod",
        {"databases.web": config("prod")["switchyard:databases"]["main"]},
        [("services.web", "web", "a name that no database has: both would have alarms of this one")],
    ),
    (
        "the_services_name_is_free",
        "prod",
        {
            "services.api-green": {**WEB, "route": {"priority": 30, "paths": ["/*"]}},
            "databases.api-blue-x": config("prod")["switchyard:databases"]["main"],
        },
        [
            (
                "services.api-green",
                "api-green",
                "a name that does not begin with api-green: that is what a release of api changes",
            ),
            (
                "databases.api-blue-x",
                "api-blue-x",
                "a name that does not begin with api-blue: that is what a release of api changes",
            ),
        ],
    ),
    (
        "a_variable_has_one_source",
        "prod",
        {
            "services.api.environment": {"LOG_LEVEL": "info", "SESSION": "x"},
            "services.api.secrets.SESSION": "s",
        },
        [
            (
                "services.api.secrets.SESSION",
                "a variable that environment sets as well",
                "each variable in one of the two",
            )
        ],
    ),
    (
        "a_variable_has_one_source",
        "prod",
        {
            "services.api.environment": {"DATABASE_PORT": "1", "DATABASE_HOST": "h", "DATABASE_NAME": "n"},
            "services.api.secrets": {"DATABASE_USERNAME": "u", "DATABASE_PASSWORD": "p"},
        },
        [
            ("services.api.environment.DATABASE_HOST", "DATABASE_HOST", OTHER_NAME),
            ("services.api.environment.DATABASE_NAME", "DATABASE_NAME", OTHER_NAME),
            ("services.api.environment.DATABASE_PORT", "DATABASE_PORT", OTHER_NAME),
            ("services.api.secrets.DATABASE_PASSWORD", "DATABASE_PASSWORD", OTHER_NAME),
            ("services.api.secrets.DATABASE_USERNAME", "DATABASE_USERNAME", OTHER_NAME),
        ],
    ),
    (
        "no_secret_is_in_plain_text",
        "prod",
        {"services.api.environment": {"DB_PASSWORD": "planted"}},
        [
            (
                "services.api.environment.DB_PASSWORD",
                LOOKS_SECRET,
                "the name of a Secrets Manager secret, under services.api.secrets.DB_PASSWORD",
            )
        ],
    ),
]
ALLOWED: list[tuple[str, Change]] = [
    ("prod", {"services.web.environment": {"DATABASE_HOST": "db.example.com"}}),
    ("prod", {"services.web.secrets": {"DATABASE_PASSWORD": "elsewhere"}}),
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


@pytest.mark.parametrize(
    "variable",
    [
        "DB_PASSWORD",
        "PASSWD",
        "ClientSecret",
        "GITHUB_TOKEN",
        "AWS_CREDENTIALS",
        "API_KEY",
        "APIKEY",
        "PRIVATE_KEY",
        "accesskey",
    ],
)
def test_a_variable_that_is_named_like_a_secret_is_none_of_the_plain_ones(variable: str) -> None:
    key = f"services.web.environment.{variable}"
    told = problems("prod", {"services.web.environment": {variable: "x"}})
    assert [(problem.key, problem.given) for problem in told] == [(key, LOOKS_SECRET)]


# Put together here so that nobody's scanner takes them for real ones.
SECRET_VALUES = {
    "private key": "-----BEGIN " + "RSA PRIVATE KEY-----",
    "AWS key": "AKIA" + "A" * 16,
    "AWS session key": "use ASIA" + "B" * 16 + " now",
    "GitHub": "ghp" + "_" + "a" * 20,
    "Slack": "xox" + "b-1234567890",
    "Stripe": "sk" + "_live_1",
    "JWT": "eyJ" + "a" * 10 + ".b.c",
    "address": "postgres://user:planted@db.example.com/shop",
}


@pytest.mark.parametrize("kind", SECRET_VALUES)
def test_a_value_that_looks_like_a_secret_is_refused_under_any_name_and_never_repeated(kind: str) -> None:
    error = refusal("prod", {"services.web.environment": {"HARMLESS": SECRET_VALUES[kind]}})
    assert [(p.key, p.given) for p in error.problems] == [("services.web.environment.HARMLESS", LOOKS_SECRET)]
    assert SECRET_VALUES[kind] not in str(error)
    assert "planted" not in str(error)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LOG_LEVEL", "debug"),
        ("PASSWORD", ""),
        ("HOME_URL", "https://shop.example.com:8080/a@b"),
        ("MONKEY", "AKIA"),
        ("KEYBOARD", "eyJ"),
        ("KIND", "AKIA" + "a" * 16),
        ("CLIENT", "ghp" + "_short"),
    ],
)
def test_what_only_resembles_a_secret_is_a_plain_value(variable: str, value: str) -> None:
    settings("prod", {"services.web.environment": {variable: value}})


def test_credentials_of_another_account_are_refused_and_of_any_listed_one_are_not() -> None:
    changes = {"accounts": ["333333333333", "012345678901"]}
    assert problems("prod", changes, account="999999999999") == [
        Problem(
            key="accounts",
            given="credentials of account 999999999999",
            allowed="credentials of 333333333333 or 012345678901, or this account in the list if it is right",
        )
    ]
    for account in ("333333333333", "012345678901", None):
        assert broken_rules(settings("prod", changes), account, whole=True) == []


def test_every_rule_has_a_test_that_breaks_it() -> None:
    every = (*rules.STACK_RULES, *rules.SERVICE_RULES, *rules.DATABASE_RULES, *rules.TIER_RULES)
    assert {rule.__name__ for rule in every} == {
        case[0]
        for case in (
            *BROKEN,
            *test_rules.BROKEN,
            *test_rules_for_data.BROKEN,
            *test_rules_for_releases.BROKEN,
        )
    }


def test_no_rule_is_left_out_of_the_lists() -> None:
    listed: set[object] = {*rules.STACK_RULES, *rules.SERVICE_RULES, *rules.DATABASE_RULES, *rules.TIER_RULES}
    written: set[object] = {
        value
        for value in (*vars(rules).values(), *vars(release_rules).values())
        if inspect.isfunction(value) and inspect.signature(value).return_annotation == Problems
    }
    assert written == {*listed, rules.the_account_is_allowed}

"""Settings out of a file and out of the engine's hands, and what of them is never repeated."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.load import InvalidSettings, from_engine, from_file, parse
from infra.rules import Problem
from tests.unit.stacks import ROOT, STACKS, config, refusal, settings

PLANTED = "planted"


def refused(path: Path, content: str | bytes) -> InvalidSettings:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InvalidSettings) as error:
        from_file(path)
    return error.value


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "Pulumi.mine.yaml"


# --- a file


@pytest.mark.parametrize("stack", STACKS)
def test_a_file_is_read_as_its_config_section(stack: str) -> None:
    assert from_file(ROOT / f"Pulumi.{stack}.yaml") == settings(stack)


@pytest.mark.parametrize(
    "content",
    ["", "# nothing\n", "config:\n", "config: []\n", "config: text\n", "- config\n", "text\n", "42\n"],
)
def test_a_file_without_a_config_section_says_so(file: Path, content: str) -> None:
    error = refused(file, content)
    assert str(error) == (
        "Pulumi.mine.yaml has 1 mistake; nothing was touched.\n"
        "  no `config:` section\n"
        "    allowed: the stack's settings below `config:`"
    )


def test_an_empty_config_section_lacks_every_setting(file: Path) -> None:
    error = refused(file, "config: {}\n")
    assert [(problem.key, problem.given) for problem in error.problems] == [
        (key, "nothing")
        for key in (
            "environment",
            "region",
            "accounts",
            "tags",
            "network",
            "edge",
            "services",
            "databases",
            "registry",
            "monitoring",
            "backups",
            "release",
        )
    ]


@pytest.mark.parametrize(
    ("content", "given"),
    [
        ("config:\n  a: [1,\n", "line 3, column 1: expected the node content, but found '<stream end>'"),
        ("config:\n\ta: 1\n", "line 2, column 1: found character '\\t' that cannot start any token"),
        ("a: 1\n b: 2\n", "line 2, column 3: mapping values are not allowed here"),
        (
            b"config: \xff\n",
            "the file: 'utf-8' codec can't decode byte 0xff in position 8: invalid start byte",
        ),
        ("config:\n  day: 2026-13-45\n", "the file: month must be in 1..12"),
    ],
    ids=["unfinished", "tab", "indentation", "no text", "no date"],
)
def test_a_file_that_is_no_yaml_is_told_with_its_place(file: Path, content: str | bytes, given: str) -> None:
    error = refused(file, content)
    assert error.problems == (Problem(key="", given=given, allowed="well-formed YAML"),)
    assert str(error).startswith("Pulumi.mine.yaml has 1 mistake; nothing was touched.\n  ")


@pytest.mark.parametrize("value", [f"*{PLANTED}", f"!{PLANTED}", f"!{PLANTED} x"])
def test_a_secret_that_yaml_takes_for_something_else_is_not_repeated(file: Path, value: str) -> None:
    error = refused(file, f"config:\n  switchyard:services: {{api: {{environment: {{A: {value}}}}}}}\n")
    assert error.problems[0].given.startswith("line 2, column ")
    assert PLANTED not in str(error)
    assert error.__cause__ is None, "the cause would quote the line"


def test_a_file_that_is_not_there_is_no_mistake_in_it(file: Path) -> None:
    with pytest.raises(FileNotFoundError):
        from_file(file)


def test_keys_that_are_no_text_are_not_ours(file: Path) -> None:
    whole: dict[Any, Any] = {5: "x", True: "x", **config("prod")}
    file.write_text(yaml.safe_dump({"config": whole}))
    assert from_file(file) == settings("prod")


def test_mistakes_in_a_file_name_the_file(file: Path) -> None:
    content = yaml.safe_dump({"config": config("prod", {"network.nat": "single"})})
    assert refused(file, content).source == "Pulumi.mine.yaml"


# --- the engine


def handed_over(config: Mapping[str, Any]) -> dict[str, str]:
    """As the engine does: objects and lists as JSON, scalars as they are written in the file."""
    return {
        key: json.dumps(value) if isinstance(value, dict | list) else str(value)
        for key, value in config.items()
    }


@pytest.mark.parametrize("stack", STACKS)
def test_the_engine_hands_over_what_the_file_says(stack: str) -> None:
    assert from_engine(handed_over(config(stack)), stack, None) == settings(stack)


def test_an_account_keeps_its_leading_zero() -> None:
    whole = handed_over(config("prod", {"accounts": ["012345678901"]}))
    assert from_engine(whole, "prod", "012345678901").accounts == ["012345678901"]


@pytest.mark.parametrize(
    "text", ["true", "3", "-0", "012345678901", "null", "1e3", '"quoted"', "[1", "{", "NaN"]
)
def test_a_scalar_is_text_whatever_json_would_make_of_it(text: str) -> None:
    whole = {**handed_over(config("prod")), "switchyard:region": text}
    with pytest.raises(InvalidSettings) as error:
        from_engine(whole, "prod", None)
    assert error.value.problems[0] == Problem(
        key="region", given=text, allowed="an AWS region such as eu-west-1"
    )


def test_mistakes_out_of_the_engine_name_the_stacks_file_and_the_account() -> None:
    with pytest.raises(InvalidSettings) as error:
        from_engine(handed_over(config("prod")), "prod", "999999999999")
    assert str(error.value) == (
        "Pulumi.prod.yaml has 1 mistake; nothing was touched.\n"
        "  switchyard:accounts\n"
        "    given:   credentials of account 999999999999\n"
        "    allowed: credentials of 333333333333, or this account in the list if it is right"
    )


def test_an_account_that_nobody_asked_for_is_not_judged() -> None:
    assert parse(config("prod"), "x", None) == settings("prod")


# --- what is never repeated


@pytest.mark.parametrize(
    "changes",
    [
        {"services.api.environment": {"A": [PLANTED]}},
        {"services.api.environment": {"A": {"b": PLANTED}}},
        {"services.api.environment": [f"A={PLANTED}"]},
        {"services.api.environment": PLANTED},
        {"services.api.environment": {"MY_SECRET": PLANTED}},
        {"services.api.environment": {"A": f"postgres://u:{PLANTED}@db/shop"}},
        {"services.api.secrets": {"A": f"{PLANTED} !"}},
        {"services.api.secrets": {"A": {"b": PLANTED}}},
        {"services.api.secrets": [PLANTED]},
        {"services.api.secrets": PLANTED},
        {"services.api": [{"environment": {"A": PLANTED}}]},
        {"services.api": PLANTED},
        {"services": [PLANTED]},
        {"services": [{"environment": {"A": PLANTED}}]},
        {"services": PLANTED},
        {"services.api.password": PLANTED},
        {"services.api.health_check.token": PLANTED},
        {"services.api.count": [{"environment": {"A": PLANTED}}]},
        {"services.api.port": {"A": PLANTED}},
        {"services.api.image_repository": f"https://user:{PLANTED}@registry.example.com/api"},
        {"environment": {"A": PLANTED}},
        {"secrets": {"A": PLANTED}},
        {"databases.main.password": PLANTED},
        {"databases.main": [{"password": PLANTED}]},
        {"tags": [{"password": PLANTED}]},
    ],
    ids=str,
)
def test_what_may_be_a_secret_is_never_repeated(changes: dict[str, Any]) -> None:
    error = refusal("prod", changes)
    assert PLANTED not in str(error)
    assert PLANTED not in repr(error.problems)
    assert [p for p in error.problems if p.key.startswith(next(iter(changes)))], "it is told all the same"


@pytest.mark.parametrize(
    ("key", "value", "given"),
    [
        ("region", "europe", "europe"),
        ("region", "", '""'),
        ("region", "a\nb", '"a\\nb"'),
        ("region", "x" * 80, "x" * 80),
        ("region", "x" * 81, "x" * 77 + "…"),
        ("services.api.port", 70000, "70000"),
        ("services.api.port", 1.5, "1.5"),
        ("services.api.port", True, "true"),
        ("services.api.port", None, "null"),
        ("services.api.route.paths", "/api", "/api"),
        ("network.zones", ["eu-west-1a"], '["eu-west-1a"]'),
        ("network.nat", ["single"], '["single"]'),
        ("network.nat", {"x": 1}, "a block (not shown)"),
        ("services.api.environment", {"A": 5}, "a number (not shown)"),
        ("services.api.environment", {"A": 0.5}, "a number (not shown)"),
        ("services.api.environment", {"A": True}, "a boolean (not shown)"),
        ("services.api.environment", {"A": None}, "null"),
        ("services.api.environment", "x", "a text (not shown)"),
    ],
)
def test_everything_else_is_shown_as_it_was_given(key: str, value: Any, given: str) -> None:
    (problem,) = refusal("prod", {key: value}).problems
    assert problem.given == given

"""Secrets stay out, whatever they are wrapped in, and what is none stays readable."""

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from review.masking import SECRET, Masker, names_a_secret, unkeyed

PASSWORD = 'correct/horse "battery" staple+'  # noqa: S105 - made up


@pytest.mark.parametrize(
    "text",
    [
        PASSWORD,
        f"postgres://shop:{quote(PASSWORD, safe='')}@db/shop",
        json.dumps({"value": PASSWORD}),
        json.dumps({"nested": json.dumps({"value": PASSWORD})}),
        f"Error: could not log in with {PASSWORD}!",
        base64.b64encode(PASSWORD.encode()).decode(),
        base64.b64encode(f"user:{PASSWORD}".encode()).decode(),
        base64.b64encode(f"me:{PASSWORD}:more".encode()).decode(),
    ],
)
def test_a_known_secret_is_found_in_whatever_it_is_wrapped_in(text: str) -> None:
    masked = Masker([PASSWORD]).value(text)
    assert SECRET in masked
    for part in ("correct", "horse", "staple", base64.b64encode(b"correct/horse").decode()[2:-2]):
        assert part not in masked


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "token ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "https://hooks.slack.com/services/T000/B000/XXXX",
        "postgres://shop:hunter2@db.example/shop",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    ],
)
def test_what_looks_like_a_credential_is_masked_though_nobody_has_said_so(text: str) -> None:
    masked = Masker().text(text)
    assert SECRET in masked
    assert not any(part in masked for part in ("IOSF", "0123456789", "T000", "hunter2", "MIIE", "sdWIi"))


def test_a_value_under_the_name_of_a_secret_is_masked_at_any_depth() -> None:
    value = {
        "a": [{"masterPassword": "x1"}],
        "containerDefinitions": '[{"apiKey": "x2"}]',
        "pin": {"token": 5},
    }
    masked = Masker().value(value)
    assert masked["a"] == [{"masterPassword": SECRET}]
    assert json.loads(masked["containerDefinitions"]) == [{"apiKey": SECRET}]
    assert masked["pin"] == {"token": SECRET}


def test_a_variable_is_judged_by_its_own_name() -> None:
    variables = [{"name": "DB_PASSWORD", "value": "x1"}, {"name": "LOG_LEVEL", "value": "debug"}]
    assert Masker().value(variables) == [
        {"name": "DB_PASSWORD", "value": SECRET},
        {"name": "LOG_LEVEL", "value": "debug"},
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("manageMasterUserPassword", True),
        ("skipCredentialsValidation", "true"),
        ("passwordLength", 24),
        ("secretArn", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:x"),
        ("kmsKeyId", "1234"),
        ("keyName", "id"),
        ("secretString", ""),
        ("", "value"),
    ],
)
def test_what_is_about_a_secret_and_none_stays_readable(name: str, value: Any) -> None:
    assert not names_a_secret(name, value)
    assert Masker().value({name: value}) == {name: value}


def test_a_short_secret_is_masked_as_a_whole_and_does_not_eat_other_words() -> None:
    masked = Masker(["on", "7"]).value({"mode": "on", "name": "production", "count": 7, "port": 70})
    assert masked == {"mode": SECRET, "name": "production", "count": SECRET, "port": 70}


def test_the_longer_of_two_secrets_goes_first() -> None:
    assert Masker(["secretvalue", "secretvalue-and-more"]).text("secretvalue-and-more") == SECRET
    assert Masker(["abcd", "abcdefgh"]).text("x abcdefgh y") == f"x {SECRET} y"


def test_hashes_tell_secrets_apart_under_one_key_and_say_nothing_without_it() -> None:
    one, same, other = (Masker(["aaaa1", "bbbb2"], key) for key in (b"k", b"k", b"l"))
    assert one.text("aaaa1") == same.text("aaaa1") != one.text("bbbb2")
    assert one.text("aaaa1") != other.text("aaaa1")
    assert unkeyed(f"x {one.text('aaaa1')} y") == f"x {SECRET} y"


@given(st.text(min_size=4, max_size=30).filter(str.strip), st.text(max_size=30), st.text(max_size=30))
def test_no_text_shows_a_known_secret(secret: str, before: str, after: str) -> None:
    masked = Masker([secret]).text(before + secret + after)
    rest = masked.replace(SECRET, "\0")
    assert secret not in rest or secret in SECRET


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_masking_twice_changes_nothing_more(value: Any) -> None:
    masker = Masker(["needle"])
    once = masker.value(value)
    assert masker.value(once) == once

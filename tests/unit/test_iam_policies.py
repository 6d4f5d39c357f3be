"""The evaluator itself: one that says yes too easily would prove nothing."""

from typing import Any

import pytest

from tests.unit.iam_policies import judged, permitted

ROLE = "arn:aws:iam::123456789012:role"


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


@pytest.mark.parametrize(
    ("action", "resource", "asked", "of", "verdict"),
    [
        ("s3:Get*", "*", "s3:GetObject", "arn:x", "allow"),
        ("s3:get*", "*", "S3:GetObject", "arn:x", "allow"),
        ("s3:Get*", "*", "s3:PutObject", "arn:x", "nothing"),
        ("s3:Get", "*", "s3:GetObject", "arn:x", "nothing"),
        ("s3:GetObjec?", "*", "s3:GetObject", "arn:x", "allow"),
        (["s3:Put", "s3:Get*"], "*", "s3:GetObject", "arn:x", "allow"),
        ("*", f"{ROLE}/a/*", "iam:GetRole", f"{ROLE}/a/b/c", "allow"),
        ("*", f"{ROLE}/a/*", "iam:GetRole", f"{ROLE}/A/b", "nothing"),
        ("*", f"{ROLE}/a/*", "iam:GetRole", f"{ROLE}/a", "nothing"),
        ("*", f"{ROLE}/[ab]", "iam:GetRole", f"{ROLE}/a", "nothing"),
        ("*", "*", "iam:GetRole", f"{ROLE}/a\nb", "allow"),
    ],
)
def test_actions_match_in_any_case_and_resources_letter_by_letter(
    action: Any, resource: str, asked: str, of: str, verdict: str
) -> None:
    assert judged([allow(action, resource)], asked, of, {}) == verdict


def test_a_denial_wins_and_nothing_is_allowed_by_itself() -> None:
    denial = {"Effect": "Deny", "Action": "iam:*", "NotResource": f"{ROLE}/mine/*"}
    assert judged([], "iam:GetRole", f"{ROLE}/a", {}) == "nothing"
    assert judged([allow("*"), denial], "iam:GetRole", f"{ROLE}/a", {}) == "deny"
    assert judged([denial, allow("*")], "iam:GetRole", f"{ROLE}/mine/a", {}) == "allow"


def test_a_condition_needs_each_of_its_keys_with_one_of_its_values() -> None:
    found = [allow("*", Condition={"StringEquals": {"aws:a": ["1", "2"], "aws:b": "3"}})]
    assert judged(found, "x:Y", "*", {"aws:a": "2", "aws:b": "3"}) == "allow"
    for context in ({}, {"aws:a": "2"}, {"aws:a": "3", "aws:b": "3"}, {"aws:a": "2", "aws:b": ""}):
        assert judged(found, "x:Y", "*", context) == "nothing", context


def test_an_operator_that_it_does_not_know_is_no_condition_that_is_met() -> None:
    with pytest.raises(AssertionError, match="does not know ArnLike"):
        judged([allow("*", Condition={"ArnLike": {"a": "b"}})], "x:Y", "*", {})


def test_a_boundary_and_the_policies_both_have_to_allow_it() -> None:
    assert permitted([[allow("s3:*")], [allow("*")]], "s3:GetObject", "arn:x")
    assert not permitted([[allow("s3:*")], [allow("iam:*")]], "s3:GetObject", "arn:x")
    assert not permitted([[], [allow("*")]], "s3:GetObject", "arn:x")

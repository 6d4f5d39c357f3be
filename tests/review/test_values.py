"""Where nested values differ, and what is only spelled another way."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from review.values import ABSENT, UNKNOWN, as_text, at, canonical, differences, parse, spelled, with_unknowns

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def found(before: Any, after: Any) -> dict[str, tuple[Any, Any]]:
    return {spelled(path): (was, now) for path, was, now in differences(before, after)}


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("a", ("a",)),
        ("a.b[0].c", ("a", "b", 0, "c")),
        ('tags["my.tag"]', ("tags", "my.tag")),
        ("actions[*].weight", ("actions", "*", "weight")),
        ('a["q\\"t"].b', ("a", 'q"t', "b")),
    ],
)
def test_a_path_is_taken_apart(text: str, steps: tuple[Any, ...]) -> None:
    assert parse(text) == steps


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\\"), min_size=1, max_size=6) | st.integers(0, 99),
        min_size=1,
    )
)
def test_a_spelled_path_leads_back(steps: list[Any]) -> None:
    assert parse(spelled(tuple(steps))) == tuple(steps)


def test_only_what_differs_is_told_with_where_it_is() -> None:
    assert found({"a": 1, "b": {"c": [1, {"d": 2}]}}, {"a": 1, "b": {"c": [1, {"d": 3}]}}) == {
        "b.c[1].d": (2, 3)
    }


def test_a_document_within_text_is_looked_into() -> None:
    before = json.dumps([{"name": "api", "environment": [{"name": "LEVEL", "value": "debug"}]}])
    assert found({"doc": before}, {"doc": before.replace("debug", "info")}) == {
        "doc.api.environment.LEVEL.value": ("debug", "info")
    }


def test_an_entry_with_a_name_is_followed_to_its_new_place() -> None:
    before = [{"name": "a", "v": 1}, {"name": "b", "v": 2}]
    after = [{"name": "new", "v": 0}, {"name": "a", "v": 1}, {"name": "b", "v": 3}]
    assert found(before, after) == {"new": (ABSENT, {"name": "new", "v": 0}), "b.v": (2, 3)}


def test_target_groups_go_by_their_own_name() -> None:
    group = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/api-blue/0123"
    assert found([{"arn": group, "weight": 100}], [{"arn": group, "weight": 0}]) == {
        "api-blue.weight": (100, 0)
    }


def test_of_a_plain_list_only_what_came_and_went_is_told() -> None:
    assert found({"l": ["a", "b", "c"]}, {"l": ["a", "c", "d"]}) == {"l": (["b"], ["d"])}
    assert found({"l": ["a", "b"]}, {"l": ["b", "a"]}) == {"l": (["a", "b"], ["b", "a"])}, "order may matter"


def test_true_and_one_differ() -> None:
    assert found({"a": True}, {"a": 1}) == {"a": (True, 1)}


@given(VALUES, VALUES)
def test_equal_values_have_no_difference_and_others_have_one(one: Any, other: Any) -> None:
    assert list(differences(one, one)) == []
    if canonical(one) != canonical(other):
        assert list(differences(one, other))


@pytest.mark.parametrize(
    ("declared", "reported"),
    [
        (60, "60"),
        (["b", "a"], ["a", "b"]),
        ('{"b": 1, "a": [2]}', '{"a":[2],"b":1}'),
        ({"a": 1}, {"a": 1, "b": [], "c": "", "d": None, "e": {}}),
        ({"protocol": "tcp"}, {"protocol": "6"}),
        (True, "true"),
    ],
)
def test_another_spelling_is_no_drift(declared: Any, reported: Any) -> None:
    assert canonical(declared) == canonical(reported)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0, 100),
        (["a"], ["a", "b"]),
        ({"protocol": "tcp"}, {"protocol": "17"}),
        (False, True),
        ("a", "b"),
        (0, None),
    ],
)
def test_another_value_is_drift(one: Any, other: Any) -> None:
    assert canonical({"x": one}) != canonical({"x": other})


def test_what_is_not_known_yet_is_said_in_words() -> None:
    unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    assert with_unknowns({"a": [unknown], "b": f"arn:{unknown}/x"}) == {
        "a": [UNKNOWN],
        "b": f"arn:{UNKNOWN}/x",
    }


def test_a_value_is_looked_up_by_its_path() -> None:
    assert at({"a": [{"b": None}]}, ("a", 0, "b")) is None
    assert at({"a": [{"b": None}]}, ("a", 1, "b")) is ABSENT
    assert as_text(at({}, ("a",))) is None

"""What a rule is written with when something beside its weights changes: a pure function."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.blue_green import carry_live_weights

Actions = list[dict[str, Any]]
OFF = {"enabled": False, "duration": 3600}
WEIGHT = st.integers(min_value=0, max_value=999)


def action(groups: Sequence[tuple[str, float]], sticky_seconds: int | None = None) -> Actions:
    forward: dict[str, Any] = {"targetGroups": [{"arn": arn, "weight": weight} for arn, weight in groups]}
    if sticky_seconds is not None:
        forward["stickiness"] = {"enabled": True, "duration": sticky_seconds}
    return [{"type": "forward", "forward": forward}]


def weights(actions: Sequence[Mapping[str, Any]] | None) -> list[tuple[str, int]]:
    assert actions is not None, "nothing was carried"
    return [
        (group["arn"], group["weight"]) for entry in actions for group in entry["forward"]["targetGroups"]
    ]


START = [("blue", 100), ("green", 0)]
LIVE = [("blue", 5), ("green", 95)]


@pytest.mark.parametrize("sticky_seconds", [None, 60])
def test_nothing_is_carried_where_nothing_but_weights_differs(sticky_seconds: int | None) -> None:
    assert carry_live_weights(action(START, sticky_seconds), action(LIVE, sticky_seconds)) is None


def test_stickiness_that_is_off_is_no_stickiness_whatever_its_duration() -> None:
    live = action(LIVE)
    live[0]["forward"]["stickiness"] = OFF
    assert carry_live_weights(action(START), live) is None


def test_what_aws_adds_to_an_action_is_no_difference() -> None:
    live = [{**action(LIVE)[0], "order": 1, "redirect": None, "fixedResponse": None}]
    assert carry_live_weights(action(START), live) is None


def test_the_order_in_which_aws_lists_the_groups_is_no_difference() -> None:
    assert carry_live_weights(action(START), action(LIVE[::-1])) is None


@pytest.mark.parametrize(
    ("wanted", "there"),
    [(60, None), (None, 60), (60, 120), (120, 60)],
    ids=["turned on", "turned off", "shorter", "longer"],
)
@pytest.mark.parametrize("live", [LIVE, LIVE[::-1]], ids=["same order", "other order"])
def test_a_change_of_stickiness_is_written_with_the_live_weights(
    wanted: int | None, there: int | None, live: list[tuple[str, float]]
) -> None:
    assert carry_live_weights(action(START, wanted), action(live, there)) == action(LIVE, wanted), (
        "the stickiness is the wanted one, the weights are the live ones, each with its own group"
    )


def test_weights_are_whole_numbers_though_the_wire_knows_only_fractions() -> None:
    carried = carry_live_weights(action([("blue", 100.0), ("green", 0.0)], 60), action([("blue", 7.0)]))
    assert repr(weights(carried)) == "[('blue', 7), ('green', 0)]"


@pytest.mark.parametrize(
    ("wanted", "carried"),
    [
        ([("new", 100), ("green", 0)], [("new", 5), ("green", 95)]),
        ([("blue", 100), ("new", 0)], [("blue", 5), ("new", 95)]),
        ([("new-blue", 100), ("new-green", 0)], [("new-blue", 5), ("new-green", 95)]),
    ],
    ids=["blue", "green", "both"],
)
def test_a_replaced_group_takes_the_weight_of_the_one_in_its_place(
    wanted: list[tuple[str, float]], carried: list[tuple[str, int]]
) -> None:
    assert weights(carry_live_weights(action(wanted), action(LIVE))) == carried


def test_a_replaced_group_takes_the_weight_of_the_one_that_went_in_whatever_order_aws_lists_them() -> None:
    live = action(LIVE[::-1])
    assert weights(carry_live_weights(action([("new", 100), ("green", 0)]), live)) == [
        ("new", 5),
        ("green", 95),
    ]


def test_a_group_that_is_added_starts_with_the_weight_it_was_given() -> None:
    wanted = action([("blue", 100), ("green", 3)])
    assert weights(carry_live_weights(wanted, action([("blue", 40)]))) == [("blue", 40), ("green", 3)]


@pytest.mark.parametrize(
    "live",
    [
        [],
        [{"type": "fixed-response", "fixedResponse": {"statusCode": "503"}}],
        [{"type": "forward"}],
        [{"type": "forward", "forward": None}],
        [{"type": "forward", "forward": {"targetGroups": None}}],
    ],
    ids=["no action", "fixed response", "no forward", "null forward", "null groups"],
)
def test_a_live_rule_that_forwards_nowhere_has_no_weights_to_carry(live: Actions) -> None:
    assert carry_live_weights(action(START), live) is None


def test_neither_side_is_changed() -> None:
    wanted, live = action(START, 60), action(LIVE)
    carry_live_weights(wanted, live)
    assert wanted == action(START, 60)
    assert live == action(LIVE)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), names=st.lists(st.text(min_size=1), min_size=1, max_size=5, unique=True))
def test_every_group_keeps_its_live_weight_so_no_request_moves(data: st.DataObject, names: list[str]) -> None:
    wanted = [(name, data.draw(WEIGHT)) for name in names]
    live = {name: data.draw(WEIGHT) for name in data.draw(st.permutations(names))}
    sticky, was_sticky = data.draw(
        st.sampled_from([(60, None), (None, 60), (60, 61)]), label="stickiness, wanted and live"
    )
    carried = carry_live_weights(action(wanted, sticky), action(list(live.items()), was_sticky))
    assert carried == action([(name, live[name]) for name in names], sticky)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), names=st.lists(st.text(min_size=1), min_size=2, max_size=5, unique=True))
def test_the_total_is_kept_when_groups_are_replaced(data: st.DataObject, names: list[str]) -> None:
    replaced = data.draw(st.sets(st.sampled_from(names), min_size=1))
    live = [(name, data.draw(WEIGHT)) for name in names]
    wanted = [((name, "new") if name in replaced else name, 0) for name in names]
    actions: Any = action(wanted)  # type: ignore[arg-type]  # a tuple is no name of the live rule
    carried = weights(carry_live_weights(actions, action(live)))
    assert [weight for _, weight in carried] == [weight for _, weight in live]


@settings(max_examples=200, deadline=None)
@given(data=st.data(), names=st.lists(st.text(min_size=1), min_size=1, max_size=5, unique=True))
def test_a_rule_is_left_alone_exactly_when_its_shape_is_the_live_one(
    data: st.DataObject, names: list[str]
) -> None:
    sides = [
        (data.draw(st.sets(st.sampled_from(names), min_size=1)), data.draw(st.sampled_from([None, 60, 61])))
        for _ in range(2)
    ]
    (wanted, sticky), (live, was_sticky) = sides
    carried = carry_live_weights(
        action([(name, 1) for name in sorted(wanted)], sticky),
        action([(name, 2) for name in sorted(live)], was_sticky),
    )
    assert (carried is None) == (sides[0] == sides[1])

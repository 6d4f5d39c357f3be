"""What was changed outside the program, and nothing else."""

from review.events import read
from review.masking import Masker
from tests.review.events import SERVICE, ended, recorded, step

RULE = "aws:lb/listenerRule:ListenerRule"


def refreshed(type_: str, old: dict[str, object], new: dict[str, object] | None) -> list[tuple[object, ...]]:
    events = [step("refresh", type_, "it", old, new, event="resOutputsEvent"), ended()]
    return [
        (drift.writer, drift.gone, [(each.path, each.before, each.after) for each in drift.properties])
        for drift in read(events, Masker()).drift
    ]


def test_of_a_real_refresh_only_what_was_moved_by_hand_is_told() -> None:
    drift = {each.name: each for each in read(recorded("weight-shift"), Masker()).drift}
    assert set(drift) == {"api-production", "monitoring-api"}, "AWS spells much another way; that is no drift"
    rule, log = drift["api-production"], drift["monitoring-api"]
    assert [(each.path, each.before, each.after) for each in rule.properties] == [
        ("actions[0].forward.targetGroups.api-blue-f7c9c34.weight", "100", "0"),
        ("actions[0].forward.targetGroups.api-green-7316198.weight", "0", "100"),
    ]
    assert (rule.writer, rule.undone) == ("the release engine", False)
    assert [(each.path, each.before, each.after) for each in log.properties] == [
        ("retentionInDays", "7", "1")
    ]
    assert (log.writer, log.undone) == (None, True)


def test_a_weight_is_the_release_engines_and_the_action_beside_it_is_not() -> None:
    def action(weight: int, kind: str) -> dict[str, object]:
        return {"actions": [{"type": kind, "forward": {"targetGroups": [{"weight": weight}]}}]}

    assert refreshed(RULE, action(100, "forward"), action(0, "redirect")) == [
        (None, False, [("actions[0].type", "forward", "redirect")]),
        ("the release engine", False, [("actions[0].forward.targetGroups[0].weight", "100", "0")]),
    ]


def test_a_weight_elsewhere_is_nobodys_business_but_the_programs() -> None:
    assert refreshed(SERVICE, {"weight": 1}, {"weight": 2}) == [(None, False, [("weight", "1", "2")])]


def test_a_desired_count_is_autoscalings() -> None:
    (found,) = refreshed(SERVICE, {"desiredCount": 1}, {"desiredCount": 3})
    assert found[0] == "autoscaling or the release engine"


def test_what_is_gone_is_told() -> None:
    assert refreshed(SERVICE, {"a": 1}, None) == [(None, True, [])]


def test_what_was_added_by_hand_is_told() -> None:
    assert refreshed(SERVICE, {}, {"tags": {"by": "hand"}}) == [
        (None, False, [("tags", None, '{"by": "hand"}')])
    ]

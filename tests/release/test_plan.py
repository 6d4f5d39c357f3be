"""What a request comes to: steps, times, notes, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release.errors import Refused
from release.model import Contract, Phase, Release, ServiceChange, Step, Strategy
from release.plan import Plan, Policy, Request, below_floor, change, check, live_colour, make, steps
from release.ports import ColourState, GateResult
from tests.release.samples import a_change, a_release
from tests.release.world import World, gate, image, policy

FINE = [gate("account")]


def a_policy(*services: str, **values: Any) -> Policy:
    return policy(World(*services), **values)


def a_request(version: str = "v2", *, services: tuple[str, ...] = ("api",), **values: Any) -> Request:
    images = {service: image(version, service) for service in services}
    return Request(**{"kind": "full", "images": images, "actor": "ann", **values})


def a_plan(
    request: Request | None = None, *changes: ServiceChange, gates: list[GateResult] | None = None
) -> Plan:
    return make(
        request or a_request(), a_policy(), changes or (a_change(),), FINE if gates is None else gates
    )


def shares(plan_steps: tuple[Step, ...]) -> list[tuple[int, int]]:
    return [(step.percent, step.wait_seconds) for step in plan_steps]


def test_all_at_once_is_one_step() -> None:
    assert shares(steps("all-at-once", 10, 60)) == [(100, 0)]


def test_a_canary_takes_one_step_and_then_all_the_rest() -> None:
    assert shares(steps("canary", 10, 60)) == [(10, 60), (100, 0)]


def test_linear_takes_equal_steps() -> None:
    assert shares(steps("linear", 30, 60)) == [(30, 60), (60, 60), (90, 60), (100, 0)]
    assert shares(steps("linear", 50, 5)) == [(50, 5), (100, 0)]


@given(st.sampled_from(["all-at-once", "linear", "canary"]), st.integers(1, 100), st.integers(0, 86400))
def test_steps_grow_and_end_with_everything(strategy: Strategy, percent: int, every: int) -> None:
    taken = [step.percent for step in steps(strategy, percent, every)]
    assert taken == sorted(set(taken))
    assert taken[-1] == 100
    assert taken[0] > 0


@pytest.mark.parametrize("percent", [0, -5, 101])
def test_a_share_that_is_none_is_refused(percent: int) -> None:
    with pytest.raises(Refused, match=f"a step of {percent} percent: give 1 to 100"):
        steps("canary", percent, 60)


def test_the_minimum_time_is_every_watch_and_the_bake() -> None:
    request = a_request(strategy="linear", step_percent=25, every_seconds=40, bake_seconds=100)
    assert a_plan(request).minimum_seconds == 3 * 40 + 100


def test_the_way_back_takes_a_poll_and_one_round() -> None:
    assert a_plan().rollback_seconds == 10


@pytest.mark.parametrize("kind", ["hotfix", "emergency"])
def test_a_hotfix_bakes_for_a_tenth_unless_the_settings_say_how_long(kind: Any) -> None:
    request = a_request(kind=kind)
    assert make(request, a_policy(), [a_change()], FINE).bake_seconds == 30
    assert make(request, a_policy(hotfix_bake_seconds=7), [a_change()], FINE).bake_seconds == 7
    asked = a_request(kind=kind, bake_seconds=99)
    assert make(asked, a_policy(hotfix_bake_seconds=7), [a_change()], FINE).bake_seconds == 99


def test_a_warm_redeploy_skips_steps_and_analysis_and_says_so() -> None:
    plan = a_plan(a_request(), a_change(warm=True))
    assert shares(plan.steps) == [(100, 0)]
    assert not plan.analysed
    assert any("already, healthy and at full scale" in note for note in plan.notes)


def test_one_cold_service_is_enough_to_take_the_steps() -> None:
    plan = make(
        a_request(services=("api", "web")),
        a_policy("api", "web"),
        [a_change(warm=True), a_change("web")],
        FINE,
    )
    assert len(plan.steps) == 2
    assert plan.analysed


def test_a_first_release_says_that_there_is_no_way_back() -> None:
    plan = a_plan(a_request(), a_change(first=True, previous_image=None))
    assert shares(plan.steps) == [(100, 0)]
    assert plan.rollback_seconds is None
    assert "nothing to compare it with and nothing to go back to" in plan.notes[0]


def test_a_rollback_after_the_fact_is_not_held_for_an_approval() -> None:
    held = a_policy(approval=True)
    assert make(a_request(), held, [a_change()], FINE).approval
    assert not make(a_request(returns_to=1), held, [a_change()], FINE).approval


def test_a_failing_gate_refuses_with_its_reason() -> None:
    plan = a_plan(gates=[gate("account"), gate("backups", passed=False, reason="none for 30 h")])
    assert plan.refusals == ("backups: none for 30 h (an emergency may override it)",)


def test_no_gate_at_all_is_no_pass() -> None:
    assert a_plan(gates=[]).refusals == ("no gate was evaluated at all: that counts as none passed",)


def test_an_emergency_overrides_one_by_one() -> None:
    gates = [gate("alarms", passed=False), gate("backups", passed=False), gate("change")]
    reasons = {"alarms": "it's the fix", "change": "none yet"}
    plan = a_plan(a_request(kind="emergency", overrides=reasons), gates=gates)
    assert plan.used_overrides == {"alarms": "it's the fix"}, "a gate that passed needs none"
    assert [refusal.split(":")[0] for refusal in plan.refusals] == ["backups"]


def test_a_gate_that_may_not_be_overridden_is_not() -> None:
    gates = [gate("account", passed=False, reason="this is account 2")]
    plan = a_plan(a_request(kind="emergency", overrides={"account": "please"}), gates=gates)
    assert plan.refusals == ("account: this is account 2",)


def test_an_override_of_no_gate_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(Refused, match="override of alarm: the gates are account"):
        a_plan(a_request(kind="emergency", overrides={"alarm": "typing"}))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (a_request(services=("api",)), "a full release without web"),
        (a_request(services=("api", "web", "db")), "no service db: this stack has api, web"),
        (a_request(kind="partial", services=()), "nothing to release"),
        (a_request(kind="partial", overrides={"a": "b"}), "only an emergency release overrides"),
        (a_request(kind="emergency", services=("api",), overrides={"a": " "}), "without a reason"),
        (a_request(kind="partial", actor=" "), "nobody is named"),
        (Request(kind="partial", images={"api": "shop/api:v2"}, actor="ann"), "is no digest"),
    ],
)
def test_what_can_not_be_asked_is_refused(request_: Request, message: str) -> None:
    with pytest.raises(Refused, match=message):
        check(request_, a_policy("api", "web"))


def test_split_weights_are_no_begin() -> None:
    with pytest.raises(Refused, match="the production weights of api are blue 90 and green 10"):
        live_colour("api", {"blue": 90, "green": 10})
    with pytest.raises(Refused, match="blue 0 and green 0"):
        live_colour("api", {"blue": 0, "green": 0})


def state(desired: int, healthy: int, rollout_failed: str | None = None) -> ColourState:
    return ColourState(
        desired=desired, running=desired, healthy=healthy, unhealthy=0, rollout_failed=rollout_failed
    )


@pytest.mark.parametrize(
    ("idle_image", "idle", "warm"),
    [
        ("v1", state(4, 4), True),
        ("v1", state(4, 3), False),
        ("v1", state(0, 0), False),
        ("v0", state(4, 4), False),
        ("v1", state(4, 4, "gave up"), False),
    ],
)
def test_warm_is_the_same_image_at_full_scale_and_healthy(
    idle_image: str, idle: ColourState, warm: bool
) -> None:
    made = change(
        "api",
        image("v1"),
        {"blue": 0, "green": 100},
        {"blue": image(idle_image), "green": image("v2")},
        {"blue": idle, "green": state(4, 4)},
        minimum=2,
    )
    assert (made.new, made.old, made.warm) == ("blue", "green", warm)


def test_an_unreleased_service_has_a_first_release_and_is_never_warm() -> None:
    made = change(
        "api", image("v1"), {"blue": 100, "green": 0}, {}, {"blue": state(0, 0), "green": state(0, 0)}, 2
    )
    assert made.first
    assert not made.warm
    assert made.previous_image is None


def test_a_plan_is_plain_data() -> None:
    plain = a_plan().as_dict()
    assert plain["changes"][0]["service"] == "api"
    assert plain["refusals"] == []
    assert plain["steps"][0] == {"percent": 10, "wait_seconds": 60}


def past(number: int, version: str, **values: Any) -> Release:
    made = a_change(image=image(version), **values)
    return a_release(number=number, phase=Phase.COMPLETED, changes=(made,))


def test_a_version_that_knows_the_floor_may_come_back() -> None:
    one = past(1, "v1", schema="r2", revisions=("r1", "r2"))
    two = past(2, "v2", schema="r3", revisions=("r3",), floor="r2")
    assert below_floor([two, one], "api", one) is None


def test_a_version_below_the_floor_may_not_come_back() -> None:
    one = past(1, "v1", schema="r2", revisions=("r1", "r2"))
    two = past(2, "v2", schema="r3", revisions=("r3",))
    three = past(3, "v3", schema="r4", revisions=("r4",), floor="r3", contract=Contract.DONE)
    assert below_floor([three, two, one], "api", two) is None
    why = below_floor([three, two, one], "api", one)
    assert why is not None
    assert "floor of r3 (contracted)" in why
    assert "release prod-1 knows r2" in why


def test_a_version_that_nobody_knows_the_schema_of_may_not_come_back_over_a_floor() -> None:
    one = past(1, "v1", schema=None)
    two = past(2, "v2", schema="r3", revisions=("r3",), floor="r3")
    assert "no revision on record" in (below_floor([two, one], "api", one) or "")

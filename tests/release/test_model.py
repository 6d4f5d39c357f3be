"""Transitions: for each phase and event the next release, or a refusal with its reason."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from release.errors import ReleaseError
from release.model import Contract, Hold, Phase, Release, expected, weights_at
from release.transitions import (
    _RULES,
    ContractBegins,
    Contracted,
    Event,
    Failed,
    Held,
    IllegalTransition,
    Intend,
    Interrupted,
    Left,
    Migrated,
    Noted,
    Proceed,
    Released,
    RolledBack,
    Shifted,
    TakenUp,
    TrafficBack,
    Watched,
    advance,
)
from tests.release.samples import a_change, a_release
from tests.release.world import START

LATER = START + timedelta(minutes=5)


def proceed(release: Release) -> Release:
    return advance(release, Proceed(at=LATER, reason="done"))


def fail(release: Release, reason: str = "errors") -> Release:
    return advance(release, Failed(at=LATER, reason=reason))


def shifted(release: Release) -> Release:
    intended = advance(release, Intend(at=LATER, reason="next"))
    return advance(intended, Shifted(at=LATER, reason="seen"))


def every_event() -> list[Event]:
    common: dict[str, Any] = {"at": LATER, "reason": "because"}
    return [
        Proceed(**common),
        Migrated(**common, service="api"),
        ContractBegins(**common, service="api"),
        Contracted(**common, service="api"),
        Intend(**common),
        Shifted(**common),
        Watched(**common),
        Held(**common, hold=Hold.PERSON),
        Released(**common, by="bob"),
        Failed(**common),
        TrafficBack(**common),
        RolledBack(**common),
        Left(**common),
        Interrupted(**common),
        TakenUp(**common, token=9),
        Noted(**common),
    ]


def test_the_phases_follow_each_other_in_the_order_of_the_design() -> None:
    release, seen = a_release(), []
    while not release.phase.is_terminal:
        seen.append(release.phase.value)
        if release.phase is Phase.MIGRATING:
            release = advance(release, Migrated(at=LATER, reason="none", service="api"))
        if release.phase is Phase.SHIFTING:
            release = shifted(release)
            release = shifted(advance(release, Watched(at=LATER, reason="quiet")))
        release = proceed(release)
    assert [*seen, release.phase.value] == [
        "PLANNED",
        "PREPARING",
        "MIGRATING",
        "SCALING",
        "VERIFYING",
        "SHIFTING",
        "BAKING",
        "RETIRING",
        "COMPLETED",
    ]


def test_a_contract_migration_is_between_the_bake_and_the_end_of_the_old_colour() -> None:
    change = a_change(contract=Contract.PENDING)
    release = proceed(a_release(phase=Phase.BAKING, changes=(change,), possible=(100,)))
    assert release.phase is Phase.CONTRACTING
    with pytest.raises(IllegalTransition, match="a contract migration is left"):
        proceed(release)
    begun = advance(release, ContractBegins(at=LATER, reason="begins", service="api"))
    done = advance(begun, Contracted(at=LATER, reason="done", service="api", floor="r7"))
    assert proceed(done).phase is Phase.RETIRING
    assert done.change_of("api").floor == "r7"


@pytest.mark.parametrize("event", every_event(), ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("phase", [Phase.COMPLETED, Phase.ROLLED_BACK, Phase.NEEDS_PERSON])
def test_nothing_happens_to_a_release_that_is_over(phase: Phase, event: Event) -> None:
    with pytest.raises(IllegalTransition, match="is over"):
        advance(a_release(phase=phase), event)


def advanced(release: Release, event: Event) -> Release | IllegalTransition:
    try:
        return advance(release, event)
    except IllegalTransition as refused:
        return refused


@pytest.mark.parametrize("event", every_event(), ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("phase", Phase)
def test_every_event_in_every_phase_gives_a_release_or_a_refusal(phase: Phase, event: Event) -> None:
    for held in (None, Hold.TRAFFIC, Hold.PERSON):
        for possible in ((0,), (10,), (10, 100), (100,), (10, 0)):
            release = a_release(phase=phase, held=held, possible=possible, step=1)
            following = advanced(release, event)
            if isinstance(following, ReleaseError):
                assert "prod-1" in str(following)
            else:
                assert following.reason == "because"
                assert following.updated_at == LATER
                assert set(following.possible) <= {0, 10, 100}


def test_each_event_has_a_rule() -> None:
    assert {type(event) for event in every_event()} == set(_RULES)


def test_an_event_of_another_phase_is_refused_with_both_named() -> None:
    with pytest.raises(IllegalTransition, match="in SCALING, Shifted: that belongs to SHIFTING"):
        advance(a_release(phase=Phase.SCALING), Shifted(at=LATER, reason="?"))


def test_a_held_release_goes_on_only_after_its_release() -> None:
    held = advance(
        a_release(phase=Phase.SHIFTING, step=1, possible=(10,)),
        Held(at=LATER, reason="too few requests", hold=Hold.TRAFFIC),
    )
    with pytest.raises(IllegalTransition, match="it is held: traffic"):
        advance(held, Watched(at=LATER, reason="quiet"))
    free = advance(held, Released(at=LATER, reason="approved", by="bob"))
    assert free.held is None
    assert Hold.TRAFFIC in free.passed


def test_an_approval_of_too_little_traffic_is_for_one_step_only() -> None:
    release = a_release(phase=Phase.SHIFTING, step=1, possible=(10,), passed=frozenset({Hold.TRAFFIC}))
    following = shifted(advance(release, Watched(at=LATER, reason="approved")))
    assert Hold.TRAFFIC not in following.passed


def test_a_hold_that_ends_by_itself_approves_of_nothing() -> None:
    held = a_release(phase=Phase.SHIFTING, step=1, possible=(10,), held=Hold.FREEZE)
    free = advance(held, Released(at=LATER, reason="the freeze is over"))
    assert free.passed == frozenset()
    assert free.approved_by is None


def test_a_step_needs_the_watch_of_the_one_before() -> None:
    with pytest.raises(IllegalTransition, match="still being watched"):
        advance(a_release(phase=Phase.SHIFTING, step=1, possible=(10,)), Intend(at=LATER, reason="too early"))


def test_no_traffic_without_the_approval_that_is_wanted() -> None:
    release = a_release(phase=Phase.SHIFTING, approval=True)
    with pytest.raises(IllegalTransition, match="nobody has approved"):
        advance(release, Intend(at=LATER, reason="first step"))
    held = advance(release, Held(at=LATER, reason="wanted", hold=Hold.APPROVAL))
    approved = advance(held, Released(at=LATER, reason="approved", by="bob"))
    assert approved.approved_by == "bob"
    assert advance(approved, Intend(at=LATER, reason="first step")).target == 10


def test_between_an_intent_and_its_sight_either_weight_may_be_live() -> None:
    release = a_release(phase=Phase.SHIFTING, step=1, possible=(10,), watched=True)
    intended = advance(release, Intend(at=LATER, reason="all"))
    change = intended.changes[0]
    assert expected(intended, change) == ({"blue": 90, "green": 10}, {"blue": 0, "green": 100})
    seen = advance(intended, Shifted(at=LATER, reason="seen"))
    assert expected(seen, change) == ({"blue": 0, "green": 100},)


def test_a_failure_while_weights_are_written_knows_all_that_may_be_live() -> None:
    failed = fail(a_release(phase=Phase.SHIFTING, step=1, possible=(10, 100)))
    assert failed.phase is Phase.ROLLING_BACK
    assert failed.possible == (10, 100, 0)
    assert failed.cause == "errors"


@pytest.mark.parametrize(
    "phase", [Phase.PLANNED, Phase.PREPARING, Phase.MIGRATING, Phase.SCALING, Phase.VERIFYING]
)
def test_a_failure_before_any_traffic_has_no_traffic_to_bring_back(phase: Phase) -> None:
    failed = fail(a_release(phase=phase))
    assert failed.confirmed
    assert advance(failed, RolledBack(at=LATER, reason="back")).phase is Phase.ROLLED_BACK


def test_a_release_is_not_rolled_back_before_its_traffic_is() -> None:
    failed = fail(a_release(phase=Phase.BAKING, possible=(100,)))
    with pytest.raises(IllegalTransition, match="the traffic is not back yet"):
        advance(failed, RolledBack(at=LATER, reason="back"))
    back = advance(failed, TrafficBack(at=LATER, reason="seen"))
    assert advance(back, RolledBack(at=LATER, reason="back")).phase is Phase.ROLLED_BACK


def test_the_first_cause_of_a_way_back_is_the_one_that_is_kept() -> None:
    failed = fail(a_release(phase=Phase.BAKING, possible=(100,)), "errors")
    again = fail(failed, "aborted by bob")
    assert again.cause == "errors"
    assert again.phase is Phase.ROLLING_BACK


@pytest.mark.parametrize("contract", [Contract.BEGUN, Contract.DONE])
def test_there_is_no_way_back_below_the_floor(contract: Contract) -> None:
    change = a_change(contract=contract)
    failed = fail(a_release(phase=Phase.CONTRACTING, changes=(change,), possible=(100,)))
    assert failed.phase is Phase.CONTRACTING
    assert failed.held is Hold.PERSON
    assert "no way back: the schema of api has been contracted" in failed.reason


def test_a_contract_that_was_not_begun_leaves_the_way_back_open() -> None:
    change = a_change(contract=Contract.PENDING)
    failed = fail(a_release(phase=Phase.CONTRACTING, changes=(change,), possible=(100,)))
    assert failed.phase is Phase.ROLLING_BACK


def test_what_had_nothing_to_go_back_to_needs_a_person() -> None:
    failed = fail(a_release(phase=Phase.BAKING, possible=(100,), changes=(a_change(first=True),)))
    back = advance(failed, TrafficBack(at=LATER, reason="none to move"))
    ended = advance(back, RolledBack(at=LATER, reason="api keeps it", stuck=("api",)))
    assert ended.phase is Phase.NEEDS_PERSON


def test_only_a_person_may_hold_a_way_back() -> None:
    back = a_release(phase=Phase.ROLLING_BACK, possible=(10, 0))
    with pytest.raises(IllegalTransition, match="may hold a way back"):
        advance(back, Held(at=LATER, reason="a freeze", hold=Hold.FREEZE))
    assert advance(back, Held(at=LATER, reason="look", hold=Hold.PERSON)).held is Hold.PERSON


def test_a_process_that_takes_up_has_a_higher_token_and_watches_anew() -> None:
    release = a_release(phase=Phase.BAKING, possible=(100,), token=3)
    with pytest.raises(IllegalTransition, match="token 3 is not above 3"):
        advance(release, TakenUp(at=LATER, reason="again", token=3))
    taken = advance(release, TakenUp(at=LATER, reason="again", token=4))
    assert (taken.token, taken.since) == (4, LATER)


def test_a_first_release_has_all_of_the_traffic_or_none() -> None:
    first = a_change(first=True)
    assert weights_at(first, 10) == {"blue": 0, "green": 100}
    assert weights_at(first, 0) == {"blue": 100, "green": 0}
    assert weights_at(a_change(), 10) == {"blue": 90, "green": 10}


def test_an_unknown_service_is_no_part_of_the_release() -> None:
    with pytest.raises(IllegalTransition, match="does not change web"):
        advance(a_release(phase=Phase.MIGRATING), Migrated(at=LATER, reason="?", service="web"))


def test_a_release_is_migrated_only_when_every_service_is() -> None:
    both = a_release(phase=Phase.MIGRATING, changes=(a_change("api"), a_change("web")))
    one = advance(both, Migrated(at=LATER, reason="done", service="api"))
    with pytest.raises(IllegalTransition, match="not every service's schema"):
        proceed(one)
    assert (
        proceed(replace(one, changes=(one.changes[0], a_change("web", migrated=True)))).phase is Phase.SCALING
    )

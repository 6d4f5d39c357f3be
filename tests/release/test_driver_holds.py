"""Holds, other people's hands, and processes that end: what waits, for what, and how it goes on."""

import os
import signal
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from release.errors import NeedsPerson
from release.model import Hold, Phase
from release.ports import Outcome
from release.run import Ended, ExitCode
from release.signals import interruptible
from release.store import LEASE_SECONDS
from tests.release.company import Company
from tests.release.world import Killed, Version, image


def a_company(**policy: Any) -> Company:
    company = Company(**policy)
    company.world.running("v1")
    return company


def after(company: Company, seconds: float, happening: object) -> None:
    assert callable(happening)
    company.world.then.append((company.world.now + timedelta(seconds=seconds), happening))


def held(ended: Ended) -> Hold | None:
    assert ended.release is not None
    return ended.release.held


def test_too_little_traffic_holds_and_never_passes() -> None:
    company = a_company(hold_seconds=1000)
    company.world.enough_traffic = lambda: False
    ended = company.driver().start(company.request("v2"))
    assert (ended.code, held(ended)) == (ExitCode.NEEDS_PERSON, Hold.TRAFFIC)
    assert company.world.services["api"].production == {"blue": 90, "green": 10}
    assert "`approve` to go on without" in ended.reason


def test_a_held_release_goes_on_by_itself_once_there_is_enough_traffic() -> None:
    company = a_company()
    company.world.enough_traffic = lambda: company.world.now.minute >= 20
    assert company.driver().start(company.request("v2")).code is ExitCode.COMPLETED
    release, entries = company.shown(1)
    assert [entry.reason for entry in entries if entry.event == "Released"] == ["the judges can tell now"]
    assert release.approved_by is None


def test_an_update_that_was_cut_off_waits_for_a_person_and_goes_on_when_it_is_mended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    company = a_company()

    def cut_off(_: object) -> None:
        raise NeedsPerson("creating api-green is undecided; `switchyard recover`, then resume")

    with monkeypatch.context() as patches:
        patches.setattr(company.world, "apply", cut_off)
        ended = company.driver().start(company.request("v2"))
    assert (ended.code, held(ended)) == (ExitCode.NEEDS_PERSON, Hold.PERSON), "no failure of the version's"
    assert "`switchyard recover`, then resume" in ended.reason
    assert company.driver().resume("bob").code is ExitCode.COMPLETED


def test_an_approval_goes_on_without_enough_traffic_for_that_step_alone() -> None:
    company = a_company(strategy="linear", step_percent=50, hold_seconds=100)
    company.world.enough_traffic = lambda: False
    assert held(company.driver().start(company.request("v2"))) is Hold.TRAFFIC
    ended = company.driver().approve("bob")
    assert ended.code is ExitCode.COMPLETED, "the last step has the bake, in which nothing can be compared"
    company.policy = replace(company.policy, step_percent=30)
    assert held(company.driver().start(company.request("v3"))) is Hold.TRAFFIC
    again = company.driver().approve("bob")
    assert held(again) is Hold.TRAFFIC, "the second step waits again"


def test_an_own_check_without_an_opinion_holds_the_bake_too() -> None:
    company = a_company(hold_seconds=100)
    company.world.versions[image("v2")] = Version(opinion=Outcome.INSUFFICIENT)
    company.policy = replace(company.policy, strategy="all-at-once")
    ended = company.driver().start(company.request("v2"))
    assert ended.release is not None
    assert (ended.code, held(ended)) == (ExitCode.NEEDS_PERSON, Hold.TRAFFIC)
    assert (ended.release.phase, ended.release.target) == (Phase.BAKING, 100)
    assert "check burn-rate: no answer" in ended.reason
    company.world.versions[image("v2")] = Version(opinion=Outcome.PASS)
    assert company.driver().resume("bob").code is ExitCode.COMPLETED, "it was held for its opinion alone"


def test_a_held_release_with_traffic_is_watched_and_rolled_back() -> None:
    company = a_company()
    company.world.enough_traffic = lambda: False
    company.world.versions[image("v2")] = Version(alarm_after_seconds=600)
    ended = company.driver().start(company.request("v2"))
    assert ended.code is ExitCode.ROLLED_BACK
    assert company.world.live() == image("v1")


def test_a_slow_judge_does_not_keep_the_alarms_from_being_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("release.judges.PATIENCE_SECONDS", 0.01)
    company = a_company()
    answered = threading.Event()
    company.world.at_the_judges = lambda: assert_set(answered)
    company.world.versions[image("v2")] = Version(alarm_after_seconds=40)
    before = company.world.now
    ended = company.driver().start(company.request("v2"))
    answered.set()
    assert ended.code is ExitCode.ROLLED_BACK
    assert "alarm of api" in ended.reason
    assert company.world.now - before < timedelta(seconds=90)


def test_a_step_ends_with_a_word_about_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("release.judges.PATIENCE_SECONDS", 0.05)
    company = a_company(bake_seconds=0)
    answered = threading.Event()
    company.world.at_the_judges = lambda: assert_set(answered)
    after(company, 200, answered.set)
    assert company.driver().start(company.request("v2")).code is ExitCode.COMPLETED
    _, entries = company.shown(1)
    shifted = next(entry.at for entry in entries if entry.event == "Shifted")
    watched = next(entry.at for entry in entries if entry.event == "Watched")
    assert watched - shifted > timedelta(seconds=60), "the first word came late and was of the beginning"
    assert company.world.judged == 2


def assert_set(event: threading.Event) -> None:
    assert event.wait(timeout=30), "the judge was never let go"


def test_an_approval_from_elsewhere_reaches_the_process_that_waits() -> None:
    company = a_company()
    company.world.enough_traffic = lambda: False
    answers: list[Ended] = []
    after(company, 300, lambda: answers.append(company.driver().approve("bob")))
    ended = company.driver().start(company.request("v2"))
    assert ended.code is ExitCode.COMPLETED
    assert [answer.reason for answer in answers] == [
        "approved; the process that owns release prod-1 goes on with it"
    ]
    _, entries = company.shown(1)
    assert [entry.actor for entry in entries if entry.event == "Released"] == ["bob"]


def test_an_abort_from_elsewhere_reaches_the_process_that_is_at_work() -> None:
    company = a_company(bake_seconds=3600)
    store = company.store()

    def order() -> None:
        current = store.current()
        assert current is not None
        store.order("abort", current, "bob")

    after(company, 300, order)
    ended = company.driver().start(company.request("v2"))
    assert ended.code is ExitCode.ROLLED_BACK
    assert "aborted by bob" in ended.reason
    assert company.world.live() == image("v1")


def test_an_abort_from_elsewhere_is_an_order_to_a_process_that_lives() -> None:
    company = a_company(bake_seconds=3600, patience_seconds=30)
    answers: list[Ended] = []
    after(company, 300, lambda: answers.append(company.driver().abort("bob")))
    ended = company.driver().start(company.request("v2"))
    assert ended.code is ExitCode.ROLLED_BACK
    assert [answer.code for answer in answers] == [ExitCode.NEEDS_PERSON]
    assert "was told to roll back and has not ended yet" in answers[0].reason


def test_an_abort_from_elsewhere_takes_over_from_a_process_that_died_meanwhile() -> None:
    company = a_company(bake_seconds=3600)
    answers: list[Ended] = []
    # While the other command waits, the first process makes no sound: its lease ends.
    after(company, 300, lambda: answers.append(company.driver().abort("bob")))
    ended = company.driver().start(company.request("v2"))
    assert [answer.code for answer in answers] == [ExitCode.ROLLED_BACK]
    assert ended.code is ExitCode.FAILED
    assert "no longer owns the release" in ended.reason
    assert company.world.live() == image("v1")


def test_an_approval_holds_before_any_traffic_and_names_the_approver() -> None:
    company = a_company(approval=True)
    ended = company.driver().start(company.request("v2"))
    assert (ended.code, held(ended)) == (ExitCode.NEEDS_PERSON, Hold.APPROVAL)
    assert company.production_writes() == []
    assert held(company.driver().resume()) is Hold.APPROVAL, "a resume is no approval"
    ended = company.driver().approve("bob")
    assert ended.code is ExitCode.COMPLETED
    assert ended.release is not None
    assert ended.release.approved_by == "bob"


def test_a_freeze_that_begins_mid_run_lets_the_stage_finish_and_then_holds() -> None:
    company = a_company(strategy="linear", step_percent=25, hold_seconds=100)
    begin = company.world.now + timedelta(seconds=60)
    company.world.freezes = [(begin, begin + timedelta(days=3), "the quarter closes")]
    ended = company.driver().start(company.request("v2"))
    assert (ended.code, held(ended)) == (ExitCode.NEEDS_PERSON, Hold.FREEZE)
    assert company.world.services["api"].production == {"blue": 75, "green": 25}
    _, entries = company.shown(1)
    watched = next(entry for entry in entries if entry.event == "Watched")
    assert watched.at - begin >= timedelta(seconds=10), "the step's watch was finished in the freeze"
    assert "the quarter closes" in ended.reason


def test_a_frozen_release_goes_on_after_the_freeze() -> None:
    company = a_company(hold_seconds=100)
    begin = company.world.now + timedelta(seconds=60)
    company.world.freezes = [(begin, begin + timedelta(hours=1), "the quarter closes")]
    assert held(company.driver().start(company.request("v2"))) is Hold.FREEZE
    assert held(company.driver().resume()) is Hold.FREEZE
    company.world.sleep(3600)
    assert company.driver().resume().code is ExitCode.COMPLETED


def test_a_freeze_during_the_bake_holds_nothing() -> None:
    company = a_company(strategy="all-at-once")
    begin = company.world.now + timedelta(seconds=100)
    company.world.freezes = [(begin, begin + timedelta(days=3), "the quarter closes")]
    assert company.driver().start(company.request("v2")).code is ExitCode.COMPLETED


def test_a_freeze_that_began_while_nobody_was_at_work_holds_before_any_traffic() -> None:
    company = a_company()
    driver = company.driver()
    after(company, 15, driver.interrupt)
    assert driver.start(company.request("v2")).code is ExitCode.INTERRUPTED
    company.world.freezes = [(company.world.now, company.world.now + timedelta(hours=1), "closed")]
    assert held(company.driver().resume()) is Hold.FREEZE
    assert company.production_writes() == []


def test_weights_that_others_moved_are_never_written_over() -> None:
    company = a_company()
    after(company, 45, lambda: company.world.write("api", "production", {"blue": 60, "green": 40}))
    ended = company.driver().start(company.request("v2"))
    assert (ended.code, held(ended)) == (ExitCode.NEEDS_PERSON, Hold.PERSON)
    assert (
        "the production weights of api are blue 60, green 40, and this release left blue 90" in ended.reason
    )
    writes = len(company.production_writes())
    for again in (company.driver().resume("bob"), company.driver().abort("bob")):
        assert again.code is ExitCode.NEEDS_PERSON
    assert len(company.production_writes()) == writes
    assert company.world.services["api"].production == {"blue": 60, "green": 40}


def test_weights_that_others_moved_before_the_first_step_stay_theirs() -> None:
    company = a_company()
    after(company, 15, lambda: company.world.write("api", "production", {"blue": 60, "green": 40}))
    assert held(company.driver().start(company.request("v2"))) is Hold.PERSON
    assert company.production_writes() == []


def test_an_old_colour_that_others_brought_back_is_not_retired() -> None:
    probe, company = a_company(), a_company()
    probe.driver().start(probe.request("v2"))
    company.world.faults = {probe.world.calls.index("fleet.suspend api green none"): "kill-before"}
    with pytest.raises(Killed):
        company.driver().start(company.request("v2"))
    company.world.faults = {}
    company.world.new_process()
    company.world.sleep(LEASE_SECONDS + 1)
    company.world.write("api", "production", {"blue": 100, "green": 0})
    assert held(company.driver().resume("bob")) is Hold.PERSON
    assert company.world.services["api"].tasks["blue"].desired == 3


def test_weights_that_were_put_back_let_it_go_on() -> None:
    company = a_company()
    after(company, 45, lambda: company.world.write("api", "production", {"blue": 60, "green": 40}))
    company.driver().start(company.request("v2"))
    company.world.write("api", "production", {"blue": 90, "green": 10})
    assert company.driver().resume("bob").code is ExitCode.COMPLETED


def test_traffic_that_others_took_back_in_the_bake_does_not_lose_its_tasks() -> None:
    company = a_company(strategy="all-at-once", poll_seconds=600)
    after(company, 700, lambda: company.world.write("api", "production", {"blue": 100, "green": 0}))
    ended = company.driver().start(company.request("v2"))
    assert held(ended) is Hold.PERSON
    assert company.world.services["api"].tasks["blue"].desired == 3


def test_a_release_can_be_closed_as_it_stands() -> None:
    company = a_company()
    after(company, 45, lambda: company.world.write("api", "production", {"blue": 0, "green": 100}))
    company.driver().start(company.request("v2"))
    before = len(company.world.changes)
    ended = company.driver().abort("bob", reason="green is right", leave=True)
    assert ended.code is ExitCode.NEEDS_PERSON
    assert ended.release is not None
    assert ended.release.phase is Phase.NEEDS_PERSON
    assert ended.reason == "left as it stands by bob: green is right"
    assert len(company.world.changes) == before
    assert company.driver().start(company.request("v3")).code is ExitCode.COMPLETED


def test_an_interrupted_release_says_how_to_go_on_and_is_taken_up_at_once() -> None:
    company = a_company()
    driver = company.driver()
    after(company, 45, driver.interrupt)
    ended = driver.start(company.request("v2"))
    assert ended.code is ExitCode.INTERRUPTED
    assert ended.reason == (
        "interrupted in SHIFTING with 10 percent of the traffic on the new colour: `resume` goes on, "
        "`abort` goes back"
    )
    assert company.driver().resume().code is ExitCode.COMPLETED


def test_ctrl_c_interrupts_the_driver_and_a_second_one_python() -> None:
    company = a_company()
    driver = company.driver()
    after(company, 45, lambda: os.kill(os.getpid(), signal.SIGINT))
    with interruptible(driver):
        assert driver.start(company.request("v2")).code is ExitCode.INTERRUPTED
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert company.driver().abort("bob").code is ExitCode.ROLLED_BACK


def test_an_old_colour_without_a_healthy_target_gets_no_traffic_back() -> None:
    company = a_company(bake_seconds=900)
    company.world.versions[image("v2")] = Version(alarm_after_seconds=200)
    after(company, 150, lambda: company.world.versions.update({image("v1"): Version(healthy=False)}))
    ended = company.driver().start(company.request("v2"))
    assert (ended.code, held(ended)) == (ExitCode.NEEDS_PERSON, Hold.PERSON)
    assert "api in blue has 0 of 2 healthy targets, 3 unhealthy: traffic can't go back" in ended.reason
    company.world.versions[image("v1")] = Version()
    assert company.driver().resume("bob").code is ExitCode.ROLLED_BACK
    assert company.world.live() == image("v1")


def test_a_release_that_is_retired_already_can_still_go_back() -> None:
    company = a_company()
    probe = a_company()
    probe.driver().start(probe.request("v2"))
    company.world.faults = {probe.world.calls.index("fleet.scale api blue 0"): "kill-after"}
    with pytest.raises(Killed):
        company.driver().start(company.request("v2"))
    assert company.world.services["api"].tasks["blue"].desired == 0
    company.world.new_process()
    company.world.faults = {}
    company.world.sleep(LEASE_SECONDS + 1)
    assert company.driver().abort("bob").code is ExitCode.ROLLED_BACK
    assert company.world.live() == image("v1")
    assert company.world.services["api"].tasks["blue"].desired == 3


def test_a_way_back_that_gets_no_answer_is_held_and_resumed() -> None:
    company = a_company(patience_seconds=60)
    company.world.versions[image("v2")] = Version(alarm_after_seconds=15)
    company.world.silent = "balancer.write production"
    after(company, 25, lambda: setattr(company.world, "silent", None))
    after(company, 35, lambda: setattr(company.world, "silent", "balancer.write production"))
    ended = company.driver().start(company.request("v2"))
    assert (ended.code, held(ended)) == (ExitCode.NEEDS_PERSON, Hold.PERSON)
    assert "The way back is not finished" in ended.reason
    company.world.silent = None
    assert company.driver().resume("bob").code is ExitCode.ROLLED_BACK
    release, _ = company.shown(1)
    assert release.cause.startswith("alarm of api in green")


def test_a_table_that_stops_answering_ends_the_process_before_it_acts() -> None:
    company = a_company(patience_seconds=60)
    company.world.versions[image("v2")] = Version(alarm_after_seconds=15)
    after(company, 35, lambda: setattr(company.world, "silent", "table."))
    ended = company.driver().start(company.request("v2"))
    assert ended.code is ExitCode.FAILED
    assert "can't be kept, so nothing more is done" in ended.reason
    assert company.world.services["api"].production == {"blue": 90, "green": 10}
    company.world.silent = None
    company.world.sleep(LEASE_SECONDS + 1)
    assert company.driver().abort("bob").code is ExitCode.ROLLED_BACK


def test_a_process_that_was_taken_over_stops_at_its_next_write() -> None:
    company = a_company()
    thief = company.store()

    def steal() -> None:
        company.world.now += timedelta(seconds=LEASE_SECONDS + 1)
        thief.acquire()

    after(company, 45, steal)
    ended = company.driver().start(company.request("v2"))
    assert ended.code is ExitCode.FAILED
    assert "no longer owns the release (ann@machine-1, process 1, since" in ended.reason
    assert company.world.services["api"].production == {"blue": 90, "green": 10}
    lock = thief.lock()
    assert lock is not None
    assert lock.held, "the loser does not give back what is not his"

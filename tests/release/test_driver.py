"""A release on the simulated world, by example: what it does, in which order, and what stops it."""

from datetime import timedelta
from typing import Any

import pytest

from release.model import Hold, Phase
from release.ports import MigrationPlan, Outcome
from release.run import ExitCode
from tests.release.company import Company
from tests.release.world import Version, World, gate, image


def a_company(*services: str, **policy: Any) -> Company:
    world = World(*(services or ("api",)))
    for service in world.services:
        world.running("v1", service=service)
    return Company(world, **policy)


def changes(company: Company) -> list[str]:
    return [name for _, name in company.world.changes]


def test_a_good_version_gets_all_of_the_traffic_step_by_step() -> None:
    company = a_company()
    ended = company.driver().start(company.request("v2"))
    assert ended.code is ExitCode.COMPLETED, ended.reason
    assert company.world.live() == image("v2")
    assert changes(company) == [
        "fleet.suspend api blue in",
        "fleet.suspend api green all",
        "images.write api green",
        "program.apply",
        "fleet.suspend api blue in",
        "fleet.suspend api green all",
        "fleet.scale api green 3",
        "balancer.write production api",
        "balancer.write production api",
        "fleet.suspend api green in",
        "fleet.suspend api green none",
        "fleet.suspend api blue all",
        "balancer.write test api",
        "fleet.scale api blue 0",
    ]


def test_the_watch_and_the_bake_take_their_time() -> None:
    company = a_company()
    company.driver().start(company.request("v2"))
    release, entries = company.shown(1)
    at = {entry.phase + entry.event + str(place): entry.at for place, entry in enumerate(entries)}
    shifted = [time for name, time in at.items() if "Shifted" in name]
    assert shifted[1] - shifted[0] >= timedelta(seconds=60)
    assert release.updated_at - shifted[1] >= timedelta(seconds=300)


def test_several_services_are_shifted_together_and_back_together() -> None:
    company = a_company("api", "web")
    company.world.versions[image("v2", "web")] = Version(alarm_after_seconds=15)
    ended = company.driver().start(company.request("v2"))
    assert ended.code is ExitCode.ROLLED_BACK
    assert (company.world.live("api"), company.world.live("web")) == (image("v1"), image("v1", "web"))
    release, entries = company.shown(1)
    assert [sorted(entry.weights) for entry in entries if entry.event == "Shifted"] == [["api", "web"]]
    assert "alarm of web in green" in release.cause


def test_a_partial_release_touches_no_other_service() -> None:
    company = a_company("api", "web")
    request = company.request("v2", kind="partial", images={"api": image("v2")})
    assert company.driver().start(request).code is ExitCode.COMPLETED
    assert company.world.live("web") == image("v1", "web")
    assert not any(" web" in name for name in changes(company))


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (Version(alarm_after_seconds=0), "alarm of api in green: api-green-errors"),
        (Version(judged=Outcome.FAIL), "fail by the figures"),
        (Version(smoke=Outcome.FAIL), "smoke checks failed: api: fail in 0.1 s"),
        (Version(smoke=Outcome.INSUFFICIENT), "smoke checks failed"),
        (Version(healthy=False), "0 of 3 healthy targets, 3 unhealthy, after 120 s"),
        (Version(starts=False), "api does not start in green: tasks failed to start"),
    ],
)
def test_a_bad_version_never_takes_the_traffic_over(version: Version, reason: str) -> None:
    company = a_company()
    company.world.versions[image("v2")] = version
    ended = company.driver().start(company.request("v2"))
    assert ended.code is ExitCode.ROLLED_BACK
    assert reason in ended.reason
    assert company.world.live() == image("v1")
    assert company.world.services["api"].tasks["green"].desired == 0
    assert max(company.world.services["api"].traffic_since, default="blue") == "blue"


@pytest.mark.parametrize(
    "version", [Version(smoke=Outcome.FAIL), Version(healthy=False), Version(starts=False)]
)
def test_what_fails_before_the_shift_never_moves_a_weight(version: Version) -> None:
    company = a_company()
    company.world.versions[image("v2")] = version
    company.driver().start(company.request("v2"))
    assert company.production_writes() == []


def test_a_rollout_that_ecs_gave_up_is_not_waited_for() -> None:
    company = a_company(healthy_timeout_seconds=3600)
    company.world.versions[image("v2")] = Version(starts=False)
    before = company.world.now
    company.driver().start(company.request("v2"))
    assert company.world.now - before < timedelta(seconds=60)


def test_a_new_colour_that_loses_its_targets_is_rolled_back() -> None:
    company = a_company()
    company.world.then.append(
        (
            company.world.now + timedelta(seconds=45),
            lambda: company.world.versions.update({image("v2"): Version(healthy=False)}),
        )
    )
    ended = company.driver().start(company.request("v2"))
    assert ended.code is ExitCode.ROLLED_BACK
    assert "api in green has no healthy target left" in ended.reason


def test_the_new_colour_gets_as_many_tasks_as_the_live_one_has_now() -> None:
    company = a_company()
    company.world.then.append(
        (company.world.now + timedelta(seconds=10), lambda: company.world.scale("api", "blue", 7))
    )
    company.driver().start(company.request("v2"))
    assert "fleet.scale api green 7" in changes(company)


def test_the_new_colour_never_has_fewer_tasks_than_its_minimum() -> None:
    company = Company(World("api", minimum=5))
    company.world.running("v1", count=2)
    company.driver().start(company.request("v2"))
    assert "fleet.scale api green 5" in changes(company)


def test_a_live_colour_that_grew_during_the_watch_is_matched_before_the_next_step() -> None:
    company = a_company()
    company.world.then.append(
        (company.world.now + timedelta(seconds=50), lambda: company.world.scale("api", "blue", 9))
    )
    company.driver().start(company.request("v2"))
    done = changes(company)
    writes = [place for place, name in enumerate(done) if name == "balancer.write production api"]
    assert writes[0] < done.index("fleet.scale api green 9") < writes[1]


@pytest.mark.parametrize("version", ["good", "bad"])
def test_afterwards_the_live_colour_scales_freely_and_the_idle_one_not_at_all(version: str) -> None:
    company = a_company()
    company.world.versions[image("bad")] = Version(alarm_after_seconds=15)
    company.driver().start(company.request(version))
    state = company.world.services["api"]
    live, idle = ("green", "blue") if version == "good" else ("blue", "green")
    assert (state.tasks[live].scaling, state.tasks[idle].scaling) == ("none", "all")  # type: ignore[index]
    assert state.test == {live: 0, idle: 100}
    assert state.tasks[idle].desired == 0  # type: ignore[index]


def test_a_program_that_fails_is_a_failure_with_the_engines_words() -> None:
    company = a_company()
    company.world.program_fails = "aws:ecs:Service api-green: InvalidParameterException"
    ended = company.driver().start(company.request("v2"))
    assert ended.code is ExitCode.ROLLED_BACK
    assert "the infrastructure program failed: aws:ecs:Service api-green" in ended.reason
    assert company.production_writes() == []


def test_a_refused_gate_begins_nothing() -> None:
    company = a_company()
    company.world.gates.append(gate("backups", passed=False, reason="none for 30 h"))
    ended = company.driver().start(company.request("v2"))
    assert (ended.code, ended.release) == (ExitCode.REFUSED, None)
    assert ended.reason == "backups: none for 30 h (an emergency may override it)"
    assert changes(company) == []
    assert company.driver().history() == []
    company.world.gates.pop()
    assert company.driver().start(company.request("v2")).code is ExitCode.COMPLETED, "the lock is free again"


def test_a_plan_changes_nothing_and_takes_no_lock() -> None:
    company = a_company()
    plan = company.driver().plan(company.request("v2"))
    assert [step.percent for step in plan.steps] == [10, 100]
    assert changes(company) == []
    assert company.store().lock() is None


def test_an_alarm_that_fires_already_can_be_overridden_so_that_a_fix_ships() -> None:
    company = a_company()
    company.world.known_alarms = ["api-database-cpu: 97 percent"]
    company.world.gates[2] = gate("alarms", passed=False, reason="api-database-cpu is firing")
    assert company.driver().start(company.request("v2")).code is ExitCode.REFUSED
    request = company.request("v2", kind="emergency", overrides={"alarms": "v2 is the fix"})
    ended = company.driver().start(request)
    assert ended.code is ExitCode.COMPLETED, ended.reason
    assert ended.release is not None
    assert ended.release.overrides == {"alarms": "v2 is the fix"}


def test_an_overridden_alarm_does_not_hide_a_new_one() -> None:
    company = a_company()
    company.world.known_alarms = ["api-database-cpu: 97 percent"]
    company.world.gates[2] = gate("alarms", passed=False)
    company.world.versions[image("v2")] = Version(alarm_after_seconds=15)
    request = company.request("v2", kind="emergency", overrides={"alarms": "v2 is the fix"})
    assert company.driver().start(request).code is ExitCode.ROLLED_BACK


def test_a_watch_without_an_answer_is_rolled_back_and_never_taken_for_quiet() -> None:
    company = a_company(patience_seconds=120)
    company.world.silent = "alarms.firing"
    ended = company.driver().start(company.request("v2"))
    assert ended.code is ExitCode.ROLLED_BACK
    assert "no answer for 120 s: alarms.firing" in ended.reason
    assert company.world.live() == image("v1")


def test_a_watch_that_answers_again_in_time_goes_on() -> None:
    company = a_company(patience_seconds=120)
    company.world.silent = "alarms.firing"
    company.world.then.append(
        (company.world.now + timedelta(seconds=100), lambda: setattr(company.world, "silent", None))
    )
    assert company.driver().start(company.request("v2")).code is ExitCode.COMPLETED


def test_polls_without_an_answer_come_at_growing_distances() -> None:
    company = a_company(patience_seconds=300, poll_seconds=5)
    company.world.silent = "alarms.firing"
    company.driver().start(company.request("v2"))
    asked = company.world.calls.count("alarms.firing api green")
    assert 6 <= asked <= 10, "60 polls of 5 s would be a hammer"


def test_a_bad_sign_counts_even_while_something_else_does_not_answer() -> None:
    company = a_company("api", "web", patience_seconds=3600)
    company.world.versions[image("v2", "web")] = Version(alarm_after_seconds=15)
    company.world.silent = "alarms.firing api"
    before = company.world.now
    ended = company.driver().start(company.request("v2"))
    assert ended.code is ExitCode.ROLLED_BACK
    assert "alarm of web" in ended.reason
    assert company.world.now - before < timedelta(seconds=120)


def test_a_first_release_shifts_at_once() -> None:
    company = Company()
    ended = company.driver().start(company.request("v1"))
    assert ended.code is ExitCode.COMPLETED, ended.reason
    assert company.world.services["api"].production == {"blue": 0, "green": 100}
    assert company.world.judged == 0
    assert any("nothing to go back to" in line for line in company.lines), "it says so before it starts"


def test_a_first_release_that_fails_before_its_traffic_is_gone_again() -> None:
    company = Company()
    company.world.versions[image("v1")] = Version(smoke=Outcome.FAIL)
    assert company.driver().start(company.request("v1")).code is ExitCode.ROLLED_BACK
    assert company.production_writes() == []
    assert company.world.services["api"].tasks["green"].desired == 0


def test_a_first_release_that_fails_with_traffic_keeps_it_and_needs_a_person() -> None:
    company = Company()
    company.world.versions[image("v1")] = Version(alarm_after_seconds=15)
    ended = company.driver().start(company.request("v1"))
    assert ended.code is ExitCode.NEEDS_PERSON
    assert "api had no version to go back to and keeps the new one" in ended.reason
    assert company.world.services["api"].production == {"blue": 0, "green": 100}
    assert company.world.services["api"].tasks["green"].scaling == "none"
    # It is over: a better version can be released at once, with a way back this time.
    assert company.driver().start(company.request("v2")).code is ExitCode.COMPLETED
    assert company.world.live() == image("v2")


def test_a_new_service_beside_an_old_one_takes_all_of_its_traffic_with_the_first_step() -> None:
    company = Company(World("api", "web"))
    company.world.running("v1", service="api")
    assert company.driver().start(company.request("v2")).code is ExitCode.COMPLETED
    _, entries = company.shown(1)
    first = next(entry for entry in entries if entry.event == "Shifted")
    assert first.weights == {"api": {"blue": 90, "green": 10}, "web": {"blue": 0, "green": 100}}


EXPAND = MigrationPlan(kind="expand", current="r1", target="r2", revisions=("r2",), floor=None)
CONTRACT = MigrationPlan(kind="contract", current="r2", target="r4", revisions=("r3", "r4"), floor="r3")


def test_an_expand_migration_runs_before_anything_scales() -> None:
    company = a_company()
    company.world.versions[image("v2")] = Version(migration=EXPAND)
    assert company.driver().start(company.request("v2")).code is ExitCode.COMPLETED
    done = changes(company)
    assert done.index("migrator.run api all") < done.index("fleet.scale api green 3")


def test_a_failing_migration_is_rolled_back_before_any_traffic() -> None:
    company = a_company()
    company.world.versions[image("v2")] = Version(migration=EXPAND, migration_fails=True)
    ended = company.driver().start(company.request("v2"))
    assert ended.code is ExitCode.ROLLED_BACK
    assert "the migration of api ended with status 1: relation is locked" in ended.reason
    assert company.production_writes() == []


def test_a_contract_migration_runs_after_the_bake_and_before_the_old_colour_goes() -> None:
    company = a_company()
    company.world.versions[image("v2")] = Version(migration=CONTRACT)
    assert company.driver().start(company.request("v2")).code is ExitCode.COMPLETED
    at = {name: (place, time) for place, (time, name) in enumerate(company.world.changes)}
    expand, contract = at["migrator.run api expand"], at["migrator.run api all"]
    last_write, gone = at["balancer.write production api"], at["fleet.scale api blue 0"]
    assert expand[0] < at["fleet.scale api green 3"][0]
    assert last_write[0] < contract[0] < gone[0]
    assert contract[1] - last_write[1] >= timedelta(seconds=300)


def test_a_rollback_below_the_floor_needs_a_person_and_touches_nothing() -> None:
    company = a_company()
    company.world.schema["api"] = ["r1", "r2"]
    company.world.versions[image("v2")] = Version()
    company.world.versions[image("v3")] = Version(migration=CONTRACT)
    for version in ("v2", "v3"):
        assert company.driver().start(company.request(version)).code is ExitCode.COMPLETED
    before = len(company.world.changes)
    ended = company.driver().rollback("bob")
    assert ended.code is ExitCode.NEEDS_PERSON
    assert "release prod-2 left the schema of api at a floor of r3 (contracted)" in ended.reason
    assert len(company.world.changes) == before


def test_a_contract_migration_that_fails_needs_a_person_and_can_be_done_again() -> None:
    company = a_company()
    company.world.versions[image("v2")] = Version(migration=CONTRACT)
    company.world.then.append(
        (
            company.world.now + timedelta(seconds=200),
            lambda: company.world.versions.update(
                {image("v2"): Version(migration=CONTRACT, migration_fails=True)}
            ),
        )
    )
    ended = company.driver().start(company.request("v2"))
    assert ended.code is ExitCode.NEEDS_PERSON
    assert "no way back: the schema of api has been contracted" in ended.reason
    assert company.driver().abort("bob").code is ExitCode.NEEDS_PERSON
    assert company.world.live() == image("v2")
    company.world.versions[image("v2")] = Version(migration=CONTRACT)
    assert company.driver().resume("bob").code is ExitCode.COMPLETED
    assert company.world.schema["api"] == ["r3", "r4"]


def test_people_hear_of_begin_and_end_and_of_a_rollback_as_bad_news() -> None:
    company = a_company()
    company.world.versions[image("v2")] = Version(alarm_after_seconds=15)
    company.driver().start(company.request("v2"))
    assert [(title, bad) for title, _, bad in company.world.told] == [
        ("Release prod-1 begins", False),
        ("Release prod-1 is being rolled back", True),
        ("Release prod-1 rolled back", True),
    ]


def test_whoever_watches_gets_phases_weights_counts_verdicts_and_the_end() -> None:
    company = a_company()
    company.driver().start(company.request("v2"))
    kinds = {event["kind"] for event in company.events}
    assert kinds == {"phase", "weights", "counts", "verdict", "ended"}
    assert company.events[-1]["kind"] == "ended"
    assert company.events[-1]["code"] == 0
    phases = [event["phase"] for event in company.events if event["kind"] == "phase"]
    assert list(dict.fromkeys(phases)) == [
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


def test_an_error_in_what_is_shown_does_not_fail_what_is_done() -> None:
    company = a_company()
    company.events = Broken()
    assert company.driver().start(company.request("v2")).code is ExitCode.COMPLETED
    assert "can't show this: ZeroDivisionError('phase')" in company.lines


class Broken(list[Any]):
    """A display that fails."""

    def append(self, event: Any) -> None:
        raise ZeroDivisionError(event["kind"])


def test_a_second_release_is_refused_while_one_is_in_progress() -> None:
    company = a_company(approval=True)
    held = company.driver().start(company.request("v2"))
    assert held.release is not None
    assert held.release.held is Hold.APPROVAL
    ended = company.driver().start(company.request("v3"))
    assert ended.code is ExitCode.REFUSED
    assert "release prod-1 is in progress (SHIFTING, by ann)" in ended.reason
    assert company.driver().abort("bob").code is ExitCode.ROLLED_BACK


def test_commands_without_a_release_are_refused() -> None:
    company = a_company()
    for ended in (company.driver().resume(), company.driver().abort("bob"), company.driver().approve("bob")):
        assert (ended.code, ended.reason) == (ExitCode.REFUSED, "no release is in progress")
    assert company.driver().rollback("bob").reason.startswith("no release has completed on this stack")
    assert company.store().lock() is None


def test_numbers_go_on_after_a_release_that_was_rolled_back() -> None:
    company = a_company()
    company.world.versions[image("v2")] = Version(smoke=Outcome.FAIL)
    company.driver().start(company.request("v2"))
    company.driver().start(company.request("v3"))
    history = company.driver().history()
    assert [(release.number, release.phase) for release in history] == [
        (2, Phase.COMPLETED),
        (1, Phase.ROLLED_BACK),
    ]

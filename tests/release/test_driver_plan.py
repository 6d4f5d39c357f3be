"""What a plan says while another release is under way, and a reason that ends with a full stop."""

import pytest

from release.errors import Refused
from release.plan import policy
from release.run import ExitCode
from release.view import plan_lines
from switchyard.stacks import settings_of
from tests.release.company import Company
from tests.release.world import Version, World, image


def test_a_plan_during_a_release_names_that_release_and_not_its_weights() -> None:
    world = World("api")
    world.running("v1", service="api")
    company = Company(world, approval=True)
    assert company.driver().start(company.request("v2")).code is ExitCode.NEEDS_PERSON
    with pytest.raises(Refused, match=r"release prod-1 is in progress .*`resume` or `abort` it first"):
        company.driver().plan(company.request("v3"))


def test_the_cause_of_a_first_release_that_is_stuck_ends_its_sentence_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World("api")
    company = Company(world)
    world.versions[image("v1")] = Version(alarm_after_seconds=15)
    told = world.firing
    # CloudWatch ends its reasons with a full stop.
    monkeypatch.setattr(world, "firing", lambda *which: [f"{alarm}." for alarm in told(*which)])
    ended = company.driver().start(company.request("v1"))
    assert ended.code is ExitCode.NEEDS_PERSON
    assert ".." not in ended.reason
    assert ended.reason.endswith(". Release a version that is better")


def test_a_plan_names_those_who_watch_and_no_others() -> None:
    world = World("api")
    world.running("v1", service="api")
    watched_by = ("alarms", "your own checks")
    company = Company(world, watched_by=watched_by)
    plan = company.driver().plan(company.request("v2"))
    assert plan.watched_by == watched_by
    assert "Watched by alarms and your own checks." in plan_lines(plan.as_dict())[0]


def test_a_first_release_is_watched_by_alarms_alone() -> None:
    company = Company(World("api"), watched_by=("alarms", "a comparison of both colours"))
    plan = company.driver().plan(company.request("v1"))
    assert "Watched by alarms alone." in plan_lines(plan.as_dict())[0]


def test_a_stack_without_analysis_does_not_say_that_colours_are_compared() -> None:
    settings = settings_of("local")
    assert settings.release.analysis is None
    assert policy(settings, "local").watched_by == ("alarms",)
    compared = settings.release.model_copy(update={"analysis": object()})
    both = policy(settings.model_copy(update={"release": compared}), "local").watched_by
    assert both == ("alarms", "a comparison of both colours")

"""When a release looks again."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from release.run import ExitCode
from tests.release.company import Company
from tests.release.world import Version, World, image


def a_company(**policy: Any) -> Company:
    world = World("api")
    world.running("v1", service="api")
    return Company(world, **policy)


def test_a_step_ends_when_its_time_is_over_and_not_at_a_later_poll() -> None:
    company = a_company(poll_seconds=45)
    ended = company.driver().start(company.request("v2", every_seconds=60, bake_seconds=100))
    assert ended.code is ExitCode.COMPLETED, ended.reason
    release, entries = company.shown(1)
    shifted = [entry.at for entry in entries if entry.event == "Shifted"]
    watched = next(entry.at for entry in entries if entry.event == "Watched")
    late = (watched - shifted[0]) - timedelta(seconds=60)
    assert timedelta(0) <= late < timedelta(seconds=5), "polls at 45 and 90 s would end it half a minute late"
    assert release.updated_at - shifted[1] < timedelta(seconds=110)


def test_a_long_step_is_looked_at_as_often_as_the_policy_says() -> None:
    company = a_company(poll_seconds=10)
    company.driver().start(company.request("v2", every_seconds=60, bake_seconds=0))
    events = [event for event in company.events if event["kind"] == "counts"]
    _, entries = company.shown(1)
    shifted, watched = (
        next(entry.at for entry in entries if entry.event == name) for name in ("Shifted", "Watched")
    )
    looks = sorted(event["at"] for event in events if shifted <= event["at"] <= watched)
    assert len(looks) >= 6, "a minute at a poll of ten seconds"
    gaps = [later - earlier for earlier, later in pairwise(looks)]
    assert max(gaps) < timedelta(seconds=13)


@pytest.mark.parametrize(("bake", "waits"), [(0, 10), (4, 14), (10, 10), (300, 300)])
def test_a_colour_without_weight_keeps_its_tasks_until_the_load_balancer_has_followed(
    bake: int, waits: int
) -> None:
    company = a_company(strategy="all-at-once", bake_seconds=bake)
    assert company.driver().start(company.request("v2")).code is ExitCode.COMPLETED
    shifted, retired = (
        max(at for at, name in company.world.changes if name.startswith(what))
        for what in ("balancer.write production", "fleet.scale api blue")
    )
    assert (retired - shifted).total_seconds() == waits


def test_a_version_that_is_rolled_back_keeps_its_tasks_as_long() -> None:
    company = a_company(strategy="all-at-once")
    company.world.versions[image("v2")] = Version(alarm_after_seconds=0)
    assert company.driver().start(company.request("v2")).code is ExitCode.ROLLED_BACK
    back, scaled = (
        max(at for at, name in company.world.changes if name.startswith(what))
        for what in ("balancer.write production", "fleet.scale api green")
    )
    assert (scaled - back).total_seconds() == 10

"""A process that is killed at any boundary: another one, on another machine, ends in a consistent state.

Every call of a port and of the table is a boundary, before its effect and after it.
"""

from collections.abc import Callable

import pytest

from release.model import Phase
from release.run import Ended, ExitCode
from release.store import LEASE_SECONDS
from tests.release.company import Company
from tests.release.world import Fault, Killed, Version, World, image

BAD = Version(alarm_after_seconds=15)


def a_company(*, bad: bool = False, first: bool = False) -> Company:
    world = World("api", "web")
    for service in world.services:
        if not first:
            world.running("v1", service=service)
        world.versions[image("v2", service)] = BAD if bad else Version()
    return Company(world, every_seconds=20, bake_seconds=40)


def boundaries(*, bad: bool, first: bool = False) -> int:
    company = a_company(bad=bad, first=first)
    company.driver().start(company.request("v2"))
    return len(company.world.calls)


def killed_at(place: int, fault: Fault, *, bad: bool, first: bool = False) -> tuple[Company, Ended | None]:
    company = a_company(bad=bad, first=first)
    company.world.faults = {place: fault}
    try:
        return company, company.driver().start(company.request("v2"))
    except Killed:
        return company, None


def go_on(company: Company, how: Callable[[Company], Ended]) -> Ended | None:
    """What another process comes to, once the lease is over; None where there was nothing to go on with."""
    company.world.faults = {}
    company.world.new_process()
    company.world.sleep(LEASE_SECONDS + 1)
    if company.store().current() is None:
        return None
    return how(company)


@pytest.mark.parametrize("fault", ["kill-before", "kill-after"])
def test_a_good_release_killed_anywhere_is_completed_by_resume(fault: Fault) -> None:
    for place in range(boundaries(bad=False)):
        company, ended = killed_at(place, fault, bad=False)
        where = f"{fault} call {place}, {company.world.calls[place]}"
        again = ended or go_on(company, lambda c: c.driver().resume())
        if again is None and not company.driver().history():
            again = company.driver().start(company.request("v2"))
        assert again is None or again.code is ExitCode.COMPLETED, f"{where}: {again}"
        assert {company.world.live("api"), company.world.live("web")} == {
            image("v2", "api"),
            image("v2", "web"),
        }, where
        release, _ = company.shown(1)
        assert release.phase is Phase.COMPLETED, where


@pytest.mark.parametrize("fault", ["kill-before", "kill-after"])
@pytest.mark.parametrize("bad", [False, True])
def test_a_release_killed_anywhere_is_brought_back_by_abort(fault: Fault, bad: bool) -> None:
    for place in range(boundaries(bad=bad)):
        company, _ = killed_at(place, fault, bad=bad)
        where = f"{fault} call {place}, {company.world.calls[place]}"
        go_on(company, lambda c: c.driver().abort("bob"))
        history = company.driver().history()
        assert all(release.phase.is_terminal for release in history), where
        version = "v2" if history and history[0].phase is Phase.COMPLETED else "v1"
        for service, state in company.world.services.items():
            assert company.world.live(service) == image(version, service), f"{where}: {history}"
            idle = next(colour for colour, weight in state.production.items() if weight == 0)
            assert state.tasks[idle].desired == 0, where
            assert state.tasks[idle].scaling == "all" or not history, where
            assert state.test[idle] == 100, where
        if history:
            company.shown(1)


@pytest.mark.parametrize("fault", ["kill-before", "kill-after"])
def test_a_first_release_killed_anywhere_serves_or_is_gone_after_an_abort(fault: Fault) -> None:
    for place in range(boundaries(bad=False, first=True)):
        company, _ = killed_at(place, fault, bad=False, first=True)
        where = f"{fault} call {place}, {company.world.calls[place]}"
        go_on(company, lambda c: c.driver().abort("bob"))
        for release in company.driver().history():
            serving = {service for service in company.world.services if company.world.live(service)}
            if release.phase is Phase.ROLLED_BACK:
                assert serving == set(), where
            else:
                assert release.phase in (Phase.COMPLETED, Phase.NEEDS_PERSON), where
                assert serving, where
            for service in serving:
                assert company.world.healthy(service, "green") > 0, where


@pytest.mark.parametrize("fault", ["fail-before", "fail-after"])
@pytest.mark.parametrize("bad", [False, True])
def test_a_call_that_fails_once_changes_nothing_about_the_outcome(fault: Fault, bad: bool) -> None:
    for place in range(boundaries(bad=bad)):
        company, ended = killed_at(place, fault, bad=bad)
        where = f"{fault} call {place}, {company.world.calls[place]}"
        assert ended is not None
        if ended.release is None:
            company.world.sleep(LEASE_SECONDS + 1)
            ended = company.driver().start(company.request("v2"))
        wanted = ExitCode.ROLLED_BACK if bad else ExitCode.COMPLETED
        assert ended.code is wanted, f"{where}: {ended.reason}"


def test_a_living_process_is_not_taken_over_and_is_named() -> None:
    company, _ = killed_at(60, "kill-after", bad=False)
    company.world.new_process()
    ended = company.driver().resume()
    assert ended.code is ExitCode.REFUSED
    assert "ann@machine-1, process 1, since 2026-03-02 09:00:00 UTC" in ended.reason


def test_a_process_that_lost_its_lease_can_write_nothing_more() -> None:
    company, _ = killed_at(90, "kill-after", bad=False)
    company.world.new_process()
    company.world.sleep(LEASE_SECONDS + 1)
    slow, other = company.store(), company.store()
    slow.acquire()
    company.world.sleep(LEASE_SECONDS + 1)
    other.acquire()
    assert other.token == slow.token + 1
    release = company.store().current()
    assert release is not None

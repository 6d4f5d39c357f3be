"""The cases that Argo Rollouts runs end to end, by their names (controls.md)."""

from dataclasses import replace
from typing import Any

from release.model import Hold, Phase
from release.run import ExitCode
from tests.release.company import Company
from tests.release.world import Tasks, Version, image

BAD = Version(alarm_after_seconds=15)


def a_company(**policy: Any) -> Company:
    company = Company(**policy)
    company.world.running("v1")
    company.world.versions[image("bad")] = BAD
    company.world.versions[image("worse")] = BAD
    return company


def released(company: Company, version: str, **values: Any) -> ExitCode:
    return company.driver().start(company.request(version, **values)).code


def steps_of(company: Company, number: int) -> list[int]:
    """The shares of the new colour, in the order that they were written."""
    release, entries = company.shown(number)
    new = release.changes[0].new
    return [entry.weights["api"][new] for entry in entries if entry.event in ("Shifted", "TrafficBack")]


def test_abort_retry_promote() -> None:
    company = a_company()
    driver = company.driver()
    company.world.then.append((company.world.now.replace(minute=1), driver.interrupt))
    assert driver.start(company.request("v2")).code is ExitCode.INTERRUPTED
    assert company.world.services["api"].production == {"blue": 90, "green": 10}
    assert company.driver().abort("bob").code is ExitCode.ROLLED_BACK
    assert company.world.live() == image("v1")
    assert released(company, "v2") is ExitCode.COMPLETED
    assert company.world.live() == image("v2")
    assert steps_of(company, 2) == [10, 100]


def test_good_to_bad() -> None:
    company = a_company()
    assert released(company, "bad") is ExitCode.ROLLED_BACK
    assert company.world.live() == image("v1")
    assert steps_of(company, 1) == [10, 0]
    release, _ = company.shown(1)
    assert release.cause == "alarm of api in green: api-green-errors: 12.0 percent of the requests failed"


def test_bad_to_good() -> None:
    company = a_company()
    assert released(company, "bad") is ExitCode.ROLLED_BACK
    assert released(company, "v2") is ExitCode.COMPLETED
    assert company.world.live() == image("v2")


def test_bad_to_bad() -> None:
    company = a_company()
    assert released(company, "bad") is ExitCode.ROLLED_BACK
    assert released(company, "worse") is ExitCode.ROLLED_BACK
    assert company.world.live() == image("v1")
    assert company.world.services["api"].tasks["green"].desired == 0


def test_blue_green_to_canary() -> None:
    company = a_company()
    assert released(company, "v2", strategy="all-at-once") is ExitCode.COMPLETED
    assert released(company, "v3", strategy="canary") is ExitCode.COMPLETED
    assert (steps_of(company, 1), steps_of(company, 2)) == ([100], [10, 100])


def test_scale_down_on_abort() -> None:
    company = a_company()
    assert released(company, "bad") is ExitCode.ROLLED_BACK
    done = [name for _, name in company.world.changes]
    back = max(place for place, name in enumerate(done) if name == "balancer.write production api")
    down = done.index("fleet.scale api green 0")
    assert back < down, "traffic first, scale second"
    assert company.world.services["api"].tasks["blue"].desired == 3


def test_progress_deadline_exceeded_with_pause() -> None:
    company = a_company(approval=True, healthy_timeout_seconds=60)
    held = company.driver().start(company.request("v2"))
    assert held.code is ExitCode.NEEDS_PERSON
    assert held.release is not None
    assert (held.release.phase, held.release.held) == (Phase.SHIFTING, Hold.APPROVAL)
    company.world.sleep(7200)
    # The pause was far longer than the deadline, and is no reason to fail.
    assert company.driver().approve("bob").code is ExitCode.COMPLETED
    company.world.versions[image("v3")] = Version(healthy=False)
    before = company.world.now
    failed = company.driver().start(company.request("v3"))
    assert failed.code is ExitCode.ROLLED_BACK
    assert "0 of 3 healthy targets, 3 unhealthy, after 60 s" in failed.reason
    assert (company.world.now - before).total_seconds() < 120


def test_rollback_within_window() -> None:
    company = a_company()
    assert released(company, "v2") is ExitCode.COMPLETED
    # The version before still runs at full scale, as somebody keeps it on purpose.
    company.world.services["api"].tasks["blue"] = Tasks(desired=3, healthy_before=3, image=image("v1"))
    applied = [name for _, name in company.world.changes].count("program.apply")
    judged = company.world.judged
    ended = company.driver().rollback("bob")
    assert ended.code is ExitCode.COMPLETED
    assert company.world.live() == image("v1")
    assert steps_of(company, 2) == [100]
    assert company.world.judged == judged, "the analysis is skipped"
    assert [name for _, name in company.world.changes].count("program.apply") == applied


def test_rollback_within_the_bake_is_one_round() -> None:
    company = a_company(strategy="all-at-once")
    driver = company.driver()
    company.world.then.append((company.world.now.replace(minute=2), driver.interrupt))
    stopped = driver.start(company.request("v2"))
    assert stopped.release is not None
    assert stopped.release.phase is Phase.BAKING
    judged, before = company.world.judged, company.world.now
    assert company.driver().rollback("bob").code is ExitCode.ROLLED_BACK
    assert company.world.live() == image("v1")
    assert company.world.judged == judged
    back = max(at for at, name in company.world.changes if name.startswith("balancer.write production"))
    assert back == before, "nothing was waited for"


def test_rollback_outside_window() -> None:
    company = a_company()
    assert released(company, "v2") is ExitCode.COMPLETED
    judged = company.world.judged
    ended = company.driver().rollback("bob")
    assert ended.code is ExitCode.COMPLETED
    assert company.world.live() == image("v1")
    assert steps_of(company, 2) == [10, 100]
    assert company.world.judged > judged, "a cold version is judged like any other"
    assert ended.release is not None
    assert (ended.release.undoes, ended.release.kind) == (1, "hotfix")


def test_rollback_outside_window_takes_no_steps_if_so_asked() -> None:
    company = a_company()
    assert released(company, "v2") is ExitCode.COMPLETED
    assert company.driver().rollback("bob", strategy="all-at-once").code is ExitCode.COMPLETED
    assert company.world.live() == image("v1")
    assert steps_of(company, 2) == [100], "a bad version is not to keep most of the traffic"


def test_rollback_of_a_rollback() -> None:
    company = a_company()
    assert released(company, "v2") is ExitCode.COMPLETED
    assert company.driver().rollback("bob").code is ExitCode.COMPLETED
    ended = company.driver().rollback("bob")
    assert ended.code is ExitCode.COMPLETED
    assert company.world.live() == image("v2")
    assert ended.release is not None
    assert (ended.release.returns_to, ended.release.undoes) == (1, 2)


def test_a_rollback_to_a_numbered_release_brings_its_images() -> None:
    company = a_company()
    for version in ("v2", "v3", "v4"):
        assert released(company, version) is ExitCode.COMPLETED
    assert company.driver().rollback("bob", to=1).code is ExitCode.COMPLETED
    assert company.world.live() == image("v2")
    unknown = company.driver().rollback("bob", to=17)
    assert unknown.code is ExitCode.REFUSED
    assert unknown.reason == "release 17 did not complete; these did: 4, 3, 2, 1"


def test_a_rollback_is_the_first_ones_none() -> None:
    company = Company()
    assert released(company, "v1") is ExitCode.COMPLETED
    ended = company.driver().rollback("bob")
    assert ended.code is ExitCode.REFUSED
    assert "was the first one of api: there is nothing to go back to" in ended.reason


def test_a_bad_version_by_every_strategy_is_rolled_back() -> None:
    for strategy in ("all-at-once", "linear", "canary"):
        company = a_company()
        company.policy = replace(company.policy, step_percent=25)
        assert released(company, "bad", strategy=strategy) is ExitCode.ROLLED_BACK
        assert company.world.live() == image("v1")

"""A release on the simulated world, by example."""

from release.model import Phase
from release.run import ExitCode
from tests.release.company import Company
from tests.release.world import image


def test_a_good_version_gets_all_of_the_traffic_step_by_step() -> None:
    company = Company()
    company.world.running("v1")
    ended = company.driver().start(company.request("v2"))
    assert ended.code is ExitCode.COMPLETED, ended.reason
    assert company.world.live() == image("v2")
    release, entries = company.shown(1)
    assert release.phase is Phase.COMPLETED
    seen = [entry.weights["api"]["green"] for entry in entries if entry.weights]
    assert seen == [10, 100, 100]

"""The history as promotion asks for it."""

from dataclasses import replace

from release.past import past_releases
from release.run import ExitCode
from tests.release.company import Company
from tests.release.world import Version, image


def test_each_end_of_a_release_is_told_as_what_it_was() -> None:
    company = Company()
    company.world.versions[image("bad")] = Version(alarm_after_seconds=15)
    assert company.driver().start(company.request("bad")).code is ExitCode.NEEDS_PERSON
    for version in ("v2", "bad"):
        company.driver().start(company.request(version))
    company.driver().start(company.request("v3"))
    company.driver().rollback("bob")
    company.policy = replace(company.policy, approval=True)
    company.driver().start(company.request("v4"))
    past = past_releases(company.driver().history())
    assert [(one.number, one.outcome, one.undoes) for one in past] == [
        (6, "open", None),
        (5, "completed", 4),
        (4, "completed", None),
        (3, "rolled-back", None),
        (2, "completed", None),
        (1, "failed", None),
    ]
    assert past[0].ended is None
    assert past[1].ended is not None
    assert past[1].images == {"api": image("v2")}

"""What speaks against a new version must not stand in the way back from it."""

import pytest

from release.model import Hold
from release.run import ExitCode
from tests.release.company import Company
from tests.release.world import World, gate, image


@pytest.fixture
def company() -> Company:
    world = World("api")
    world.running("v1", service="api")
    made = Company(world)
    assert made.driver().start(made.request("v2")).code is ExitCode.COMPLETED
    return made


@pytest.mark.parametrize("name", ["alarms", "freeze"])
def test_going_back_passes_what_an_emergency_could_override(company: Company, name: str) -> None:
    company.world.gates = [gate("account"), gate(name, passed=False, reason="v2 does harm")]
    ended = company.driver().rollback("bob")
    assert ended.code is ExitCode.COMPLETED, ended.reason
    assert company.world.live() == image("v1")
    release, entries = company.shown(2)
    assert release.overrides == {name: "release 1 is taken back"}, "it goes on record"
    assert [(said["source"], said["outcome"]) for said in entries[0].verdicts] == [
        ("gate:account", "pass"),
        (f"gate:{name}", "overridden"),
    ]
    assert (Hold.FREEZE in release.passed) == (name == "freeze")


def test_going_back_stops_at_what_nobody_can_override(company: Company) -> None:
    company.world.gates = [gate("account", passed=False, reason="another account"), gate("alarms")]
    ended = company.driver().rollback("bob")
    assert ended.code is ExitCode.REFUSED
    assert "another account" in ended.reason
    assert company.world.live() == image("v2")


def test_going_back_with_quiet_gates_overrides_nothing(company: Company) -> None:
    assert company.driver().rollback("bob").code is ExitCode.COMPLETED
    assert company.shown(2)[0].overrides == {}


def test_a_release_that_goes_forward_is_still_refused(company: Company) -> None:
    company.world.gates = [gate("account"), gate("alarms", passed=False, reason="v2 does harm")]
    assert company.driver().start(company.request("v3")).code is ExitCode.REFUSED
    assert company.world.live() == image("v2")

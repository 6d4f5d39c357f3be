"""Why somebody went back stands on record, in their words."""

from datetime import timedelta
from typing import Any

from release.run import ExitCode
from tests.release.company import Company
from tests.release.world import World, image


def a_company(**policy: Any) -> Company:
    world = World("api")
    world.running("v1", service="api")
    return Company(world, **policy)


def test_why_a_completed_release_is_taken_back_is_on_record() -> None:
    company = a_company()
    assert company.driver().start(company.request("v2")).code is ExitCode.COMPLETED
    ended = company.driver().rollback("bob", reason="the new page confuses people")
    assert ended.code is ExitCode.COMPLETED, ended.reason
    _, entries = company.shown(2)
    assert entries[0].reason == "planned by bob: the new page confuses people"
    assert company.world.live() == image("v1")


def test_why_somebody_elsewhere_aborts_a_release_is_on_record() -> None:
    company = a_company(bake_seconds=3600, patience_seconds=30)

    def abort() -> None:
        company.driver().abort("bob", reason="seen on the dashboard")

    company.world.then.append((company.world.now + timedelta(seconds=300), abort))
    ended = company.driver().start(company.request("v2"))
    assert ended.code is ExitCode.ROLLED_BACK
    release, entries = company.shown(1)
    assert release.cause == "aborted by bob: seen on the dashboard"
    assert next(entry.actor for entry in entries if entry.event == "Failed") == "bob"

"""When no release may start, and when one may again."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from infra.settings import FreezeSettings, WeeklyFreezeSettings
from release.freeze import DAYS, Freeze, freeze_at


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def dated(starts: str, ends: str, reason: str = "holidays") -> FreezeSettings:
    return FreezeSettings.model_validate({"reason": reason, "starts": starts, "ends": ends})


def weekly(
    days: list[str], from_hour: int = 0, to_hour: int = 24, timezone: str = "UTC", reason: str = "weekend"
) -> WeeklyFreezeSettings:
    return WeeklyFreezeSettings.model_validate(
        {"reason": reason, "days": days, "from_hour": from_hour, "to_hour": to_hour, "timezone": timezone}
    )


HOLIDAYS = dated("2026-12-20T00:00:00Z", "2027-01-04T00:00:00+01:00")


@pytest.mark.parametrize(
    ("now", "frozen"),
    [
        ("2026-12-19T23:59:59", False),
        ("2026-12-20T00:00:00", True),
        ("2027-01-03T22:59:59", True),
        ("2027-01-03T23:00:00", False),
    ],
)
def test_a_dated_freeze_holds_from_its_start_until_before_its_end(now: str, frozen: bool) -> None:
    found = freeze_at(at(now), [HOLIDAYS], [])
    assert (found is not None) is frozen
    if found:
        assert found == Freeze(reason="holidays", ends=at("2027-01-03T23:00:00"))


def test_without_freezes_nothing_is_frozen() -> None:
    assert freeze_at(at("2026-12-25T12:00:00"), [], []) is None


@pytest.mark.parametrize(
    ("now", "ends"),
    [
        # 2026-11-20 is a Friday; Berlin is an hour ahead of UTC in winter, two in summer.
        ("2026-11-20T13:59:59", None),
        ("2026-11-20T14:00:00", "2026-11-20T23:00:00"),
        ("2026-11-20T22:59:59", "2026-11-20T23:00:00"),
        ("2026-11-20T23:00:00", None),
        ("2026-07-17T13:00:00", "2026-07-17T22:00:00"),
        ("2026-07-17T12:59:59", None),
    ],
)
def test_a_weekly_freeze_follows_the_clocks_of_its_zone(now: str, ends: str | None) -> None:
    found = freeze_at(at(now), [], [weekly(["fri"], 15, 24, "Europe/Berlin")])
    assert (found.ends if found else None) == (at(ends) if ends else None)


def test_a_weekend_is_one_freeze_and_not_two() -> None:
    found = freeze_at(at("2026-11-21T10:00:00"), [], [weekly(["sat", "sun"])])
    assert found is not None
    assert found.ends == at("2026-11-23T00:00:00")
    assert str(found) == "releases are frozen until Monday 2026-11-23 00:00 UTC: weekend"


def test_freezes_of_both_kinds_that_follow_each_other_end_with_the_last() -> None:
    freezes = [
        dated("2026-11-20T12:00:00Z", "2026-11-21T06:00:00Z", "fair"),
        dated("2026-11-23T00:00:00Z", "2026-11-23T08:00:00Z", "later"),
    ]
    found = freeze_at(at("2026-11-20T13:00:00"), freezes, [weekly(["sat", "sun"])])
    assert found == Freeze(reason="fair", ends=at("2026-11-23T08:00:00")), "the reason is what holds now"


def test_all_reasons_that_hold_now_are_told_once() -> None:
    freezes = [dated("2026-11-21T00:00:00Z", "2026-11-21T06:00:00Z", "fair")]
    found = freeze_at(at("2026-11-21T01:00:00"), freezes, [weekly(["sat"]), weekly(["sat"], 1, 2)])
    assert found is not None
    assert found.reason == "fair; weekend"


def test_a_gap_of_a_second_is_a_time_for_releases() -> None:
    freezes = [
        dated("2026-11-20T00:00:00Z", "2026-11-20T10:00:00Z"),
        dated("2026-11-20T10:00:01Z", "2026-11-20T20:00:00Z"),
    ]
    found = freeze_at(at("2026-11-20T09:00:00"), freezes, [])
    assert found is not None
    assert found.ends == at("2026-11-20T10:00:00")
    assert freeze_at(at("2026-11-20T10:00:00"), freezes, []) is None


def test_a_freeze_without_an_end_is_told_as_one() -> None:
    found = freeze_at(at("2026-11-20T09:00:00"), [], [weekly(list(DAYS))])
    assert found == Freeze(reason="weekend", ends=None)
    assert str(found) == "releases are frozen with no end in sight: weekend"


ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    # Half an hour of summer time, skipped midnights, twice the hour after midnight, a day that never was.
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "America/Havana",
    "Asia/Kolkata",
    "Pacific/Apia",
]
# Changes of the clocks, a few hours around which anything may go wrong.
CHANGES = [
    "2026-03-29T01:00:00",
    "2026-10-25T01:00:00",
    "2026-03-08T07:00:00",
    "2026-11-01T06:00:00",
    "2026-04-04T15:00:00",
    "2026-10-03T15:30:00",
    "2026-04-23T22:00:00",
    "2026-10-29T21:00:00",
    "2026-03-08T05:00:00",
    "2026-11-01T05:00:00",
    "2011-12-30T10:00:00",
]


@settings(max_examples=600, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    days=st.lists(st.sampled_from(DAYS), min_size=1, max_size=4, unique=True),
    hours=st.tuples(st.integers(0, 23), st.integers(1, 24)).filter(lambda pair: pair[0] < pair[1]),
    change=st.sampled_from(CHANGES),
    minutes=st.integers(-30 * 60, 30 * 60),
)
@example(zone="Pacific/Apia", days=["fri"], hours=(0, 1), change="2011-12-30T10:00:00", minutes=0)
def test_frozen_is_what_the_clock_on_the_wall_says_also_while_it_is_changed(
    zone: str, days: list[str], hours: tuple[int, int], change: str, minutes: int
) -> None:
    now = at(change) + timedelta(minutes=minutes)
    wall = now.astimezone(ZoneInfo(zone))
    on_the_wall = DAYS[wall.weekday()] in days and hours[0] <= wall.hour < hours[1]
    found = freeze_at(now, [], [weekly(days, *hours, zone)])
    assert (found is not None) is on_the_wall
    if found and found.ends:
        assert found.ends > now
        assert freeze_at(found.ends, [], [weekly(days, *hours, zone)]) is None, (
            "its end is not frozen any more"
        )

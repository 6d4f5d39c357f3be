"""When no release may start. Pure: it is given the time.

A dated freeze holds from its start until its end. A weekly one holds on its days from one full hour to
another, as the clocks of its time zone show them, whatever summer time does to them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from infra.settings import FreezeSettings, WeeklyFreezeSettings

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# Freezes that follow each other without a gap are one; past this, it is said that no end is known.
HORIZON = timedelta(days=400)


@dataclass(frozen=True, kw_only=True)
class Freeze:
    """A time without releases.

    reason: of those in force now, as the settings give them.
    ends: when a release may start again, UTC, seen past freezes that follow without a gap; None if none of
        the next 400 days has such a time.
    """

    reason: str
    ends: datetime | None

    def __str__(self) -> str:
        until = f"until {self.ends:%A %Y-%m-%d %H:%M} UTC" if self.ends else "with no end in sight"
        return f"releases are frozen {until}: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class _Window:
    starts: datetime
    ends: datetime
    reason: str


def freeze_at(
    now: datetime, dated: Sequence[FreezeSettings], weekly: Sequence[WeeklyFreezeSettings]
) -> Freeze | None:
    """The freeze that is in force at `now` (aware), or None."""
    in_force = list(_in_force(now, dated, weekly))
    if not in_force:
        return None
    reason = "; ".join(dict.fromkeys(window.reason for window in in_force))
    ends = now
    while windows := list(_in_force(ends, dated, weekly)):
        ends = max(window.ends for window in windows)
        if ends - now > HORIZON:
            return Freeze(reason=reason, ends=None)
    return Freeze(reason=reason, ends=ends)


def _in_force(
    now: datetime, dated: Sequence[FreezeSettings], weekly: Sequence[WeeklyFreezeSettings]
) -> Iterator[_Window]:
    for freeze in dated:
        if freeze.starts <= now < freeze.ends:
            yield _Window(starts=freeze.starts, ends=freeze.ends.astimezone(UTC), reason=freeze.reason)
    for rule in weekly:
        for window in _around(rule, now):
            if window.starts <= now < window.ends:
                yield window


def _around(rule: WeeklyFreezeSettings, now: datetime) -> Iterator[_Window]:
    """The rule's windows on the day that it is in its zone, and on the days beside that."""
    zone = ZoneInfo(rule.timezone)
    today = now.astimezone(zone).date()
    for day in (today - timedelta(days=1), today, today + timedelta(days=1)):
        if DAYS[day.weekday()] in rule.days and _has(zone, day):
            yield _Window(
                starts=_instant(day, rule.from_hour, zone),
                ends=_instant(day, rule.to_hour, zone),
                reason=rule.reason,
            )


def _has(zone: ZoneInfo, day: date) -> bool:
    """Whether there is such a day: who crosses the date line skips one, as Samoa did in 2011."""
    noon = datetime.combine(day, time(12), zone).astimezone(UTC)
    return noon.astimezone(zone).date() == day


def _instant(day: date, hour: int, zone: ZoneInfo) -> datetime:
    """When the clocks show this hour, for the first time if they do so twice.

    Where they skip it, the moment at which they do: the offset from before leads there.
    """
    day, hour = (day + timedelta(days=1), 0) if hour == 24 else (day, hour)
    return datetime.combine(day, time(hour), zone).astimezone(UTC)

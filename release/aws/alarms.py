"""CloudWatch alarms that stop a release, and that keep one from starting."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from components.colours import COLOURS, Colour
from release.aws.outputs import StackParts
from release.aws.session import asking
from release.errors import NeedsPerson

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

# DescribeAlarms takes no more names at a time.
NAMES_PER_CALL = 100
# What components/alarms.py watches of each database.
DATABASE_WATCHES = ("cpu", "free-storage", "connections")
# The clocks of AWS and of this machine differ a little; in doubt an alarm counts.
CLOCK_SKEW = timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True)
class AlarmState:
    """One alarm. `since`: when it came into this state; None if AWS does not tell."""

    name: str
    value: str
    reason: str
    since: datetime | None


class StackAlarms:
    """The alarms that a release looks at: those of a colour, and those of the databases.

    Those of a whole service (CPU of the busier colour, missing tasks) are left out: they fire while an idle
    colour starts up, and what they would tell is known from the colours' own health.

    began: when the release began; None outside of one. An alarm that fires since before and has not been
        quiet in between does not speak of this release: the gate has shown it, and it was overridden.
        Without that a fix for what fires could never ship.
    """

    def __init__(
        self,
        cloudwatch: "CloudWatchClient",
        parts: StackParts,
        *,
        began: Callable[[], datetime | None] = lambda: None,
    ) -> None:
        self._cloudwatch = cloudwatch
        self._parts = parts
        self._began = began

    def firing(self, service: str, colour: Colour) -> Sequence[str]:
        """Names and reasons of those in ALARM. Raises Unavailable, and NeedsPerson for one that is gone."""
        names = [*self._parts.service(service).alarms[colour], *database_alarm_names(self._parts)]
        began = self._began()
        return [_told(alarm) for alarm in self._firing(names) if began is None or _is_new(alarm, began)]

    def firing_before(self, services: Sequence[str]) -> Sequence[str]:
        """What speaks against the start of a release of these services: all that is in ALARM.

        An idle colour counts too: its alarms are quiet without traffic, so one that still fires is of
        moments ago, and would be taken for the new version's.
        """
        names = [name for one in services for colour in COLOURS for name in self._of(one, colour)]
        return [_told(alarm) for alarm in self._firing([*names, *database_alarm_names(self._parts)])]

    def _of(self, service: str, colour: Colour) -> Sequence[str]:
        return self._parts.service(service).alarms[colour]

    def _firing(self, names: Sequence[str]) -> list[AlarmState]:
        """INSUFFICIENT_DATA is quiet: what makes silence bad says so itself, by its missing-data setting."""
        states = self._states(names)
        return [states[name] for name in names if states[name].value == "ALARM"]

    def _states(self, names: Sequence[str]) -> Mapping[str, AlarmState]:
        found: dict[str, AlarmState] = {}
        for batch in _batches(names):
            with asking(f"ask for the state of {len(batch)} alarms"):
                pages = self._cloudwatch.get_paginator("describe_alarms").paginate(
                    AlarmNames=list(batch), AlarmTypes=["MetricAlarm", "CompositeAlarm"]
                )
                for page in pages:
                    alarms: list[Any] = [*page.get("MetricAlarms", []), *page.get("CompositeAlarms", [])]
                    found |= {alarm["AlarmName"]: _state(alarm) for alarm in alarms}
        if missing := [name for name in names if name not in found]:
            raise NeedsPerson(
                f"CloudWatch has no alarm {', '.join(missing)}: without it nobody would know that the "
                "release does harm; `pulumi up --refresh` makes it again"
            )
        return found


def database_alarm_names(parts: StackParts) -> list[str]:
    """The alarms of the stack's databases, under the names that components/alarms.py gives them."""
    return [f"{parts.name_prefix}-{name}-{watch}" for name in parts.databases for watch in DATABASE_WATCHES]


def _state(alarm: Mapping[str, Any]) -> AlarmState:
    return AlarmState(
        name=alarm["AlarmName"],
        value=alarm["StateValue"],
        reason=alarm.get("StateReason") or "CloudWatch gives no reason",
        since=alarm.get("StateTransitionedTimestamp") or alarm.get("StateUpdatedTimestamp"),
    )


def _is_new(alarm: AlarmState, began: datetime) -> bool:
    return alarm.since is None or alarm.since > began - CLOCK_SKEW


def _told(alarm: AlarmState) -> str:
    return f"{alarm.name}: {alarm.reason}"


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), NAMES_PER_CALL):
        yield names[start : start + NAMES_PER_CALL]

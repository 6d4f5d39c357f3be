"""CloudWatch alarms that stop a release, and that keep one from starting."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.colours import COLOURS, Colour
from release.aws.outputs import StackParts
from release.aws.session import asking
from release.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

# DescribeAlarms takes no more names at a time.
NAMES_PER_CALL = 100
# What components/alarms.py watches of each database.
DATABASE_WATCHES = ("cpu", "free-storage", "connections")


@dataclass(frozen=True, kw_only=True)
class AlarmState:
    """One alarm: OK, ALARM or INSUFFICIENT_DATA, and why."""

    value: str
    reason: str


class StackAlarms:
    """The alarms that a release looks at: those of a colour, and those of the databases.

    Those of a whole service (CPU of the busier colour, missing tasks) are left out: they fire while an idle
    colour starts up, and what they would tell is known from the colours' own health.
    """

    def __init__(self, cloudwatch: "CloudWatchClient", parts: StackParts) -> None:
        self._cloudwatch = cloudwatch
        self._parts = parts

    def firing(self, service: str, colour: Colour) -> Sequence[str]:
        """Those in ALARM, as `<name>: <reason>`. Raises Unavailable, also for an alarm that is gone."""
        return self._firing([*self._of(service, colour), *database_alarm_names(self._parts)])

    def firing_before(self, services: Sequence[str]) -> Sequence[str]:
        """What speaks against the start of a release of these services: all that is in ALARM.

        An idle colour counts too: its alarms are quiet without traffic, so one that still fires is of
        moments ago, and would be taken for the new version's.
        """
        names = [name for one in services for colour in COLOURS for name in self._of(one, colour)]
        return self._firing([*names, *database_alarm_names(self._parts)])

    def _of(self, service: str, colour: Colour) -> Sequence[str]:
        return self._parts.service(service).alarms[colour]

    def _firing(self, names: Sequence[str]) -> list[str]:
        """INSUFFICIENT_DATA is quiet: what makes silence bad says so itself, by its missing-data setting."""
        states = self._states(names)
        return [f"{name}: {states[name].reason}" for name in names if states[name].value == "ALARM"]

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
            raise Unavailable(
                f"CloudWatch has no alarm {', '.join(missing)}: without it nobody would know that the "
                "release does harm; `pulumi up --refresh` makes it again"
            )
        return found


def database_alarm_names(parts: StackParts) -> list[str]:
    """The alarms of the stack's databases, under the names that components/alarms.py gives them."""
    return [f"{parts.name_prefix}-{name}-{watch}" for name in parts.databases for watch in DATABASE_WATCHES]


def _state(alarm: Mapping[str, Any]) -> AlarmState:
    return AlarmState(
        value=alarm["StateValue"], reason=alarm.get("StateReason") or "CloudWatch gives no reason"
    )


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), NAMES_PER_CALL):
        yield names[start : start + NAMES_PER_CALL]

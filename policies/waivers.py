"""Controls that a stack does not keep for a while, and why. Pure.

They stand in the stack's settings, below `switchyard:policy`:

    switchyard:policy:
      waivers:
        - {control: RDS.5, resource: main, reason: no data that anybody would miss, expires: 2027-06-30}
"""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

KEYS = ("control", "expires", "reason", "resource")
# Longer than a year is not for a while.
MAX_DAYS = 366
SHORTEST_REASON = 10


class InvalidWaiver(ValueError):
    """A waiver that says too little, or too much."""


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """A control that some resources need not keep until a day has passed.

    resource: a logical name; `*` stands for any part of it, but not for all of it.
    expires: the last day on which it holds.
    """

    control: str
    resource: str
    reason: str
    expires: date

    def covers(self, control: str, resource: str) -> bool:
        """Whether it is about this control and this resource."""
        return self.control == control and fnmatch.fnmatchcase(resource, self.resource)

    def expired(self, today: date) -> bool:
        """Whether its last day has passed."""
        return today > self.expires


def parse(policy: Any, controls: Sequence[str], today: date) -> list[Waiver]:
    """The waivers of a stack's `switchyard:policy`; none where there is no such key.

    Raises InvalidWaiver, with every mistake, for what is no waiver: without a reason, without an end, with
    one too far away, for all resources, or for a control that is not checked.
    """
    if policy is None:
        return []
    entries = policy.get("waivers", []) if isinstance(policy, Mapping) else None
    if not isinstance(entries, list):
        raise InvalidWaiver("switchyard:policy is no block with a list `waivers`")
    found, mistakes = [], []
    for number, entry in enumerate(entries):
        try:
            found.append(_waiver(entry, controls, today))
        except InvalidWaiver as error:
            mistakes.append(f"switchyard:policy.waivers.{number}: {error}")
    if mistakes:
        raise InvalidWaiver("\n".join(mistakes))
    return found


def _waiver(entry: Any, controls: Sequence[str], today: date) -> Waiver:
    if not isinstance(entry, Mapping) or sorted(entry) != list(KEYS):
        keys = ", ".join(sorted(entry)) if isinstance(entry, Mapping) else "no block"
        raise InvalidWaiver(f"given: {keys}; allowed: exactly {', '.join(KEYS)}")
    control, resource, reason = (str(entry[key]).strip() for key in ("control", "resource", "reason"))
    if control not in controls:
        raise InvalidWaiver(f"control {control} is not one that is checked; docs/policy.md lists them")
    if not resource.replace("*", "").replace("?", ""):
        raise InvalidWaiver(f"resource {resource!r} is all of them; name the ones that are meant")
    if len(reason) < SHORTEST_REASON:
        raise InvalidWaiver(f"reason {reason!r} tells a reviewer nothing; say why {control} can wait")
    try:
        expires = date.fromisoformat(str(entry["expires"]))
    except ValueError:
        raise InvalidWaiver(f"expires is {entry['expires']!r}; give a day such as 2027-06-30") from None
    if (expires - today).days > MAX_DAYS:
        raise InvalidWaiver(f"expires is {expires}, more than {MAX_DAYS} days ahead; come back to it sooner")
    return Waiver(control=control, resource=resource, reason=reason, expires=expires)

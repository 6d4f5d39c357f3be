"""What a stack has proved, as a file: written where its credentials are, read where the next stack's are.

Staging and production are accounts of their own, and a job has the credentials of one of them. So a job of
staging writes this file, and the job that releases to production goes by it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from release.errors import Refused
from release.promotion import PastRelease

# What was taken back since then is not known: this has to be new, and still to wait for an approval.
LONGEST_AGE = timedelta(hours=24)
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A stack at a time. live: by service, the image with all of the traffic; releases: its history."""

    stack: str
    taken_at: datetime
    live: Mapping[str, str]
    releases: Sequence[PastRelease]

    def text(self) -> str:
        """As a file. Nothing in it is secret."""
        return json.dumps({"format": FORMAT, **asdict(self)}, default=_as_text, indent=1) + "\n"


def read(file: Path, now: datetime) -> Evidence:
    """What the file says. Raises Refused for one that is old, of tomorrow, or no such file."""
    try:
        found = json.loads(file.read_text())
        evidence = _evidence(found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(f"{file} is no evidence: {error}; `switchyard release evidence` makes one") from None
    age = now - evidence.taken_at
    if not timedelta(minutes=-5) <= age <= LONGEST_AGE:
        raise Refused(
            f"{file} was taken at {evidence.taken_at:%Y-%m-%d %H:%M} UTC; what it says may be over. It "
            f"counts for {LONGEST_AGE // timedelta(hours=1)} hours: take it again"
        )
    return evidence


def _evidence(found: Mapping[str, Any]) -> Evidence:
    if found["format"] != FORMAT:
        raise ValueError(f"its format is {found['format']}, and {FORMAT} is known here")
    return Evidence(
        stack=found["stack"],
        taken_at=_time(found["taken_at"]),
        live=dict(found["live"]),
        releases=[_release(one) for one in found["releases"]],
    )


def _as_text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{value!r} is no part of a file")


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return found


def _release(found: Mapping[str, Any]) -> PastRelease:
    ended = found["ended"]
    return PastRelease(**{**found, "ended": _time(ended) if ended else None})

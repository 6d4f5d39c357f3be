"""The record of a release: who did what and when, and why. Append-only, and tamper-evident.

Each entry carries the hash of the one before; the first one carries that of the release before, so that the
history is one chain. The release itself keeps the newest hash and the number of entries, which shows a tail
that was cut off.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from release.errors import ReleaseError
from release.model import Release

GENESIS = "0" * 64


class BrokenRecord(ReleaseError):
    """An entry was changed, removed or moved."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing that happened.

    seq: from 1, without gaps.
    event: what happened, in one word.
    weights: production weights by service and colour, where they were seen.
    verdicts: what judges, checks and gates said: `source`, `outcome`, `reason`.
    facts: anything else that belongs to the event, as plain JSON values.
    previous, hash: SHA-256 in hex, of the entry before and of this one.
    """

    release: int
    seq: int
    at: datetime
    actor: str
    event: str
    phase: str
    reason: str
    weights: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    verdicts: Sequence[Mapping[str, str]] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    previous: str = GENESIS
    hash: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        plain = asdict(self)
        plain["at"] = self.at.isoformat()
        plain["verdicts"] = [dict(verdict) for verdict in self.verdicts]
        return plain

    def computed_hash(self) -> str:
        """SHA-256 of everything but the hash, as JSON with sorted keys and no spaces."""
        plain = self.as_dict()
        del plain["hash"]
        return hash_of(plain)

    def sealed(self, previous: str) -> "Entry":
        """The entry in its place of the chain."""
        placed = replace(self, previous=previous, hash="")
        return replace(placed, hash=placed.computed_hash())


def hash_of(plain: Mapping[str, Any]) -> str:
    """SHA-256 in hex of JSON values, as JSON with sorted keys and no spaces."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def entry_from_dict(plain: Mapping[str, Any]) -> Entry:
    """The entry that `as_dict` gave. Raises BrokenRecord where it is none."""
    try:
        at, verdicts = datetime.fromisoformat(plain["at"]), tuple(plain["verdicts"])
        return Entry(**{**plain, "at": at, "verdicts": verdicts})
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenRecord(
            f"an entry of the record can't be read ({error}): {json.dumps(plain)[:200]}"
        ) from error


def verify(entries: Sequence[Entry], *, release: Release, previous: str | None = None) -> None:
    """Raises BrokenRecord with the first entry that is not what was written.

    previous: the hash that the release before ended with; None leaves that link unchecked.
    """
    last = previous if previous is not None else (entries[0].previous if entries else release.head)
    for place, entry in enumerate(entries, start=1):
        where = f"entry {place} of release {release.id}"
        if (entry.release, entry.seq) != (release.number, place):
            raise BrokenRecord(
                f"{where} is missing or out of order: found entry {entry.seq} of release {entry.release}"
            )
        if entry.previous != last:
            raise BrokenRecord(f"{where} does not follow the one before: one of the two was replaced")
        if entry.computed_hash() != entry.hash:
            raise BrokenRecord(f"{where} was changed after it was written")
        last = entry.hash
    if len(entries) != release.entries or last != release.head:
        raise BrokenRecord(
            f"the record of release {release.id} has {len(entries)} entries and should have "
            f"{release.entries}, the last with the hash {release.head[:12]}…"
        )


def export_json(release: Release, entries: Sequence[Entry]) -> str:
    """The record for a machine: what was released, and each entry with its hash."""
    whole = {"release": release_as_dict(release), "entries": [entry.as_dict() for entry in entries]}
    return json.dumps(whole, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def release_as_dict(release: Release) -> dict[str, Any]:
    """The release as plain JSON values."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(release), default=_plain))
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no place in a record")


def export_markdown(release: Release, entries: Sequence[Entry]) -> str:
    """The record for a change board."""
    lines = [
        f"# Release {release.id}: {_outcome(release)}",
        "",
        *_summary(release),
        "",
        *_services(release),
        "",
        *_overrides(release),
        *_gates(entries),
        *_weights(entries),
        *_events(entries),
        f"Each entry carries the SHA-256 of the one before. The last is `{release.head}`.",
        "",
    ]
    return "\n".join(lines)


def _outcome(release: Release) -> str:
    said = release.phase.value.replace("_", " ").lower()
    return f"{said}, held for {release.held.value}" if release.held else said


def _summary(release: Release) -> list[str]:
    facts = {
        "Stack": release.stack,
        "Kind": release.kind,
        "Strategy": release.strategy,
        "By": release.actor,
        "Commit": release.commit or "not given",
        "Change record": release.change or "not given",
        "Approved by": release.approved_by or "no approval",
        "Began": _time(release.created_at),
        "Last change": _time(release.updated_at),
        "Outcome": _outcome(release),
        "Reason": release.cause or release.reason,
    }
    if release.returns_to is not None:
        facts["Goes back to"] = f"release {release.returns_to}"
    if release.undoes is not None:
        facts["Takes back"] = f"release {release.undoes}"
    return ["| | |", "| --- | --- |", *(f"| {name} | {_cell(value)} |" for name, value in facts.items())]


def _services(release: Release) -> list[str]:
    lines = ["| Service | Image | To | Before |", "| --- | --- | --- | --- |"]
    for change in release.changes:
        before = change.previous_image or "nothing: a first release"
        lines.append(f"| {change.service} | `{change.image}` | {change.new} | {_cell(before)} |")
    return lines


def _overrides(release: Release) -> list[str]:
    if not release.overrides:
        return ["No gate was overridden.", ""]
    lines = [f"- **{gate}**: {reason}" for gate, reason in sorted(release.overrides.items())]
    return ["## Overridden gates", "", *lines, ""]


def _gates(entries: Sequence[Entry]) -> list[str]:
    gates = [verdict for entry in entries for verdict in entry.verdicts if _is_gate(verdict)]
    if not gates:
        return []
    rows = [f"| {g['source'][5:]} | {g['outcome']} | {_cell(g['reason'])} |" for g in gates]
    return ["## Gates", "", "| Gate | | |", "| --- | --- | --- |", *rows, ""]


def _is_gate(verdict: Mapping[str, str]) -> bool:
    return verdict["source"].startswith("gate:")


def _weights(entries: Sequence[Entry]) -> list[str]:
    rows = []
    for entry in entries:
        for service, weights in sorted(entry.weights.items()):
            rows.append(f"| {_time(entry.at)} | {service} | {weights['blue']} | {weights['green']} |")
    if not rows:
        return ["No weight was moved.", ""]
    return ["## Weights", "", "| Time | Service | blue | green |", "| --- | --- | --: | --: |", *rows, ""]


def _events(entries: Sequence[Entry]) -> list[str]:
    lines = ["## Events", "", "| # | Time | Phase | Event | By | |", "| --: | --- | --- | --- | --- | --- |"]
    for entry in entries:
        lines.append(
            f"| {entry.seq} | {_time(entry.at)} | {entry.phase} | {entry.event} | {_cell(entry.actor)} "
            f"| {_cell(entry.reason)} |"
        )
        for verdict in entry.verdicts:
            if not _is_gate(verdict):
                said = f"{verdict['source']}: **{verdict['outcome']}** {verdict['reason']}"
                lines.append(f"| | | | verdict | | {_cell(said)} |")
    return [*lines, ""]


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def _cell(text: str) -> str:
    """Text that can't break out of a table's cell."""
    return " ".join(text.split()).replace("|", "\\|")

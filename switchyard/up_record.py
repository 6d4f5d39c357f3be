"""The record of `switchyard up`: who applied what to a stack, when, and how it ended. Append-only, chained.

It is kept in the stack's own table, beside the record of its releases:

    update       <seq>    one entry: an update was begun, or it ended
    update-head  stack    sequence and hash of the newest entry

Each entry carries the SHA-256 of the one before, so one that was changed, cut or swapped later does not
verify. An update whose process was killed has a begin and no end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from release.errors import ReleaseError, Unavailable
from release.record import GENESIS, BrokenRecord, hash_of
from release.table import Key, Put, Table

HEAD = Key(pk="update-head", sk="stack")
PARTITION = "update"
# Another update of the stack has just written: only one at a time can apply, so this is plenty.
ATTEMPTS = 5


class Outcome(StrEnum):
    """How an update ended."""

    SUCCEEDED = "succeeded"
    UNCHANGED = "unchanged"  # there was nothing to do
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    LOCKED = "locked"  # somebody else took the stack at the last moment: nothing was done
    REFUSED = "refused"  # nothing was begun; not on record
    UNKNOWN = "unknown"  # begun, and no end was written: it runs, or it was killed


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The begin of an update, or its end.

    seq: from 1, without gaps.
    run: one per run of the command; it tells which end belongs to which begin.
    outcome: None at the begin.
    plan: digest of what was applied.
    job: URL of the CI job.
    counts: resources by operation that were done.
    """

    seq: int = 0
    run: str
    at: datetime
    actor: str
    outcome: Outcome | None = None
    commit: str | None = None
    plan: str | None = None
    job: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    duration_seconds: float | None = None
    reason: str = ""
    previous: str = GENESIS
    hash: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        plain = {**asdict(self), "at": self.at.isoformat(), "counts": dict(self.counts)}
        plain["outcome"] = self.outcome.value if self.outcome else None
        return plain

    def computed_hash(self) -> str:
        """SHA-256 of everything but the hash."""
        return hash_of({key: value for key, value in self.as_dict().items() if key != "hash"})

    def sealed(self, seq: int, previous: str) -> "Entry":
        """The entry in its place of the chain."""
        placed = replace(self, seq=seq, previous=previous, hash="")
        return replace(placed, hash=placed.computed_hash())


@dataclass(frozen=True, kw_only=True)
class Update:
    """One update, put together from its entries. ended: None while it runs, or if it was killed."""

    number: int
    began: datetime
    ended: datetime | None
    actor: str
    outcome: Outcome
    commit: str | None
    plan: str | None
    job: str | None
    counts: Mapping[str, int]
    duration_seconds: float | None
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            **asdict(self),
            "began": self.began.isoformat(),
            "ended": self.ended.isoformat() if self.ended else None,
            "outcome": self.outcome.value,
            "counts": dict(self.counts),
        }


class UpdateRecord:
    """The record of one stack. Every method may raise ReleaseError, as where the table can't be reached."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def append(self, entry: Entry) -> Entry:
        """Keeps the entry as the newest one, and returns it with its place and hash."""
        failure: ReleaseError | None = None
        sealed: Entry | None = None
        for _ in range(ATTEMPTS):
            try:
                # A write whose answer was lost has happened all the same.
                if sealed is not None and self._holds(sealed):
                    return sealed
                head = self._table.get(HEAD)
                seq, previous = (head["seq"], head["hash"]) if head else (0, GENESIS)
                sealed = entry.sealed(seq + 1, previous)
                newest = {**asdict(HEAD), "seq": sealed.seq, "hash": sealed.hash}
                put = Put(item=newest, equal={"hash": previous}) if head else Put(item=newest, absent=True)
                item = {**asdict(_key(sealed)), "entry": sealed.as_dict()}
                if self._table.write([put, Put(item=item, absent=True)]):
                    return sealed
            except Unavailable as error:
                failure = error
        raise failure or ReleaseError(f"others wrote to the record of updates {ATTEMPTS} times meanwhile")

    def _holds(self, sealed: Entry) -> bool:
        found = self._table.get(_key(sealed))
        return found is not None and found["entry"]["hash"] == sealed.hash

    def entries(self) -> list[Entry]:
        """All entries in their order. Raises BrokenRecord if they are not what was written."""
        items = sorted(self._table.query(PARTITION), key=lambda item: item["sk"])
        found = [_entry(item["entry"]) for item in items]
        _verify(found, self._table.get(HEAD))
        return found

    def updates(self) -> list[Update]:
        """The updates, the newest first."""
        by_run: dict[str, list[Entry]] = {}
        for entry in self.entries():
            by_run.setdefault(entry.run, []).append(entry)
        found = [_update(number, entries) for number, entries in enumerate(by_run.values(), start=1)]
        return found[::-1]


def has_no_table(error: ReleaseError) -> bool:
    """Whether this is only that the stack has no table yet: its first `up` brings it."""
    return "ResourceNotFoundException" in str(error)


def _key(entry: Entry) -> Key:
    return Key(pk=PARTITION, sk=f"{entry.seq:08d}")


def _update(number: int, entries: Sequence[Entry]) -> Update:
    first, last = entries[0], entries[-1]
    return Update(
        number=number,
        began=first.at,
        ended=last.at if last.outcome else None,
        actor=first.actor,
        outcome=last.outcome or Outcome.UNKNOWN,
        commit=last.commit,
        plan=last.plan,
        job=last.job,
        counts=last.counts,
        duration_seconds=last.duration_seconds,
        reason=last.reason,
    )


def _entry(plain: Mapping[str, Any]) -> Entry:
    try:
        outcome = Outcome(plain["outcome"]) if plain["outcome"] else None
        return Entry(**{**plain, "at": datetime.fromisoformat(plain["at"]), "outcome": outcome})
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenRecord(f"an entry of the record of updates can't be read: {error}") from error


def _verify(entries: Sequence[Entry], head: Mapping[str, Any] | None) -> None:
    last = GENESIS
    for place, entry in enumerate(entries, start=1):
        where = f"entry {place} of the record of updates"
        if entry.seq != place:
            raise BrokenRecord(f"{where} is missing or out of order: found entry {entry.seq}")
        if entry.previous != last:
            raise BrokenRecord(f"{where} does not follow the one before: one of the two was replaced")
        if entry.computed_hash() != entry.hash:
            raise BrokenRecord(f"{where} was changed after it was written")
        last = entry.hash
    if (head["seq"], head["hash"]) != (len(entries), last) if head else entries:
        raise BrokenRecord(
            f"the record of updates has {len(entries)} entries, and its head says another end: entries were "
            "cut off, or added by somebody else"
        )

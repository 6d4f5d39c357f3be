"""Where a release is kept: the lock, the release in progress, the orders to it, the history, the records.

One DynamoDB table of a stack. Items, by `pk` and `sk`:

    lock      stack     who owns the release in progress, until when, and the fencing token
    current   release   the release in progress
    order     <what>    what somebody asks of the process that owns it: abort, approve
    history   <number>  releases that are over
    record    <number>/<seq>   their entries

Every write of the owner is one transaction with a check of its fencing token in the lock. The token only
grows, so a process that lost the lock and does not know it yet can't write any more.
"""

import os
import socket
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import cache
from getpass import getuser
from typing import Any

from pydantic import TypeAdapter

from release.errors import LostLock, Refused, ReleaseError
from release.model import Release
from release.record import Entry, entry_from_dict
from release.table import Check, Delete, Key, Put, Table, Write

# A process that died is taken over after this; one that lives renews it four times in that time.
LEASE_SECONDS = 60
LOCK = Key(pk="lock", sk="stack")
CURRENT = Key(pk="current", sk="release")


class Locked(Refused):
    """Somebody else's process owns the release; the message says whose and since when."""


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Who holds the lock: a person on a machine, a process, and one run of it."""

    who: str
    pid: int
    run: str


def this_process() -> Owner:
    """An owner for a new run of this process."""
    try:
        user = getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return Owner(who=f"{user}@{socket.gethostname()}", pid=os.getpid(), run=uuid.uuid4().hex)


@dataclass(frozen=True, kw_only=True)
class Lock:
    """The lock as it was read. held is False once it was given back; the token stays."""

    owner: Owner
    token: int
    held: bool
    since: datetime
    until: datetime
    stamp: str

    def lives(self, now: datetime) -> bool:
        """Whether its owner may still be at work."""
        return self.held and self.until > now


@dataclass(frozen=True, kw_only=True)
class Order:
    """What somebody asks of the process that owns a release. reason: in their words, or empty."""

    by: str
    reason: str = ""

    def __str__(self) -> str:
        return self.by + (f": {self.reason}" if self.reason else "")


@cache
def _releases() -> TypeAdapter[Release]:
    return TypeAdapter(Release)


class Store:
    """The table of one stack, for one owner. All times are given, none is taken."""

    def __init__(
        self, table: Table, owner: Owner, now: Callable[[], datetime], lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self._table = table
        self._now = now
        self._lease = timedelta(seconds=lease_seconds)
        self.lease_seconds = lease_seconds
        self._asked = False
        self.owner = owner
        self.token = 0

    # The lock.

    def lock(self) -> Lock | None:
        """The lock as it is, or None where there never was one."""
        item = self._table.get(LOCK)
        if item is None:
            return None
        return Lock(
            owner=Owner(who=item["who"], pid=item["pid"], run=item["run"]),
            token=item["token"],
            held=item["held"],
            since=datetime.fromisoformat(item["since"]),
            until=datetime.fromisoformat(item["until"]),
            stamp=item["stamp"],
        )

    def acquire(self) -> int:
        """Takes the lock where it is free or its lease is over; returns the fencing token.

        Raises Locked with who has it, and since when.
        """
        self._asked = True
        before = self.lock()
        now = self._now()
        if before is not None and before.held and before.owner.run == self.owner.run:
            # An answer that was lost on the way: the lock is ours already.
            self.token = before.token
            self.renew()
            return self.token
        if before is not None and before.lives(now):
            raise Locked(_locked(before, now))
        token = (before.token if before else 0) + 1
        if not self._table.write([self._lock_put(token, now, before.stamp if before else None)]):
            after = self.lock()
            if after is None or after.owner.run != self.owner.run or not after.held:
                raise Locked(
                    _locked(after, now) if after else "the lock was taken by another process: look again"
                )
        self.token = token
        return token

    def renew(self) -> None:
        """Puts off the end of the lease. Raises LostLock."""
        before = self.lock()
        if before is None or before.owner.run != self.owner.run or not before.held:
            raise self._lost(before)
        put = self._lock_put(self.token, self._now(), before.stamp, since=before.since)
        if not self._table.write([put]):
            after = self.lock()
            # Two threads of one run may renew at once; that is as good as one.
            if after is None or after.owner.run != self.owner.run:
                raise self._lost(after)

    def give_back(self) -> None:
        """Frees the lock if it is still this owner's; nothing happens if not."""
        # A request whose answer was lost may have taken it.
        before = self.lock() if self._asked else None
        if before is not None and before.owner.run == self.owner.run and before.held:
            now = self._now()
            put = self._lock_put(before.token, now, before.stamp, since=before.since, held=False)
            self._table.write([put])

    def _lock_put(
        self,
        token: int,
        now: datetime,
        stamp_before: str | None,
        *,
        since: datetime | None = None,
        held: bool = True,
    ) -> Put:
        item = {
            **asdict(LOCK),
            **asdict(self.owner),
            "token": token,
            "held": held,
            "since": (since or now).isoformat(),
            "until": (now + self._lease).isoformat(),
            "stamp": uuid.uuid4().hex,
        }
        if stamp_before is None:
            return Put(item=item, absent=True)
        return Put(item=item, equal={"stamp": stamp_before})

    def _mine(self) -> Check:
        return Check(key=LOCK, equal={"token": self.token, "run": self.owner.run, "held": True})

    def _lost(self, lock: Lock | None) -> LostLock:
        who = _holder(lock) if lock and lock.held else "nobody"
        return LostLock(
            f"this process no longer owns the release ({who} does): it stops here and touches nothing more"
        )

    # The release in progress.

    def current(self) -> Release | None:
        """The release in progress."""
        item = self._table.get(CURRENT)
        return None if item is None else _releases().validate_json(item["release"])

    def save(self, release: Release, entries: Sequence[Entry]) -> None:
        """Keeps the release and the new entries of its record, all or nothing. Raises LostLock.

        A release that is over becomes history with the same write.
        """
        document = _releases().dump_json(release).decode()
        if release.phase.is_terminal:
            history = {"pk": "history", "sk": f"{release.number:08d}", "release": document}
            kept: list[Write] = [Delete(key=CURRENT), Put(item=history, absent=True)]
        else:
            kept = [Put(item={**asdict(CURRENT), "release": document})]
        records = [Put(item=_record_item(entry), absent=True) for entry in entries]
        if self._table.write([self._mine(), *kept, *records]):
            return
        lock = self.lock()
        if lock is None or lock.owner.run != self.owner.run or lock.token != self.token or not lock.held:
            raise self._lost(lock)
        written = self._table.get(_record_key(entries[-1]))
        # The answer to a first attempt may have been lost.
        if written is None or written["entry"]["hash"] != entries[-1].hash:
            raise ReleaseError(
                f"release {release.id} can't be kept: entry {entries[0].seq} of its record is there already "
                "and is another one. `show` it, and look who writes to the table"
            )

    # History and records.

    def history(self) -> list[Release]:
        """Releases that are over, the newest first."""
        items = self._table.query("history")
        releases = [_releases().validate_json(item["release"]) for item in items]
        return sorted(releases, key=lambda release: release.number, reverse=True)

    def entries(self, number: int) -> list[Entry]:
        """The record of a release, in the order that it is kept in. It is not verified here."""
        items = self._table.query("record", f"{number:08d}/")
        return [entry_from_dict(item["entry"]) for item in sorted(items, key=lambda item: item["sk"])]

    # Orders to whoever owns the release.

    def order(self, what: str, release: Release, by: str, reason: str = "") -> None:
        """Leaves an order for the process that owns the release as it is now."""
        about = {"number": release.number, "entries": release.entries, "by": by, "reason": reason}
        self._table.write([Put(item={"pk": "order", "sk": what, **about, "at": self._now().isoformat()})])

    def ordered(self, what: str, release: Release, *, at_this_entry: bool) -> Order | None:
        """Who ordered that of this release and why, or None.

        at_this_entry: only an order given since the newest entry of the record counts.
        """
        item = self._table.get(Key(pk="order", sk=what))
        if item is None or item["number"] != release.number:
            return None
        stale = at_this_entry and item["entries"] != release.entries
        return None if stale else Order(by=item["by"], reason=item.get("reason", ""))


def _record_key(entry: Entry) -> Key:
    return Key(pk="record", sk=f"{entry.release:08d}/{entry.seq:06d}")


def _record_item(entry: Entry) -> dict[str, Any]:
    return {**asdict(_record_key(entry)), "entry": entry.as_dict()}


def _holder(lock: Lock) -> str:
    return f"{lock.owner.who}, process {lock.owner.pid}, since {lock.since:%Y-%m-%d %H:%M:%S} UTC"


def _locked(lock: Lock, now: datetime) -> str:
    left = max(0, round((lock.until - now).total_seconds()))
    return (
        f"a release is in the hands of {_holder(lock)}. If that process is gone, its lease ends in {left} s; "
        "then `resume` or `abort` works from here"
    )

"""The lease of a process that waits for something long."""

import time
from collections.abc import Mapping
from typing import Any

import pytest

from release.clock import SystemClock
from release.errors import LostLock, Unavailable
from release.journal import Heartbeat, Journal, StoreSilent
from release.store import Locked, Owner, Store
from release.table import Table
from tests.release.samples import a_release
from tests.release.tables import DictTable

LEASE = 2.0


def a_store(table: Table, run: str) -> Store:
    return Store(table, Owner(who="ann@machine", pid=1, run=run), SystemClock().now, lease_seconds=LEASE)


def a_journal(store: Store) -> Journal:
    seen: list[Mapping[str, Any]] = []
    return Journal(
        a_release(),
        store=store,
        clock=SystemClock(),
        observe=seen.append,
        stopped=lambda: False,
        patience_seconds=1.0,
    )


def test_a_lease_lasts_for_as_long_as_the_heart_beats_and_no_longer() -> None:
    table = DictTable()
    mine, other = a_store(table, "mine"), a_store(table, "other")
    mine.acquire()
    with Heartbeat(a_journal(mine), 0.2):
        time.sleep(LEASE * 1.5)
        with pytest.raises(Locked):
            other.acquire()
    time.sleep(LEASE * 1.5)
    assert other.acquire() == 2


def test_nothing_is_written_to_the_world_by_a_process_that_was_taken_over() -> None:
    table = DictTable()
    mine, other = a_store(table, "mine"), a_store(table, "other")
    mine.acquire()
    journal = a_journal(mine)
    time.sleep(LEASE * 1.2)
    other.acquire()
    with pytest.raises(LostLock, match="ann@machine, process 1"):
        journal.guard()


def test_what_can_not_be_kept_is_given_up_after_the_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("release.journal.RETRY_SECONDS", 0.02)
    tries: list[str] = []

    def around(name: str, act: Any) -> Any:
        if name == "table.write" and mine.token:
            tries.append(name)
            raise Unavailable("the table does not answer")
        return act()

    mine = a_store(DictTable(around), "mine")
    mine.acquire()
    journal = a_journal(mine)
    with pytest.raises(StoreSilent, match="so nothing more is done"):
        journal.keep(journal.release, event="Noted", at=journal.now)
    assert len(tries) > 1
    assert journal.release.entries == 0

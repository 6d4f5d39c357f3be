"""The record of updates: what was written is what is read, and whoever changes it later is found out."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from release.errors import ReleaseError, Unavailable
from release.record import GENESIS, BrokenRecord
from switchyard.up_record import Entry, Outcome, UpdateRecord
from tests.release.dynamo import release_table
from tests.release.tables import DictTable

AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def begin(run: str = "one", **more: Any) -> Entry:
    return Entry(run=run, at=AT, actor="ada", commit="4be1d0c", plan="f" * 64, **more)


def end(run: str = "one", outcome: Outcome = Outcome.SUCCEEDED, **more: Any) -> Entry:
    return replace(begin(run, **more), at=AT + timedelta(minutes=2), outcome=outcome, duration_seconds=119.5)


def test_an_update_is_its_begin_and_its_end() -> None:
    record = UpdateRecord(DictTable())
    record.append(begin(job="https://ci/1"))
    record.append(end(job="https://ci/1", counts={"create": 2, "update": 1}))
    (found,) = record.updates()
    assert found.as_dict() == {
        "number": 1,
        "began": "2026-11-21T12:00:00+00:00",
        "ended": "2026-11-21T12:02:00+00:00",
        "actor": "ada",
        "outcome": "succeeded",
        "commit": "4be1d0c",
        "plan": "f" * 64,
        "job": "https://ci/1",
        "counts": {"create": 2, "update": 1},
        "duration_seconds": 119.5,
        "reason": "",
    }


def test_one_that_was_killed_has_no_end_and_the_newest_comes_first() -> None:
    record = UpdateRecord(DictTable())
    for entry in (begin("one"), begin("two"), end("two", Outcome.FAILED, reason="Throttling")):
        record.append(entry)
    told = [(each.number, each.outcome, each.ended, each.reason) for each in record.updates()]
    ended = AT + timedelta(minutes=2)
    assert told == [(2, Outcome.FAILED, ended, "Throttling"), (1, Outcome.UNKNOWN, None, "")]


def test_dynamodb_gives_back_what_was_written() -> None:
    with release_table() as table:
        record = UpdateRecord(table)
        first = record.append(begin())
        second = record.append(end(counts={"create": 2}, reason='ein "Grund" mit ümlaut\n'))
        assert record.entries() == [first, second]
        assert (first.previous, second.previous) == (GENESIS, first.hash)


def rewritten(table: DictTable, seq: int, edit: Callable[[dict[str, Any]], None]) -> None:
    item = json.loads(table.items["update", f"{seq:08d}"])
    edit(item["entry"])
    table.items["update", f"{seq:08d}"] = json.dumps(item)


@pytest.fixture
def table() -> DictTable:
    found = DictTable()
    record = UpdateRecord(found)
    for run in ("one", "two"):
        record.append(begin(run))
        record.append(end(run))
    return found


@pytest.mark.parametrize("name", ["actor", "commit", "plan", "reason", "run", "job"])
def test_a_changed_entry_is_found_out(table: DictTable, name: str) -> None:
    rewritten(table, 2, lambda entry: entry.update({name: "mallory"}))
    with pytest.raises(BrokenRecord, match=r"entry 2 .* was changed after it was written"):
        UpdateRecord(table).updates()


@pytest.mark.parametrize("value", ["unchanged", None, {"create": 9}])
def test_a_changed_outcome_or_count_is_found_out(table: DictTable, value: Any) -> None:
    name = "counts" if isinstance(value, dict) else "outcome"
    rewritten(table, 2, lambda entry: entry.update({name: value}))
    with pytest.raises(BrokenRecord, match="was changed after"):
        UpdateRecord(table).updates()


def test_an_entry_that_was_sealed_anew_does_not_fit_the_next(table: DictTable) -> None:
    forged = replace(UpdateRecord(table).entries()[1], actor="mallory")
    rewritten(table, 2, lambda entry: entry.update(forged.sealed(2, forged.previous).as_dict()))
    with pytest.raises(BrokenRecord, match=r"entry 3 .* does not follow"):
        UpdateRecord(table).updates()


@pytest.mark.parametrize(
    ("seq", "told"), [(1, "entry 1 .* missing"), (3, "entry 3 .* missing"), (4, "3 entries")]
)
def test_an_entry_that_was_taken_away_is_missed(table: DictTable, seq: int, told: str) -> None:
    del table.items["update", f"{seq:08d}"]
    with pytest.raises(BrokenRecord, match=told):
        UpdateRecord(table).updates()


def test_a_head_that_was_taken_away_is_missed(table: DictTable) -> None:
    del table.items["update-head", "stack"]
    with pytest.raises(BrokenRecord, match="its head says another end"):
        UpdateRecord(table).updates()


@pytest.mark.parametrize("edit", [{"at": "yesterday"}, {"outcome": "fine"}, {"surprise": 1}])
def test_what_is_no_entry_is_told(table: DictTable, edit: dict[str, Any]) -> None:
    rewritten(table, 1, lambda entry: entry.update(edit))
    with pytest.raises(BrokenRecord, match="can't be read"):
        UpdateRecord(table).updates()


def test_two_at_once_both_get_a_place() -> None:
    table = DictTable()
    both = threading.Barrier(2)

    def meet(what: str, act: Callable[[], Any]) -> Any:
        found = act()
        if what == "table.get update-head" and not both.broken:
            both.wait(5)
            both.abort()
        return found

    table.around = meet

    def append(run: str) -> None:
        try:
            UpdateRecord(table).append(begin(run))
        except threading.BrokenBarrierError:
            UpdateRecord(table).append(begin(run))

    threads = [threading.Thread(target=append, args=(run,)) for run in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(entry.run for entry in UpdateRecord(table).entries()) == ["one", "two"]


def test_a_write_whose_answer_was_lost_is_not_written_twice() -> None:
    lost = [True]

    def lose(what: str, act: Callable[[], Any]) -> Any:
        found = act()
        if what == "table.write" and lost:
            lost.pop()
            raise Unavailable("no answer")
        return found

    table = DictTable(lose)
    UpdateRecord(table).append(begin())
    assert [entry.seq for entry in UpdateRecord(table).entries()] == [1]


def test_a_table_that_does_not_answer_is_an_error() -> None:
    def fail(what: str, _: Callable[[], Any]) -> Any:
        raise Unavailable(f"{what}: no answer")

    with pytest.raises(ReleaseError, match="no answer"):
        UpdateRecord(DictTable(fail)).append(begin())

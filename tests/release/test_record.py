"""The record: what was written can't be changed, taken out or moved without being found."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from release.model import Phase
from release.record import (
    BrokenRecord,
    Entry,
    entry_from_dict,
    export_json,
    export_markdown,
    verify,
)
from tests.release.company import Company
from tests.release.samples import a_release, with_entries
from tests.release.world import START, Version, gate, image

RELEASE, ENTRIES = with_entries(a_release(), "planned", "shifted", "baked", "completed")


def test_a_record_as_it_was_written_is_in_order() -> None:
    verify(ENTRIES, release=RELEASE)


def test_an_entry_survives_its_way_through_json_with_its_hash() -> None:
    entry = Entry(
        release=1,
        seq=1,
        at=START,
        actor="zoë",
        event="Shifted",
        phase="SHIFTING",
        reason="½ of it",
        weights={"api": {"blue": 90, "green": 10}},
        verdicts=({"source": "errors", "outcome": "pass", "reason": "0.1 %"},),
        facts={"digest": "ab", "steps": [1, 2], "share": 0.25},
    ).sealed("0" * 64)
    again = entry_from_dict(json.loads(json.dumps(entry.as_dict())))
    assert again == entry
    assert again.computed_hash() == entry.hash


CHANGES: list[tuple[str, Callable[[Entry], Entry]]] = [
    ("reason", lambda entry: replace(entry, reason="nothing happened")),
    ("actor", lambda entry: replace(entry, actor="mallory")),
    ("time", lambda entry: replace(entry, at=entry.at + timedelta(microseconds=1))),
    ("weights", lambda entry: replace(entry, weights={"api": {"blue": 100, "green": 0}})),
    ("facts", lambda entry: replace(entry, facts={"override": "none"})),
    ("verdicts", lambda entry: replace(entry, verdicts=({"source": "a", "outcome": "pass", "reason": ""},))),
]


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("change", [change for _, change in CHANGES], ids=[name for name, _ in CHANGES])
def test_a_changed_entry_is_found_and_named(place: int, change: Callable[[Entry], Entry]) -> None:
    forged = [change(entry) if at == place else entry for at, entry in enumerate(ENTRIES)]
    with pytest.raises(BrokenRecord, match=f"entry {place + 1} of release prod-1 was changed"):
        verify(forged, release=RELEASE)


@pytest.mark.parametrize("place", range(3))
def test_a_changed_entry_with_a_new_hash_breaks_the_link_after_it(place: int) -> None:
    forged = list(ENTRIES)
    forged[place] = replace(forged[place], reason="nothing").sealed(forged[place].previous)
    with pytest.raises(BrokenRecord, match=f"entry {place + 2} of release prod-1 does not follow"):
        verify(forged, release=RELEASE)


def test_a_whole_new_chain_does_not_end_as_the_release_says() -> None:
    _, forged = with_entries(a_release(), "planned", "shifted", "baked", "all is well")
    with pytest.raises(BrokenRecord, match="should have 4, the last with the hash"):
        verify(forged, release=RELEASE)


@pytest.mark.parametrize("place", range(3))
def test_a_missing_entry_is_found_and_named(place: int) -> None:
    with pytest.raises(BrokenRecord, match=f"entry {place + 1} of release prod-1 is missing"):
        verify([*ENTRIES[:place], *ENTRIES[place + 1 :]], release=RELEASE)


def test_a_tail_that_was_cut_off_is_found() -> None:
    with pytest.raises(BrokenRecord, match="has 3 entries and should have 4"):
        verify(ENTRIES[:3], release=RELEASE)


def test_an_empty_record_is_a_broken_one() -> None:
    with pytest.raises(BrokenRecord, match="has 0 entries"):
        verify([], release=RELEASE)


def test_entries_in_another_order_are_found() -> None:
    with pytest.raises(BrokenRecord, match="entry 2 of release prod-1 is missing or out of order"):
        verify([ENTRIES[0], ENTRIES[2], ENTRIES[1], ENTRIES[3]], release=RELEASE)


def test_a_record_follows_the_one_of_the_release_before() -> None:
    verify(ENTRIES, release=RELEASE, previous="0" * 64)
    with pytest.raises(BrokenRecord, match="entry 1 of release prod-1 does not follow"):
        verify(ENTRIES, release=RELEASE, previous="f" * 64)


def test_releases_are_one_chain_in_the_table() -> None:
    company = Company()
    company.world.running("v1")
    for version in ("v2", "v3"):
        company.driver().start(company.request(version))
    first, _ = company.shown(1)
    _, entries = company.shown(2)
    assert entries[0].previous == first.head


def test_the_markdown_tells_a_change_board_what_happened() -> None:
    company = Company()
    company.world.running("v1")
    company.world.gates.append(gate("backups", passed=False, reason="none for 30 h"))
    company.world.versions[image("v2")] = Version(alarm_after_seconds=15)
    overrides = {"backups": "the data base is | read only"}
    company.driver().start(
        company.request("v2", kind="emergency", overrides=overrides, commit="abc123", change="CHG-7")
    )
    text = export_markdown(*company.shown(1))
    assert text.startswith("# Release prod-1: rolled back\n")
    for line in (
        "| Commit | abc123 |",
        "| Change record | CHG-7 |",
        "- **backups**: the data base is | read only",
        "| backups | overridden | none for 30 h |",
        "| 2026-03-02 09:00:20 UTC | api | 90 | 10 |",
        f"| api | `{image('v2')}` | green | {image('v1')} |",
    ):
        assert line in text, line
    assert "| Reason | alarm of api in green: api-green-errors: 12.0 percent" in text
    weights = text.split("## Weights")[1].split("##")[0]
    assert [row.split("|")[3:5] for row in weights.splitlines() if "api" in row] == [
        [" 90 ", " 10 "],
        [" 100 ", " 0 "],
        [" 100 ", " 0 "],
    ]


def test_the_json_holds_everything_with_its_hashes() -> None:
    plain = json.loads(export_json(RELEASE, ENTRIES))
    assert plain["release"]["head"] == plain["entries"][-1]["hash"] == RELEASE.head
    assert [entry_from_dict(entry) for entry in plain["entries"]] == ENTRIES
    assert plain["release"]["phase"] == Phase.PLANNED.value

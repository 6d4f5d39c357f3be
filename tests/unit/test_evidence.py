"""What one stack has proved, carried to another one as a file."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from release.errors import NotYet, Refused
from release.evidence import Evidence, read
from release.promotion import PastRelease
from switchyard.errors import SwitchyardError
from switchyard.evidence import judge
from switchyard.promotion_cli import evidence as command
from switchyard.releases import ReleasedStack, promoted_images

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
API, WEB = (f"staging.ecr/switchyard-staging/{name}@sha256:{'a' * 64}" for name in ("api", "web"))
# Pulumi.prod.yaml asks for an hour.
SOAK = timedelta(hours=1)


def evidence(lived: timedelta = SOAK, outcome: str = "completed", stack: str = "staging") -> Evidence:
    release = PastRelease(
        number=4,
        outcome=outcome,  # type: ignore[arg-type]
        ended=NOW - lived,
        images={"api": API, "web": WEB},
    )
    return Evidence(stack=stack, taken_at=NOW, live={"api": API, "web": WEB}, releases=[release])


def test_what_has_soaked_is_proven_by_the_targets_own_settings() -> None:
    judge(evidence(), "prod")


def test_what_has_not_soaked_is_too_early_and_nothing_else_is_wrong() -> None:
    with pytest.raises(NotYet, match=r"0 h 59 min since release 4, of the 1 h 00 min"):
        judge(evidence(SOAK - timedelta(minutes=1)), "prod")


def test_a_hotfix_needs_no_soak() -> None:
    judge(evidence(timedelta()), "prod", hotfix=True)


def test_what_was_rolled_back_is_refused_and_waiting_would_not_help() -> None:
    with pytest.raises(Refused, match="rolled back in staging") as refused:
        judge(evidence(outcome="rolled-back"), "prod")
    assert not isinstance(refused.value, NotYet)


def test_one_that_was_rolled_back_beside_one_that_soaks_is_refused() -> None:
    first = evidence(timedelta(minutes=1))
    second = PastRelease(number=5, outcome="rolled-back", ended=NOW, images={"web": WEB})
    both = Evidence(stack="staging", taken_at=NOW, live=first.live, releases=[*first.releases, second])
    with pytest.raises(Refused) as refused:
        judge(both, "prod")
    assert not isinstance(refused.value, NotYet)


def test_the_file_says_the_same_as_what_was_taken(tmp_path: Path) -> None:
    file = tmp_path / "evidence.json"
    taken = evidence()
    file.write_text(taken.text())
    assert read(file, NOW + timedelta(hours=24)) == taken


def test_a_file_that_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    # Taking it would ask for a cloud.
    with pytest.raises(SwitchyardError, match="there is no folder"):
        command("prod", tmp_path / "none" / "evidence.json", stack="staging")


def test_the_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("switchyard.evidence.take", lambda _: evidence())
    file = tmp_path / "evidence.json"
    command("prod", file, stack="staging")
    assert file.read_text() == evidence().text()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SwitchyardError, match="can't be written: No space left on device"):
        command("prod", file, stack="staging")
    assert file.read_text() == evidence().text()
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("age", [timedelta(hours=24, seconds=1), timedelta(minutes=-6)], ids=["old", "new"])
def test_evidence_counts_for_a_day_and_not_from_tomorrow(tmp_path: Path, age: timedelta) -> None:
    file = tmp_path / "evidence.json"
    file.write_text(evidence().text())
    with pytest.raises(Refused, match="counts for 24 hours: take it again"):
        read(file, NOW + age)


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2}', '{"format": 1, "stack": "staging"}'])
def test_what_is_no_evidence_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(Refused, match="is no evidence"):
        read(tmp_path / "e.json", NOW)
    with pytest.raises(Refused, match="is no evidence"):
        read(tmp_path / "none.json", NOW)


def test_a_time_without_a_zone_is_no_evidence(tmp_path: Path) -> None:
    file = tmp_path / "e.json"
    file.write_text(evidence().text().replace("+00:00", ""))
    with pytest.raises(Refused, match="no time zone"):
        read(file, NOW)


def test_evidence_of_another_stack_than_the_one_named_is_refused() -> None:
    with pytest.raises(Refused, match="the evidence is of dev, and prod is to be promoted from staging"):
        promoted_images("staging", ReleasedStack("prod", evidence=evidence(stack="dev")), [])

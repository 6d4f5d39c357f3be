"""What a user is told while the engine works, and when it fails."""

import io
from pathlib import Path
from typing import Any

import pulumi.automation as auto
import pytest
from pulumi.automation import EngineEvent
from rich.console import Console

from infra.settings_file import kept
from switchyard import embedded
from switchyard.embedded import Watcher
from switchyard.errors import DeploymentFailed
from tests.unit.test_status import FOUND

URN = "urn:pulumi:local::switchyard::aws:ec2/vpc:Vpc::"


def event(**values: Any) -> EngineEvent:
    """An event as the engine writes it into its log."""
    return EngineEvent.from_json({"sequence": 1, "timestamp": 1, **values})


def step(name: str, op: str) -> dict[str, Any]:
    return {"metadata": {"op": op, "urn": URN + name, "type": "aws:ec2/vpc:Vpc", "provider": "p"}}


def begins(name: str, op: str = "create") -> EngineEvent:
    return event(resourcePreEvent=step(name, op))


def ends(name: str, op: str = "create") -> EngineEvent:
    return event(resOutputsEvent=step(name, op))


def fails(name: str) -> EngineEvent:
    return event(resOpFailedEvent={**step(name, "create"), "status": 1, "steps": 1})


def says(severity: str, message: str) -> EngineEvent:
    return event(diagnosticEvent={"message": message, "color": "never", "severity": severity})


class Clock:
    """Time that passes when a test says so."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(embedded, "time", clock)
    return clock


def watcher(said: list[str] | None = None) -> Watcher:
    return Watcher(say=(said if said is not None else []).append, verb="Bringing up local")


def test_the_line_names_what_is_waited_for_longest_first(clock: Clock) -> None:
    watch = watcher()
    for name in ("a", "b", "c", "d"):
        clock.now += 1
        watch(begins(name))
    watch(ends("a"))
    assert watch.line() == "Bringing up local: 1 resources done; waiting for b, c, d"
    clock.now += 1
    watch(begins("e"))
    assert watch.line() == "Bringing up local: 1 resources done; waiting for b, c, d", "three are enough"


def test_nothing_is_waited_for_when_all_is_done(clock: Clock) -> None:  # noqa: ARG001
    watch = watcher()
    watch(begins("a"))
    watch(ends("a"))
    assert watch.line() == "Bringing up local: 1 resources done"


def test_what_does_not_change_is_done_but_not_waited_for(clock: Clock) -> None:  # noqa: ARG001
    watch = watcher()
    watch(begins("a", "same"))
    assert watch.line() == "Bringing up local: 0 resources done"
    watch(ends("a", "same"))
    assert watch.line() == "Bringing up local: 1 resources done"


def test_what_failed_is_no_longer_waited_for(clock: Clock) -> None:  # noqa: ARG001
    watch = watcher()
    watch(begins("a"))
    watch(fails("a"))
    assert watch.line() == "Bringing up local: 0 resources done"


def test_a_log_gets_a_line_every_few_seconds_and_no_more(clock: Clock) -> None:
    said: list[str] = []
    watch = watcher(said)
    for second in range(12):
        clock.now = 100.0 + second
        watch(ends(f"r{second}"))
    assert said == [
        "Bringing up local: 1 resources done",
        "Bringing up local: 7 resources done",
    ], "at the start, and after more than five seconds"


def test_errors_are_kept_and_other_messages_are_not(clock: Clock) -> None:  # noqa: ARG001
    watch = watcher()
    watch(says("warning", "deprecated"))
    watch(says("error", "  creating VPC: limit exceeded\n"))
    watch(says("info#err", "noise"))
    assert watch.errors == ["creating VPC: limit exceeded"]


def test_every_event_is_handed_to_whoever_observes(clock: Clock) -> None:  # noqa: ARG001
    seen: list[EngineEvent] = []
    watch = Watcher(say=lambda _: None, verb="x", observe=seen.append)
    events = [begins("a"), says("info", "m"), ends("a")]
    for each in events:
        watch(each)
    assert seen == events


def failed(text: str) -> auto.CommandError:
    return auto.CommandError(auto.CommandResult(stdout="", stderr=text, code=255))


def ended(watch: Watcher, error: Exception) -> str:
    def work() -> None:
        raise error

    with pytest.raises(DeploymentFailed) as refused:
        embedded.run(work, watch)
    assert refused.value.__cause__ is None
    return str(refused.value)


def test_a_failure_is_the_engines_errors_each_once(clock: Clock) -> None:  # noqa: ARG001
    watch = watcher()
    for message in ("limit exceeded", "limit exceeded", "update failed"):
        watch(says("error", message))
    assert ended(watch, failed("a page of text")) == (
        "Bringing up local failed:\nlimit exceeded\nupdate failed\nMend it and run the same again."
    )


def test_a_failure_without_errors_is_all_that_the_engine_said(clock: Clock) -> None:  # noqa: ARG001
    assert "the stack is locked" in ended(watcher(), failed("the stack is locked"))


def test_the_way_on_is_into_the_stacks_own_account_and_region() -> None:
    console = Console(file=io.StringIO(), width=40)
    embedded.render(FOUND, console)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines()[-1] == (
        'Look at it with the AWS CLI: eval "$(switchyard cloud env --stack local)"; '
        "aws ecs list-services --region eu-west-1 --cluster switchyard-local"
    )


def test_the_stacks_file_is_left_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.prod.yaml"
    file.write_text("config: {}\n")

    def cut_off() -> None:
        with kept(file):
            file.write_text("config: {}\nencryptionsalt: v1:embedded\n")
            raise DeploymentFailed("cut off")

    with pytest.raises(DeploymentFailed):
        cut_off()
    assert file.read_text() == "config: {}\n", "the embedded cloud's salt is for no real stack"


def test_a_file_that_the_engine_wrote_anew_is_as_a_person_wrote_it(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.prod.yaml"
    written = "# Production.\nconfig: {a: [1, 2]}\n"
    file.write_text(written)
    with kept(file):
        file.write_text("config:\n  a:\n    - 1\n    - 2\nencryptionsalt: v1:embedded\n")
    assert file.read_text() == written


def test_what_a_person_changes_meanwhile_stays(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.prod.yaml"
    file.write_text("config: {}\n")
    with kept(file):
        file.write_text("config: {a: 1}\nencryptionsalt: v1:embedded\n")
    assert file.read_text() == "config: {a: 1}\n"


@pytest.mark.parametrize("only", [True, False])
def test_a_stacks_own_salt_stays(tmp_path: Path, only: bool) -> None:
    file = tmp_path / "Pulumi.local.yaml"
    file.write_text("encryptionsalt: v1:own\n" if only else "")
    with kept(file, only=only):
        file.write_text("encryptionsalt: v1:own\n")
    assert file.read_text() == "encryptionsalt: v1:own\n"


def test_a_file_that_the_engine_has_made_goes_again(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.new.yaml"
    with kept(file):
        file.write_text("encryptionsalt: v1:embedded\n")
    assert not file.exists()


def test_nothing_that_a_key_service_needs_stays_either(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.prod.yaml"
    file.write_text("# Production.\nconfig: {}\n")
    with kept(file):
        file.write_text("secretsprovider: awskms://alias/x\nencryptedkey: AbC\nconfig: {a: 1}\n")
    assert file.read_text() == "config: {a: 1}\n"


def test_a_key_that_the_engine_took_out_is_there_again(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.prod.yaml"
    written = "# Production.\nsecretsprovider: awskms://alias/x\nencryptedkey: AbC=\nconfig: {a: 1}\n"
    file.write_text(written)
    with kept(file):
        file.write_text("config:\n  a: 1\nencryptionsalt: v1:embedded\n")
    assert file.read_text() == written
    with kept(file):
        file.write_text("config: {a: 2}\nencryptionsalt: v1:embedded")
    assert file.read_text() == "config: {a: 2}\nsecretsprovider: awskms://alias/x\nencryptedkey: AbC=\n"


def test_a_file_that_can_not_be_read_as_yaml_is_nobodys_to_mend(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.prod.yaml"
    file.write_text("config: [\n")
    with kept(file):
        assert file.read_text() == "config: [\n"
    assert file.read_text() == "config: [\n"

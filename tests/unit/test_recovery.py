"""After a killed run: found things are adopted and read, missing ones forgotten, and doubt stops."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from switchyard import recovery
from switchyard.finders.look import Clients, Look
from switchyard.pending import pending_creates
from switchyard.recovery import Recovery, RecoveryFailed, look_for, recover

VPC, ROLE, POLICY = "aws:ec2/vpc:Vpc", "aws:iam/role:Role", "aws:sns/topicPolicy:TopicPolicy"


def resource(token: str, name: str, **more: Any) -> dict[str, Any]:
    return {"urn": f"urn:pulumi:prod::switchyard::{token}::{name}", "type": token, "custom": True, **more}


def state(*begun: dict[str, Any], resources: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    operations = [{"type": "creating", "resource": entry} for entry in begun]
    return {"version": 3, "deployment": {"resources": list(resources), "pending_operations": operations}}


class Engine(SimpleNamespace):
    """An engine that holds a state, and keeps what it was asked to run."""

    def __init__(self, held: dict[str, Any], folder: Path) -> None:
        self.held = held
        self.ran: list[list[str]] = []
        super().__init__(
            env_vars={"PULUMI_BACKEND_URL": f"file://{folder}"},
            work_dir=".",
            pulumi_command=SimpleNamespace(run=self.run),
        )

    def run(self, arguments: list[str], *_: Any) -> SimpleNamespace:
        self.ran.append(arguments)
        if arguments[:2] == ["stack", "import"]:
            self.held = json.loads(Path(arguments[-1]).read_text())
        return SimpleNamespace(stdout=json.dumps(self.held))

    @property
    def asked(self) -> list[str]:
        """Its subcommands."""
        return [" ".join(arguments[:2]) for arguments in self.ran]


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What AWS has, by name; looked for without waiting."""
    things: dict[str, str] = {}

    def find(look: Look) -> str | None:
        return things.get(look.pending.name)

    monkeypatch.setattr(recovery, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(recovery, "FINDERS", dict.fromkeys([VPC, ROLE], find))
    return things


Run = Callable[[dict[str, Any]], tuple[Recovery, Any]]


@pytest.fixture
def run(tmp_path: Path, there: dict[str, str]) -> Run:
    assert there == {}

    def with_state(held: dict[str, Any]) -> tuple[Recovery, Any]:
        engine: Any = Engine(held, tmp_path)
        return recover("prod", lambda _: None, engine), engine

    return with_state


def test_without_anything_pending_one_export_is_all(run: Run) -> None:
    done, engine = run(state(resources=(resource(VPC, "main", id="vpc-1", outputs={"id": "vpc-1"}),)))
    assert done == Recovery()
    assert engine.asked == ["stack export"]


def test_a_stack_that_was_never_up_has_nothing_to_recover(run: Run) -> None:
    done, engine = run({"version": 3, "deployment": None})
    assert (done, engine.asked) == (Recovery(), ["stack export"])


def test_what_is_there_is_adopted_and_read_alone(run: Run, there: dict[str, str]) -> None:
    there["main"] = "vpc-1"
    begun = resource(VPC, "main", inputs={"cidrBlock": "10.0.0.0/20"})
    done, engine = run(state(begun))
    assert done.adopted == (("main", "vpc-1"),)
    assert engine.held["deployment"]["resources"] == [{**begun, "id": "vpc-1"}]
    refresh = ["refresh", "--yes", "--skip-preview", "--stack", "prod", "--target", begun["urn"]]
    assert engine.ran[-1] == refresh, "nothing else of the state may change"


def test_what_is_not_there_is_forgotten(run: Run) -> None:
    done, engine = run(state(resource(VPC, "main"), resource(POLICY, "errors")))
    assert done.cleared == ("main", "errors")
    assert engine.held["deployment"] == {"resources": [], "pending_operations": []}
    assert engine.asked == ["stack export", "stack import"]


def test_what_is_made_twice_is_told_and_left(run: Run, there: dict[str, str]) -> None:
    there["main"] = "vpc-2"
    held = resource(VPC, "main", id="vpc-1", outputs={"id": "vpc-1"})
    done, engine = run(state(resource(VPC, "main"), resources=(held,)))
    assert (done.left, done.adopted, done.cleared) == ((("main", "vpc-2"),), (), ())
    assert engine.held["deployment"]["resources"] == [held]


def test_what_the_state_holds_itself_is_not_told_to_be_twice(run: Run, there: dict[str, str]) -> None:
    there["task"] = "task"
    held = resource(ROLE, "task", id="task", outputs={"name": "task"})
    done, _ = run(state(resource(ROLE, "task"), resources=(held,)))
    assert (done.left, done.cleared) == ((), ())


def test_a_recovery_that_was_cut_off_before_its_reading_reads_now(run: Run) -> None:
    adopted = resource(VPC, "main", id="vpc-1", inputs={})
    done, engine = run(state(resources=(adopted,)))
    assert done == Recovery()
    assert engine.ran[-1][-1] == adopted["urn"], (
        "without its outputs the next run would see changes everywhere"
    )


@pytest.mark.parametrize("code", ["AccessDenied", "Throttling"])
def test_a_lookup_that_fails_changes_nothing(run: Run, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    asked = []

    def refuse(look: Look) -> str | None:
        asked.append(look.pending.name)
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "DescribeVpcs")

    def never(*_: Any) -> None:
        raise AssertionError("the state was written")

    monkeypatch.setattr(recovery, "FINDERS", {ROLE: lambda _: "task", VPC: refuse})
    monkeypatch.setattr(recovery, "keep", never)
    with pytest.raises(RecoveryFailed, match=rf"main \(aws:ec2/vpc:Vpc\).*\n.*{code}"):
        run(state(resource(ROLE, "task"), resource(VPC, "main")))
    assert asked == ["main"]


def test_a_type_that_nobody_can_look_for_stops(run: Run) -> None:
    with pytest.raises(RecoveryFailed, match="can look for a aws:sqs/queue:Queue"):
        run(state(resource("aws:sqs/queue:Queue", "jobs")))


def test_what_shows_up_a_little_later_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "SETTLE_SECONDS", 0.0)
    answers = iter([None, "vpc-1"])
    monkeypatch.setattr(recovery, "FINDERS", {VPC: lambda _: next(answers)})
    deployment = state(resource(VPC, "main"))["deployment"]

    def clients(_: str) -> Clients:
        return lambda service: service

    found = look_for(pending_creates(deployment), deployment, clients)
    assert list(found.values()) == ["vpc-1"], "a plugin outlives its engine for a moment"

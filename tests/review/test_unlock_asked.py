"""`switchyard unlock` at a terminal: it asks of each, does what is answered, and nothing else."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from review.changes import name_of
from tests.cloud.commands import Said
from tests.review.checkout import STACK, Checkout, checkout
from tests.review.provider import Provider

pytestmark = pytest.mark.cloud

SECRET = "pl4nted-in-a-pending-cre4te"  # noqa: S105 - it is looked for
GROUP, QUEUE = "aws:cloudwatch/logGroup:LogGroup", "aws:sqs/queue:Queue"
TAGS = {"project": "switchyard", "stack": STACK}
ASKED = "What becomes of it?"


@pytest.fixture
def cut(endpoint: str, tmp_path: Path, real_engine: object) -> Iterator[Checkout]:  # noqa: ARG001 - it has to be there
    """A checkout whose last update was cut off: while it changed one thing and created two."""
    with checkout(tmp_path / "checkout", Provider(), endpoint) as made:
        made.make_table()
        made.declares(first={"value": "x"})
        said = made.switchyard("up", "--stack", STACK)
        assert said.status == 0, said.text
        state = state_of(made)
        (first,) = [each for each in state["resources"] if each["urn"].endswith("::first")]
        (by,) = [each for each in state["resources"] if each["type"] == "pulumi:providers:aws"]
        by["inputs"] = {"region": "eu-west-1", "defaultTags": json.dumps({"tags": TAGS})}
        kept = {key: value for key, value in first.items() if key not in ("id", "outputs")}
        state["pending_operations"] = [
            {"type": "updating", "resource": first},
            *(
                {
                    "type": "creating",
                    "resource": kept
                    | {
                        "urn": first["urn"].replace(first["type"], type_).replace("::first", f"::{name}"),
                        "type": type_,
                        "inputs": {"name": f"/shop/{name}", "password": SECRET},
                    },
                }
                for name, type_ in (("logs", GROUP), ("queue", QUEUE))
            ),
        ]
        write(made, state)
        yield made


def file_of(place: Checkout) -> Path:
    return place.state / ".pulumi/stacks/switchyard" / f"{STACK}.json"


def state_of(place: Checkout) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file_of(place).read_text())["checkpoint"]["latest"]
    return found


def write(place: Checkout, state: dict[str, Any]) -> None:
    document = json.loads(file_of(place).read_text())
    document["checkpoint"]["latest"] = state
    file_of(place).write_text(json.dumps(document))


def pending(place: Checkout) -> list[str]:
    return [name_of(each["resource"]["urn"]) for each in state_of(place).get("pending_operations", [])]


def plainly(said: Said) -> Said:
    """What was said without a trace of a crash or of a secret."""
    assert "Traceback" not in said.text
    assert SECRET not in said.text
    return said


def test_each_operation_is_asked_for_and_what_is_answered_is_done(cut: Checkout) -> None:
    logs = cut.aws("logs")
    logs.create_log_group(logGroupName="/shop/logs", tags=TAGS)
    cut.provider.things["/shop/logs"] = {"name": "/shop/logs"}
    said = plainly(cut.on_terminal("unlock", "--stack", STACK, typed=["forget\n", "adopt\n", "adopt\n"]))
    assert said.status == 1, "the queue is left"
    assert said.out.count(ASKED) == 3, said.out
    assert "updating first (aws:ssm/parameter:Parameter): the next run does it again by itself" in said.out
    assert f"creating logs ({GROUP}): AWS has it: /shop/logs" in said.out
    assert f"nothing here can look for a {QUEUE}" in said.out
    assert "logs was adopted: /shop/logs" in said.out
    assert "queue (aws:sqs/queue:Queue) can't be adopted" in said.out
    assert pending(cut) == ["queue"]
    assert "logs" in [name_of(each["urn"]) for each in state_of(cut)["resources"]]
    last = plainly(cut.on_terminal("unlock", "--stack", STACK, typed=["forget\n"]))
    assert (last.status, pending(cut)) == (0, [])


@pytest.mark.parametrize("typed", [["\n"] * 3, ["nonsense\n", *["leave\n"] * 3]])
def test_who_answers_nothing_changes_nothing(cut: Checkout, typed: list[str]) -> None:
    before = file_of(cut).read_bytes()
    said = plainly(cut.on_terminal("unlock", "--stack", STACK, typed=typed))
    assert said.status == 1, said.out
    assert said.out.count(ASKED) == len(typed)
    assert file_of(cut).read_bytes() == before


@pytest.mark.parametrize(("key", "status"), [("\x03", 130), ("\x04", 1)])
def test_ctrl_c_and_an_end_keep_what_was_answered_before(cut: Checkout, key: str, status: int) -> None:
    said = plainly(cut.on_terminal("unlock", "--stack", STACK, typed=["forget\n", key]))
    assert said.status == status, said.out
    assert said.out.count(ASKED) == 2
    assert pending(cut) == ["logs", "queue"]


def test_nothing_that_is_listed_shows_a_secret(cut: Checkout) -> None:
    for more in ([], ["--json"]):
        said = plainly(cut.switchyard("unlock", "--stack", STACK, *more))
        assert said.status == 1
        assert "queue" in said.out
    said = plainly(cut.switchyard("unlock", "--stack", STACK, "--forget", "nobody"))
    assert "no pending operation" in said.err


def test_a_lock_that_may_be_alive_is_cleared_only_after_a_yes(cut: Checkout) -> None:
    cut.locks.mkdir(parents=True, exist_ok=True)
    lock = cut.locks / "x.json"
    lock.write_text(
        '{"pid": 1, "username": "alice", "hostname": "elsewhere", "timestamp": "2026-01-01T00:00:00Z"}'
    )
    for answer in ("\n", "n\n"):
        said = plainly(cut.on_terminal("unlock", "--stack", STACK, "--force", "x", typed=[answer]))
        assert (said.status, lock.exists()) == (1, True), said.out
        assert "both write the state" in said.out
        assert f"Clear 1 of {STACK}'s locks?" in said.out
    said = plainly(cut.on_terminal("unlock", "--stack", STACK, "--force", "x", typed=["y\n", *["\n"] * 3]))
    assert (said.status, lock.exists()) == (1, False), said.out
    assert said.out.count(ASKED) == 3, "nobody holds it now, so what is pending can be decided"

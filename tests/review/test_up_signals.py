"""Signals to `switchyard up`: the engine ends what it does, nothing is left, the status tells which one."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.review.checkout import STACK, Checkout, checkout
from tests.review.provider import Provider

pytestmark = pytest.mark.cloud

SOON_SECONDS = 400
LONG_SECONDS = 1800


@pytest.fixture
def slow(endpoint: str, tmp_path: Path, real_engine: object) -> Iterator[Checkout]:  # noqa: ARG001 - it has to be there
    """A checkout whose next creation takes minutes, unless the engine cancels it."""
    with checkout(tmp_path / "checkout", Provider(slow_seconds=LONG_SECONDS), endpoint) as made:
        made.make_table()
        made.declares(first={"value": "x"})
        yield made
        # A creation that hangs would keep the test's own server.
        made.provider.cancelled.set()


def creating(slow: Checkout) -> "subprocess.Popen[str]":
    """`switchyard up` in the middle of a creation."""
    process = slow.begin("up", "--stack", STACK)
    if not slow.provider.creating.wait(SOON_SECONDS):
        process.kill()
        raise AssertionError(process.communicate())
    return process


def engines(slow: Checkout) -> list[psutil.Process]:
    """All that works on this checkout's state."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            ours = process.environ().get("TMPDIR") == str(slow.folder / "tmp")
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def ended(slow: Checkout) -> None:
    """Nothing runs any more; plugins have a moment."""
    deadline = time.monotonic() + SOON_SECONDS
    while engines(slow) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [process.cmdline() for process in engines(slow)] == []


def newest(slow: Checkout) -> dict[str, object]:
    found: dict[str, object] = slow.switchyard("updates", "--stack", STACK, "--json").json[0]
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_engine_ends_what_it_does_and_nothing_is_left(slow: Checkout, number: signal.Signals) -> None:
    process = creating(slow)
    commands = " ".join(" ".join(each.cmdline()) for each in engines(slow))
    assert "pulumi" in commands
    for secret in (slow.environment["AWS_SECRET_ACCESS_KEY"], slow.environment["PULUMI_CONFIG_PASSPHRASE"]):
        assert secret not in commands, "everybody can read a list of processes"
    process.send_signal(number)
    said = slow.end(process, SOON_SECONDS)
    assert said.status == 128 + number, said.text
    assert slow.provider.cancelled.is_set(), "the provider was told, so it could end its call"
    assert "Traceback" not in said.text
    assert list(slow.locks.glob("*.json")) == []
    ended(slow)
    assert slow.left_behind() == []
    told = newest(slow)
    assert (told["outcome"], told["actor"], told["counts"]) == ("interrupted", "ada", {})


def test_a_second_signal_ends_it_at_once_and_the_next_up_says_what_is_undecided(slow: Checkout) -> None:
    slow.provider.stubborn = True
    process = creating(slow)
    process.send_signal(signal.SIGINT)
    time.sleep(2)
    assert process.poll() is None, "what it has begun takes its time"
    process.send_signal(signal.SIGINT)
    said = slow.end(process, SOON_SECONDS)
    assert said.status == 130, said.text
    ended(slow)
    assert slow.left_behind() == []
    after = slow.switchyard("up", "--stack", STACK)
    assert after.status == 3, after.text
    assert f"switchyard unlock --stack {STACK}" in after.err
    listed = slow.switchyard("unlock", "--stack", STACK, "--json")
    assert listed.status == 1
    (pending,) = listed.json["pending"]
    assert (pending["operation"], pending["name"]) == ("creating", "first")
    assert listed.json["locks"] == []
    forgotten = slow.switchyard("unlock", "--stack", STACK, "--forget", "first", "--json")
    assert (forgotten.status, forgotten.json["pending"]) == (0, [])
    assert forgotten.json["resolved"] == [{"urn": pending["urn"], "as": "forgotten", "id": None}]


def test_who_waits_for_a_lock_can_be_stopped(slow: Checkout) -> None:
    slow.locks.mkdir(parents=True)
    lock = slow.locks / "x.json"
    lock.write_text(
        '{"pid": 1, "username": "alice", "hostname": "elsewhere", "timestamp": "2026-01-01T00:00:00Z"}'
    )
    process = slow.begin("up", "--stack", STACK)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith("waiting for the lock of alice on host elsewhere, ")
    process.send_signal(signal.SIGTERM)
    said = slow.end(process, SOON_SECONDS)
    assert (said.status, lock.exists()) == (143, True)
    assert not slow.provider.creating.is_set()
    listed = slow.switchyard("unlock", "--stack", STACK)
    assert listed.status == 1
    assert "alice" in listed.out
    refused = slow.switchyard("unlock", "--stack", STACK, "--force", "x")
    assert (refused.status, lock.exists()) == (1, True)
    assert "Say --yes if you know" in refused.err
    assert slow.switchyard("unlock", "--stack", STACK, "--force", "y", "--yes").status == 1
    assert lock.exists(), "an ID that is none clears nothing"
    cleared = slow.switchyard("unlock", "--stack", STACK, "--force", "x", "--yes")
    assert (cleared.status, lock.exists()) == (0, False), cleared.text


@pytest.mark.parametrize("killed", ["all of them", "the command alone"])
def test_an_engine_that_was_killed_leaves_a_lock_that_the_next_up_clears(slow: Checkout, killed: str) -> None:
    process = creating(slow)
    if killed == "all of them":
        for each in engines(slow):
            os.kill(each.pid, signal.SIGKILL)
    else:
        # Its engine is in a group of its own, and ends all the same: nobody works on without its command.
        process.kill()
    slow.end(process)
    ended(slow)
    assert len(list(slow.locks.glob("*.json"))) == 1
    after = slow.switchyard("up", "--stack", STACK)
    assert after.status == 3, after.text
    assert "Cleared lock" in after.err
    assert "AWS may have" in after.err
    assert list(slow.locks.glob("*.json")) == []
    assert newest(slow)["outcome"] == "unknown", "it was begun, and nothing could write its end"

"""Locks that nobody holds any more are cleared; every other one stops with words that help."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from switchyard.errors import SwitchyardError
from switchyard.locks import Lock, StackLocked, clear_dead_locks, locks
from switchyard.stacks import project_name

NOW = datetime.now(UTC)
FOLDER = f".pulumi/locks/organization/{project_name()}/prod"


@pytest.fixture(scope="module")
def ended() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def dead(ended: int) -> Lock:
    return Lock(owner="ci", host=socket.gethostname(), pid=ended, since=NOW - timedelta(minutes=5))


class Engine(SimpleNamespace):
    """An engine that keeps what it was asked to run."""

    def __init__(self, url: str) -> None:
        self.ran: list[list[str]] = []
        super().__init__(
            env_vars={"PULUMI_BACKEND_URL": url},
            work_dir=".",
            pulumi_command=SimpleNamespace(run=lambda arguments, *_: self.ran.append(arguments)),
        )


def engine_at(url: str) -> Any:
    """An engine whose state is kept there."""
    return Engine(url)


def written(lock: Lock) -> str:
    # Go writes nanoseconds.
    stamp = lock.since.isoformat().replace("+00:00", "123Z")
    return json.dumps({"pid": lock.pid, "username": lock.owner, "hostname": lock.host, "timestamp": stamp})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / FOLDER
    made.mkdir(parents=True)
    return made


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    return engine_at(f"file://{tmp_path}")


def test_a_lock_whose_process_is_gone_is_dead(dead: Lock) -> None:
    assert dead.dead


def test_a_lock_whose_process_runs_is_not(dead: Lock) -> None:
    assert not replace(dead, pid=os.getpid(), since=datetime.now(UTC)).dead


def test_a_process_that_started_after_the_lock_only_has_its_number(dead: Lock) -> None:
    assert replace(dead, pid=os.getpid(), since=NOW - timedelta(days=1)).dead


def test_nothing_is_known_of_another_host(dead: Lock) -> None:
    assert not replace(dead, host="somewhere-else").dead


def test_dead_locks_are_cleared_by_the_engine(dead: Lock, folder: Path, engine: Any) -> None:
    (folder / "a.json").write_text(written(dead))
    (cleared,) = clear_dead_locks("prod", engine)
    assert (cleared.owner, cleared.pid) == (dead.owner, dead.pid)
    assert engine.ran == [["cancel", "--yes", "--stack", "prod"]]


def test_one_lock_that_may_live_keeps_all(dead: Lock, folder: Path, engine: Any) -> None:
    (folder / "a.json").write_text(written(dead))
    (folder / "b.json").write_text(written(replace(dead, owner="ada", host="laptop", pid=7)))
    with pytest.raises(
        StackLocked, match=r"ada on laptop \(process 7\), \d+ minutes ago.*pulumi cancel --stack"
    ):
        clear_dead_locks("prod", engine)
    assert engine.ran == [], "clearing one would clear both"


def test_without_a_lock_nothing_is_run(folder: Path, engine: Any) -> None:
    assert folder.exists()
    assert clear_dead_locks("prod", engine) == []
    assert engine.ran == []


def test_the_locks_of_other_stacks_are_not_seen(dead: Lock, folder: Path, engine: Any) -> None:
    other = folder.parent / "production"
    other.mkdir()
    (other / "a.json").write_text(written(dead))
    assert locks("prod", engine) == []


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        s3 = boto3.client("s3", region_name="eu-west-1")
        s3.create_bucket(Bucket="state", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        yield s3


@pytest.mark.parametrize("prefix", ["", "/some/team"])
def test_locks_are_read_from_a_bucket(dead: Lock, bucket: Any, prefix: str) -> None:
    older = replace(dead, owner="older", since=dead.since - timedelta(hours=1))
    for key, lock in (("a", dead), ("b", older)):
        bucket.put_object(
            Bucket="state", Key=f"{prefix}/{FOLDER}/{key}.json".lstrip("/"), Body=written(lock).encode()
        )
    found = locks("prod", engine_at(f"s3://state{prefix}?region=eu-west-1"))
    assert [lock.owner for lock in found] == ["older", "ci"]


def test_pulumi_cloud_keeps_no_locks_of_this_kind() -> None:
    assert locks("prod", engine_at("https://api.pulumi.com")) == []


def test_a_backend_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(SwitchyardError, match="gs://state"):
        locks("prod", engine_at("gs://state"))

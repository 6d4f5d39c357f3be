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

from localcloud.paths import PROJECT
from switchyard.errors import SwitchyardError
from switchyard.locks import Lock, StackLocked, clear_dead_locks, locks, span
from switchyard.stacks import project_name

FOLDER = f".pulumi/locks/organization/{project_name()}/prod"


@pytest.fixture(scope="module")
def ended() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def dead(ended: int) -> Lock:
    since = datetime.now(UTC) - timedelta(minutes=5)
    return Lock(id="a", owner="ci", host=socket.gethostname(), pid=ended, since=since)


def engine_at(url: str) -> Any:
    """An engine whose state is kept there, and that can run nothing: `pulumi cancel` would clear all."""
    return SimpleNamespace(env_vars={"PULUMI_BACKEND_URL": url}, work_dir=str(PROJECT))


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
    assert replace(dead, pid=os.getpid(), since=dead.since - timedelta(days=1)).dead


def test_nothing_is_known_of_another_host(dead: Lock) -> None:
    assert not replace(dead, host="somewhere-else").dead


def test_dead_locks_are_cleared(dead: Lock, folder: Path, engine: Any) -> None:
    (folder / "a.json").write_text(written(dead))
    (folder / "a.json.attrs").write_text("{}")
    (cleared,) = clear_dead_locks("prod", engine)
    assert (cleared.id, cleared.owner, cleared.pid) == ("a", dead.owner, dead.pid)
    assert list(folder.iterdir()) == []


def test_one_lock_that_may_live_keeps_all(dead: Lock, folder: Path, engine: Any) -> None:
    (folder / "a.json").write_text(written(dead))
    (folder / "b.json").write_text(written(replace(dead, owner="ada", host="laptop", pid=7)))
    with pytest.raises(
        StackLocked, match=r"ada on laptop \(process 7\), 5 minutes ago.*unlock --stack prod --force b`"
    ):
        clear_dead_locks("prod", engine)
    assert len(list(folder.iterdir())) == 2, "who recovers has to be alone"


def test_without_a_lock_nothing_is_run(folder: Path, engine: Any) -> None:
    assert folder.exists()
    assert clear_dead_locks("prod", engine) == []


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


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "7", '{"pid": 1}', '{"pid": "x", "username": "a", "hostname": "b"}', "\udcff"]
)
def test_a_lock_with_malformed_content_is_shown_and_never_dead(
    folder: Path, engine: Any, content: str
) -> None:
    (folder / "torn.json").write_text(content, errors="surrogateescape")
    (found,) = locks("prod", engine)
    assert (found.id, found.owner, found.dead) == ("torn", "unknown", False)
    assert found.malformed
    with pytest.raises(StackLocked, match=r"somebody \(lock torn can't be read: .*--force torn"):
        clear_dead_locks("prod", engine)


@pytest.mark.parametrize("pid", [0, -1])
def test_a_lock_of_no_process_is_malformed(dead: Lock, folder: Path, engine: Any, pid: int) -> None:
    (folder / "a.json").write_text(written(replace(dead, pid=pid)))
    (found,) = locks("prod", engine)
    assert (found.malformed, found.dead) == (f"ValueError: {pid} is no process", False)


def test_exactly_one_lock_is_cleared(dead: Lock, folder: Path, engine: Any) -> None:
    for name in ("a", "b"):
        (folder / f"{name}.json").write_text(written(dead))
    first = next(lock for lock in locks("prod", engine) if lock.id == "a")
    assert first.clear()
    assert [path.name for path in folder.iterdir()] == ["b.json"]
    assert not first.clear(), "it is gone already"


def test_a_lock_that_has_become_another_is_left(dead: Lock, folder: Path, engine: Any) -> None:
    (folder / "a.json").write_text(written(dead))
    (seen,) = locks("prod", engine)
    (folder / "a.json").write_text(written(replace(dead, owner="ada")))
    assert not seen.clear()
    assert (folder / "a.json").exists()


def test_an_age_is_told_in_its_largest_units() -> None:
    told = {60 * 3 + 59: "3 minutes", 61: "1 minute", 5: "0 minutes", 7500: "2 hours 5 minutes"}
    assert {seconds: span(timedelta(seconds=seconds)) for seconds in told} == told
    assert span(timedelta(days=3, hours=1, minutes=9)) == "3 days 1 hour"


def test_a_host_whose_clock_is_ahead_has_locked_just_now(dead: Lock) -> None:
    assert replace(dead, since=datetime.now(UTC) + timedelta(hours=1)).age == timedelta()


def test_pulumi_cloud_keeps_no_locks_of_this_kind() -> None:
    assert locks("prod", engine_at("https://api.pulumi.com")) == []


def test_exactly_one_object_of_a_bucket_is_cleared_and_only_as_it_was_seen(dead: Lock, bucket: Any) -> None:
    for key in ("a", "b"):
        bucket.put_object(Bucket="state", Key=f"{FOLDER}/{key}.json", Body=written(dead).encode())
    engine = engine_at("s3://state?region=eu-west-1")
    first, second = sorted(locks("prod", engine), key=lambda lock: lock.id)
    bucket.put_object(Bucket="state", Key=f"{FOLDER}/b.json", Body=b"{}")
    assert first.clear()
    assert not second.clear(), "somebody has written another one"
    assert not first.clear(), "it is gone already"
    assert [lock.id for lock in locks("prod", engine)] == ["b"]


def test_a_bucket_that_is_not_there_is_one_message(bucket: Any) -> None:
    del bucket
    with pytest.raises(
        SwitchyardError, match=r"s3://nowhere/\.pulumi/locks/.* can't be read: .*NoSuchBucket"
    ):
        locks("prod", engine_at("s3://nowhere?region=eu-west-1"))


def test_a_backend_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(SwitchyardError, match="gs://state"):
        locks("prod", engine_at("gs://state"))

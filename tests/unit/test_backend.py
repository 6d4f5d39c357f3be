"""Files of a backend are changed and removed only as they were seen, in a folder and in a bucket alike."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from switchyard.backend import Backend, Bucket, backend_of
from switchyard.errors import SwitchyardError


def at(url: str) -> Backend:
    engine: Any = SimpleNamespace(env_vars={"PULUMI_BACKEND_URL": url})
    found = backend_of(engine)
    assert found is not None
    return found


@pytest.fixture(params=["folder", "bucket", "bucket/with/prefix"])
def backend(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Backend]:
    if request.param == "folder":
        yield at(f"file://{tmp_path}")
        return
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        s3 = boto3.client("s3", region_name="eu-west-1")
        s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        yield at(f"s3://{request.param}?region=eu-west-1")


def contents(backend: Backend) -> dict[str, bytes]:
    return {file.key: file.data for file in backend.list(".pulumi/")}


def test_what_is_put_is_listed_by_its_key(backend: Backend) -> None:
    assert backend.put(".pulumi/b.json", b"2", None)
    assert backend.put(".pulumi/a.json", b"1", None)
    assert [(file.key, file.data) for file in backend.list(".pulumi/")] == [
        (".pulumi/a.json", b"1"),
        (".pulumi/b.json", b"2"),
    ]
    assert [file.key for file in backend.list(".pulumi/a")] == [".pulumi/a.json"]
    assert backend.list(".elsewhere/") == []


def test_nothing_is_put_over_what_was_not_seen(backend: Backend) -> None:
    assert backend.put(".pulumi/a.json", b"1", None)
    assert not backend.put(".pulumi/a.json", b"2", None)
    (seen,) = backend.list(".pulumi/")
    assert backend.put(".pulumi/a.json", b"2", seen)
    assert not backend.put(".pulumi/a.json", b"3", seen), "it is another one by now"
    assert contents(backend) == {".pulumi/a.json": b"2"}


def test_what_is_gone_is_not_put_again(backend: Backend) -> None:
    backend.put(".pulumi/a.json", b"1", None)
    (seen,) = backend.list(".pulumi/")
    assert backend.remove(seen)
    assert not backend.put(".pulumi/a.json", b"2", seen)
    assert not backend.remove(seen)
    assert contents(backend) == {}


def test_what_has_become_another_is_not_removed(backend: Backend) -> None:
    backend.put(".pulumi/a.json", b"1", None)
    (seen,) = backend.list(".pulumi/")
    backend.put(".pulumi/a.json", b"2", seen)
    assert not backend.remove(seen)
    assert contents(backend) == {".pulumi/a.json": b"2"}


class Store:
    """S3's look-alike with one object. code: what a condition meets though the look before was fine."""

    def __init__(self, code: str | None) -> None:
        self.code = code
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def get_object(self, **_: Any) -> dict[str, Any]:
        body = SimpleNamespace(read=lambda: b"1")
        since = SimpleNamespace(astimezone=lambda _: None)
        return {"Body": body, "ETag": '"tag"', "LastModified": since}

    def _act(self, call: str, arguments: dict[str, Any]) -> None:
        self.calls.append((call, arguments))
        if self.code and "IfMatch" in arguments:
            raise ClientError({"Error": {"Code": self.code, "Message": "no"}}, call)

    def delete_object(self, **arguments: Any) -> None:
        self._act("delete_object", arguments)

    def put_object(self, **arguments: Any) -> None:
        self._act("put_object", arguments)


@pytest.mark.parametrize("code", ["PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"])
def test_somebody_who_writes_between_the_look_and_the_change_wins(code: str) -> None:
    store = Store(code)
    bucket = Bucket(store, "bucket", "")
    seen = bucket._seen("a.json")
    assert seen is not None
    assert not bucket.remove(seen)
    assert not bucket.put("a.json", b"2", seen)
    conditions = [(call, arguments["IfMatch"]) for call, arguments in store.calls]
    assert conditions == [("delete_object", '"tag"'), ("put_object", '"tag"')]


def test_a_store_that_knows_no_conditions_is_written_after_the_look() -> None:
    store = Store("NotImplemented")
    bucket = Bucket(store, "bucket", "")
    seen = bucket._seen("a.json")
    assert seen is not None
    assert bucket.remove(seen)
    assert store.calls[-1] == ("delete_object", {"Bucket": "bucket", "Key": "a.json"})


def test_a_refusal_is_one_message() -> None:
    bucket = Bucket(Store("AccessDenied"), "bucket", "team")
    seen = bucket._seen("team/a.json")
    assert seen is not None
    with pytest.raises(SwitchyardError, match=r"s3://bucket/team/a.json can't be removed: .*AccessDenied"):
        bucket.remove(seen)


def test_a_folder_that_may_not_be_written_is_one_message_and_holds_no_half_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a file where a folder should be")
    with pytest.raises(SwitchyardError, match="can't be"):
        at(f"file://{tmp_path}").put("a/b.json", b"1", None)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_the_engine_keeps_beside_a_file_goes_with_it_and_is_no_file(tmp_path: Path) -> None:
    folder = at(f"file://{tmp_path}")
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("1")
        (tmp_path / f"{name}.attrs").write_text("{}")
    first, second = folder.list("")
    assert (first.key, second.key) == ("a.json", "b.json")
    assert folder.remove(first)
    assert folder.put("b.json", b"2", second), "its sidecar speaks of what was there before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.json"]

"""The files of a backend of Pulumi's own, in a folder or a bucket: locks and state, as the engine keeps them.

A file is changed or removed only as it was seen.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.whole_file import write_whole
from switchyard.errors import SwitchyardError
from switchyard.stacks import session_of

if TYPE_CHECKING:
    import pulumi.automation as auto

# A store that does not answer in this time is told; the engine itself would wait for ever.
PATIENCE = Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 3})
GONE = ("404", "NoSuchKey")
OTHER = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")
# The engine keeps what it knows of a file beside it, in folders.
SIDECAR = ".attrs"
# What stores that look like S3 say to a condition that they don't know.
UNKNOWN_CONDITION = ("NotImplemented", "501")


class BackendElsewhere(SwitchyardError):
    """The backend keeps its files where they can't be read from here."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A file as it was seen. tag: of this very content; since: when it was written."""

    key: str
    data: bytes
    tag: str
    since: datetime


class Backend(Protocol):
    """Its files by key, such as `.pulumi/stacks/PROJECT/STACK.json`. Every method raises SwitchyardError."""

    def list(self, prefix: str) -> "list[Stored]":
        """The files whose keys begin so, in their order."""

    def put(self, key: str, data: bytes, over: Stored | None) -> bool:
        """Writes a file, whole, over what was seen or where nothing is; False if that is not so."""

    def remove(self, seen: Stored) -> bool:
        """Removes a file; False where it is gone or another one already."""


def backend_of(engine: "auto.LocalWorkspace") -> Backend | None:
    """Where the engine keeps its state, None for Pulumi Cloud. Raises BackendElsewhere."""
    url = engine.env_vars.get("PULUMI_BACKEND_URL") or os.environ.get("PULUMI_BACKEND_URL")
    url = url or engine.who_am_i().url or ""
    parts = urlsplit(url)
    if parts.scheme == "s3":
        client = _client({name: found[0] for name, found in parse_qs(parts.query).items()}, engine.env_vars)
        return Bucket(client, parts.netloc, parts.path.strip("/"))
    if parts.scheme == "file":
        return Folder(Path(f"{parts.netloc}{parts.path}").expanduser())
    if parts.scheme in ("http", "https"):
        return None
    raise BackendElsewhere(
        f"the state is kept at {url}, which can't be read from here; s3:// and file:// can be"
    )


class Folder:
    """Files below a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def list(self, prefix: str) -> list[Stored]:
        """The files whose keys begin so, in their order."""
        folder, _, begin = prefix.rpartition("/")
        names = sorted((self._root / folder).glob(f"{begin}*"))
        files = [path for path in names if path.is_file() and path.suffix != SIDECAR]
        return [found for path in files if (found := self._seen(path))]

    def put(self, key: str, data: bytes, over: Stored | None) -> bool:
        """Writes a file, whole, over what was seen or where nothing is; False if that is not so."""
        path = self._root / key
        now = self._seen(path)
        if (now is None) != (over is None) or (now and over and now.data != over.data):
            return False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, data)
            _sidecar(path).unlink(missing_ok=True)
        except OSError as error:
            raise SwitchyardError(f"{path} can't be written: {error}") from None
        return True

    def remove(self, seen: Stored) -> bool:
        """Removes a file; False where it is gone or another one already."""
        path = self._root / seen.key
        now = self._seen(path)
        if now is None or now.data != seen.data:
            return False
        try:
            path.unlink()
            _sidecar(path).unlink(missing_ok=True)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise SwitchyardError(f"{path} can't be removed: {error}") from None
        return True

    def _seen(self, path: Path) -> Stored | None:
        try:
            data, written = path.read_bytes(), path.stat().st_mtime
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SwitchyardError(f"{path} can't be read: {error}") from None
        key = path.relative_to(self._root).as_posix()
        return Stored(key=key, data=data, tag="", since=datetime.fromtimestamp(written, UTC))


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + SIDECAR)


class Bucket:
    """Objects of a bucket below a prefix."""

    def __init__(self, s3: Any, name: str, prefix: str) -> None:
        self._s3, self._name, self._prefix = s3, name, prefix

    def list(self, prefix: str) -> list[Stored]:
        """The files whose keys begin so, in their order."""
        found, path = [], self._path(prefix)
        try:
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=path):
                found += [seen for entry in page.get("Contents", []) if (seen := self._seen(entry["Key"]))]
        except (BotoCoreError, ClientError) as error:
            raise self._failed("read", prefix, error) from None
        return found

    def put(self, key: str, data: bytes, over: Stored | None) -> bool:
        """Writes a file, whole, over what was seen or where nothing is; False if that is not so."""
        condition = {"IfNoneMatch": "*"} if over is None else {"IfMatch": over.tag}
        try:
            now = self._seen(self._path(key))
            if (now.tag if now else None) != (over.tag if over else None):
                return False
            return self._conditionally("put_object", condition, Key=self._path(key), Body=data)
        except (BotoCoreError, ClientError) as error:
            raise self._failed("written", key, error) from None

    def remove(self, seen: Stored) -> bool:
        """Removes a file; False where it is gone or another one already."""
        path = self._path(seen.key)
        try:
            # Not every store that looks like S3 minds a condition.
            now = self._seen(path)
            if now is None or now.tag != seen.tag:
                return False
            return self._conditionally("delete_object", {"IfMatch": seen.tag}, Key=path)
        except (BotoCoreError, ClientError) as error:
            raise self._failed("removed", seen.key, error) from None

    def _conditionally(self, call: str, condition: Mapping[str, str], **arguments: Any) -> bool:
        act = getattr(self._s3, call)
        try:
            act(Bucket=self._name, **arguments, **condition)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in UNKNOWN_CONDITION:
                act(Bucket=self._name, **arguments)
            elif code in (*GONE, *OTHER):
                return False
            else:
                raise
        return True

    def _seen(self, path: str) -> Stored | None:
        try:
            found = self._s3.get_object(Bucket=self._name, Key=path)
        except ClientError as error:
            if error.response["Error"]["Code"] in GONE:
                return None
            raise
        return Stored(
            key=path.removeprefix(f"{self._prefix}/") if self._prefix else path,
            data=found["Body"].read(),
            tag=found["ETag"],
            since=found["LastModified"].astimezone(UTC),
        )

    def _path(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key

    def _failed(self, what: str, key: str, error: Exception) -> SwitchyardError:
        return SwitchyardError(f"s3://{self._name}/{self._path(key)} can't be {what}: {error}")


def _client(options: Mapping[str, str], environment: Mapping[str, str]) -> Any:
    session = session_of(environment, options.get("region"), options.get("profile"))
    endpoint = options.get("endpoint")
    if endpoint and "//" not in endpoint:
        endpoint = ("http://" if options.get("disableSSL") == "true" else "https://") + endpoint
    return session.client("s3", endpoint_url=endpoint, config=PATIENCE)

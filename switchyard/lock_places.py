"""Where a backend of Pulumi's own keeps a stack's locks: a folder or a bucket. Lists them, removes one."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qs, urlsplit

import yaml
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from switchyard.errors import SwitchyardError
from switchyard.stacks import session_of

if TYPE_CHECKING:
    import pulumi.automation as auto

# A store that does not answer in this time is told; the engine itself would wait for ever.
PATIENCE = Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 3})
GONE = ("404", "NoSuchKey")
# What stores that look like S3 say to a condition that they don't know.
UNKNOWN_CONDITION = ("NotImplemented", "501")


class LocksElsewhere(SwitchyardError):
    """The backend keeps its locks where they can't be read from here."""


@dataclass(frozen=True, kw_only=True)
class LockFile:
    """A lock as it is kept.

    id: its name; the engine gives each of its runs another one.
    text: its content.
    since: when it was written.
    remove: removes exactly this content; False where it is gone or another one already.
    """

    id: str
    text: str
    since: datetime
    remove: Callable[[], bool]


def lock_files(stack: str, engine: "auto.LocalWorkspace") -> list[LockFile]:
    """The stack's locks. Pulumi Cloud keeps none of this kind. Raises SwitchyardError."""
    url = engine.env_vars.get("PULUMI_BACKEND_URL") or os.environ.get("PULUMI_BACKEND_URL")
    url = url or engine.who_am_i().url or ""
    project = yaml.safe_load((Path(engine.work_dir) / "Pulumi.yaml").read_text())["name"]
    folder = f".pulumi/locks/organization/{project}/{stack}"
    parts = urlsplit(url)
    if parts.scheme == "s3":
        try:
            return list(_objects(parts, folder, engine.env_vars))
        except (BotoCoreError, ClientError) as error:
            raise SwitchyardError(
                f"the locks of stack {stack} can't be read from s3://{parts.netloc}: {error}"
            ) from None
    if parts.scheme == "file":
        return list(_files(Path(f"{parts.netloc}{parts.path}").expanduser() / folder))
    if parts.scheme in ("http", "https"):
        return []
    raise LocksElsewhere(
        f"the state is kept at {url}, where locks can't be read from here; s3:// and file:// can be"
    )


def _files(folder: Path) -> Iterator[LockFile]:
    for path in sorted(folder.glob("*.json")):
        try:
            text, written = path.read_text(errors="replace"), path.stat().st_mtime
        except FileNotFoundError:
            continue
        yield LockFile(
            id=path.stem,
            text=text,
            since=datetime.fromtimestamp(written, UTC),
            remove=_remover_of_file(path, text),
        )


def _remover_of_file(path: Path, text: str) -> Callable[[], bool]:
    def remove() -> bool:
        try:
            if path.read_text(errors="replace") != text:
                return False
            path.unlink()
        except FileNotFoundError:
            return False
        return True

    return remove


def _objects(parts: SplitResult, folder: str, environment: Mapping[str, str]) -> Iterator[LockFile]:
    s3, bucket = _client(parse_qs(parts.query), environment), parts.netloc
    path = "/".join(part for part in (parts.path.strip("/"), folder) if part)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{path}/"):
        for entry in page.get("Contents", []):
            try:
                found = s3.get_object(Bucket=bucket, Key=entry["Key"])
            except ClientError as error:
                if error.response["Error"]["Code"] in GONE:
                    continue
                raise
            yield LockFile(
                id=entry["Key"].rpartition("/")[2].removesuffix(".json"),
                text=found["Body"].read().decode(errors="replace"),
                since=found["LastModified"].astimezone(UTC),
                remove=_remover_of_object(s3, bucket, entry["Key"], found["ETag"]),
            )


def _remover_of_object(s3: Any, bucket: str, key: str, etag: str) -> Callable[[], bool]:
    def remove() -> bool:
        try:
            # Not every store that looks like S3 minds a condition on a deletion.
            if s3.head_object(Bucket=bucket, Key=key)["ETag"] != etag:
                return False
            try:
                s3.delete_object(Bucket=bucket, Key=key, IfMatch=etag)
            except ClientError as error:
                if error.response["Error"]["Code"] not in UNKNOWN_CONDITION:
                    raise
                s3.delete_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in (*GONE, "PreconditionFailed", "412"):
                return False
            raise SwitchyardError(f"the lock at s3://{bucket}/{key} could not be removed: {error}") from None
        except BotoCoreError as error:
            raise SwitchyardError(f"the lock at s3://{bucket}/{key} could not be removed: {error}") from None
        return True

    return remove


def _client(options: Mapping[str, Sequence[str]], environment: Mapping[str, str]) -> Any:
    def option(name: str) -> str | None:
        return next(iter(options.get(name, ())), None)

    session = session_of(environment, option("region"), option("profile"))
    endpoint = option("endpoint")
    if endpoint and "//" not in endpoint:
        endpoint = ("http://" if option("disableSSL") == "true" else "https://") + endpoint
    return session.client("s3", endpoint_url=endpoint, config=PATIENCE)

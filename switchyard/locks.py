"""Locks of Pulumi's own backends. They never expire, so an engine that was killed leaves its lock behind.

A lock is dead, and only then cleared, if it was taken on this host by a process that no longer runs.
"""

import getpass
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psutil
import pulumi.automation as auto

from switchyard.errors import SwitchyardError
from switchyard.stacks import project_name, session_of, workspace

# The host's clock and a process's start are read from different places.
SLACK = timedelta(seconds=1)


class StackLocked(SwitchyardError):
    """Somebody may still be working on the stack."""


@dataclass(frozen=True, kw_only=True)
class Lock:
    """A lock of a stack, as the engine that took it wrote it down.

    owner, host, pid: who took it, where, and in which process.
    since: when.
    """

    owner: str
    host: str
    pid: int
    since: datetime

    @property
    def age(self) -> timedelta:
        """How long ago it was taken."""
        return datetime.now(UTC) - self.since

    @property
    def dead(self) -> bool:
        """Whether nobody can hold it any more: it is of this host, and its process is gone.

        A process that started after the lock was taken only got the same number.
        """
        if self.host != socket.gethostname():
            return False
        try:
            process = psutil.Process(self.pid)
            started = datetime.fromtimestamp(process.create_time(), UTC)
            return process.status() == psutil.STATUS_ZOMBIE or started > self.since + SLACK
        except psutil.NoSuchProcess:
            return True

    def __str__(self) -> str:
        minutes = int(self.age.total_seconds() // 60)
        return f"{self.owner} on {self.host} (process {self.pid}), {minutes} minutes ago"


def locks(stack: str, engine: auto.LocalWorkspace | None = None) -> list[Lock]:
    """The stack's locks, oldest first. Pulumi Cloud keeps none of this kind: its own expire."""
    engine = engine or workspace(stack)
    url = engine.env_vars.get("PULUMI_BACKEND_URL") or os.environ.get("PULUMI_BACKEND_URL")
    url = url or engine.who_am_i().url or ""
    folder = f".pulumi/locks/organization/{project_name()}/{stack}"
    found = [_read(text) for text in _documents(url, folder, engine.env_vars)]
    return sorted(found, key=lambda lock: lock.since)


def clear_dead_locks(stack: str, engine: auto.LocalWorkspace | None = None) -> list[Lock]:
    """Clears the stack's locks if all of them are dead, and returns them. Raises StackLocked."""
    engine = engine or workspace(stack)
    found = locks(stack, engine)
    living = [lock for lock in found if not lock.dead]
    if living:
        raise StackLocked(
            f"stack {stack} is locked by {'; and by '.join(map(str, living))}. If that still runs, wait. "
            f"If you know that it was killed, run `pulumi cancel --stack {stack}` and then the same again "
            f"(this is {getpass.getuser()} on {socket.gethostname()}, which can't see processes elsewhere)."
        )
    if found:
        # The engine knows no way to clear one lock: this clears all, which are dead.
        engine.pulumi_command.run(
            ["cancel", "--yes", "--stack", stack], engine.work_dir, dict(engine.env_vars)
        )
    return found


def _read(text: str) -> Lock:
    written = json.loads(text)
    return Lock(
        owner=written["username"],
        host=written["hostname"],
        pid=written["pid"],
        since=datetime.fromisoformat(written["timestamp"]).astimezone(UTC),
    )


def _documents(url: str, folder: str, environment: Mapping[str, str]) -> Iterator[str]:
    """The lock files in a folder of the backend."""
    parts = urlsplit(url)
    if parts.scheme == "s3":
        yield from _objects(parts.netloc, parts.path, parse_qs(parts.query), folder, environment)
    elif parts.scheme == "file":
        root = Path(f"{parts.netloc}{parts.path}").expanduser()
        yield from (path.read_text() for path in sorted((root / folder).glob("*.json")))
    elif parts.scheme not in ("http", "https"):
        raise SwitchyardError(
            f"the state is kept at {url}, where locks can't be read from here; s3:// and file:// can be"
        )


def _objects(
    bucket: str,
    prefix: str,
    options: Mapping[str, Sequence[str]],
    folder: str,
    environment: Mapping[str, str],
) -> Iterator[str]:
    def option(name: str) -> str | None:
        return next(iter(options.get(name, ())), None)

    session = session_of(environment, option("region"), option("profile"))
    endpoint = option("endpoint")
    if endpoint and "//" not in endpoint:
        endpoint = ("http://" if option("disableSSL") == "true" else "https://") + endpoint
    s3 = session.client("s3", endpoint_url=endpoint)
    path = "/".join(part for part in (prefix.strip("/"), folder) if part)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{path}/"):
        for entry in page.get("Contents", []):
            yield s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read().decode()

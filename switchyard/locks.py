"""Locks of Pulumi's own backends. They never expire, so an engine that was killed leaves its lock behind.

A lock is dead, and only then cleared without being told, if it was taken on this host by a process that no
longer runs. `pulumi cancel` clears all locks of a stack; here one is cleared, and only as it was seen.
"""

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pulumi.automation as auto
import yaml

from review.wording import visible
from switchyard.backend import Backend, Stored, backend_of
from switchyard.errors import SwitchyardError
from switchyard.stacks import workspace

# The host's clock and a process's start are read from different places.
SLACK = timedelta(seconds=1)
UNKNOWN = "unknown"


class StackLocked(SwitchyardError):
    """Somebody may still be working on the stack."""


@dataclass(frozen=True, kw_only=True)
class Lock:
    """A lock of a stack, as the engine that took it wrote it down.

    id: its name in the backend.
    owner, host, pid: who took it, where, and in which process.
    since: when.
    malformed: why its content can't be read, empty where it can; then `since` is when it was written.
    clear: removes it if it is still what was read; False if not.
    """

    id: str
    owner: str
    host: str
    pid: int
    since: datetime
    malformed: str = ""
    clear: Callable[[], bool] = field(default=lambda: False, repr=False, compare=False)

    @property
    def age(self) -> timedelta:
        """How long ago it was taken; never less than nothing, as by a host whose clock is ahead."""
        return max(datetime.now(UTC) - self.since, timedelta())

    @property
    def dead(self) -> bool:
        """Whether nobody can hold it any more: it is of this host, and its process is gone.

        A process that started after the lock was taken only got the same number.
        """
        if self.malformed or self.host != socket.gethostname():
            return False
        try:
            process = psutil.Process(self.pid)
            started = datetime.fromtimestamp(process.create_time(), UTC)
            return process.status() == psutil.STATUS_ZOMBIE or started > self.since + SLACK
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False

    def __str__(self) -> str:
        if self.malformed:
            return f"somebody (lock {self.id} can't be read: {self.malformed}), {span(self.age)} ago"
        return f"{self.owner} on {self.host} (process {self.pid}), {span(self.age)} ago"

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "id": self.id,
            "owner": self.owner,
            "host": self.host,
            "pid": self.pid,
            "since": self.since.isoformat(),
            "age_seconds": int(self.age.total_seconds()),
            "dead": self.dead,
            "malformed": self.malformed or None,
        }


def span(length: timedelta) -> str:
    """A length of time in its one or two largest units: `3 minutes`, `2 hours 5 minutes`."""
    minutes = int(length.total_seconds() // 60)
    days, hours = divmod(minutes // 60, 24)
    units = [(days, "day"), (hours, "hour"), (minutes % 60, "minute")]
    told = [f"{count} {unit}{'s' if count != 1 else ''}" for count, unit in units if count]
    return " ".join(told[:2]) or "0 minutes"


def locks(stack: str, engine: auto.LocalWorkspace | None = None) -> list[Lock]:
    """The stack's locks, oldest first. Raises SwitchyardError where they can't be read."""
    engine = engine or workspace(stack)
    backend = backend_of(engine)
    if backend is None:
        # Pulumi Cloud's own expire.
        return []
    files = [file for file in backend.list(locks_folder(stack, engine)) if file.key.endswith(".json")]
    found = [_read(file, backend) for file in files]
    return sorted(found, key=lambda lock: lock.since)


def locks_folder(stack: str, engine: auto.LocalWorkspace) -> str:
    """Where the backend keeps the stack's locks; ends with a slash."""
    return f".pulumi/locks/organization/{project_of(engine)}/{stack}/"


def project_of(engine: auto.LocalWorkspace) -> str:
    """The name of the project that the engine works on."""
    name: str = yaml.safe_load((Path(engine.work_dir) / "Pulumi.yaml").read_text())["name"]
    return name


def clear_dead_locks(stack: str, engine: auto.LocalWorkspace | None = None) -> list[Lock]:
    """Clears the stack's locks if all of them are dead, and returns them. Raises StackLocked."""
    found = locks(stack, engine)
    living = [lock for lock in found if not lock.dead]
    if living:
        raise StackLocked(locked_by(stack, living))
    return [lock for lock in found if lock.clear()]


def locked_by(stack: str, living: list[Lock]) -> str:
    """What to tell a person who is kept out by these locks."""
    forced = " ".join(f"--force {lock.id}" for lock in living)
    return (
        f"stack {stack} is locked by {'; and by '.join(map(str, living))}. If that still runs, wait. "
        f"If you know that it was killed, run `switchyard unlock --stack {stack} {forced}` and then the same "
        f"again (this is {socket.gethostname()}, which can't see processes elsewhere)."
    )


def _read(file: Stored, backend: Backend) -> Lock:
    id_, text = file.key.rpartition("/")[2].removesuffix(".json"), file.data.decode(errors="replace")
    try:
        written = json.loads(text)
        if written["pid"] <= 0:
            raise ValueError(f"{written['pid']} is no process")  # noqa: TRY301 - told as any other mistake in it
        return Lock(
            id=id_,
            owner=visible(str(written["username"])),
            host=visible(str(written["hostname"])),
            pid=int(written["pid"]),
            since=datetime.fromisoformat(written["timestamp"]).astimezone(UTC),
            clear=lambda: backend.remove(file),
        )
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        why = f"{type(error).__name__}: {error}" if text.strip() else "it is empty"
        return Lock(
            id=id_,
            owner=UNKNOWN,
            host=UNKNOWN,
            pid=0,
            since=file.since,
            malformed=visible(why)[:200],
            clear=lambda: backend.remove(file),
        )

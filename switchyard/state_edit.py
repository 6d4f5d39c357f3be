"""Changes one thing in a stack's state and leaves all else as it is, pending operations among it.

`pulumi stack import` is the documented way to edit a state, and drops every pending operation ("removing
pending operation …", 3.230). To decide one and keep the others, the file is written as the engine writes it:
under a lock that the engine heeds, over exactly what was read, with a backup beside it.
"""

import getpass
import gzip
import json
import os
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pulumi.automation as auto

from switchyard.backend import Backend, Stored, backend_of
from switchyard.errors import SwitchyardError
from switchyard.locks import StackLocked, locked_by, locks, locks_folder, project_of
from switchyard.pending import Deployment

CHECKPOINT_VERSION = 3


class NotEdited(SwitchyardError):
    """The state is as it was."""


def edit(stack: str, engine: auto.LocalWorkspace, change: Callable[[Deployment], Deployment]) -> Deployment:
    """Makes the state what `change` makes of it, whole or not at all, and returns it.

    Raises StackLocked if somebody works on the stack, NotEdited if the state can't be changed here; whatever
    `change` raises leaves it as it was.
    """
    backend = backend_of(engine)
    if backend is None:
        raise NotEdited(
            f"the state of {stack} is in Pulumi Cloud, where one operation can't be decided and the others "
            f"kept; `switchyard recover --stack {stack}` decides all of them"
        )
    with _locked(stack, engine, backend):
        seen = _state_file(stack, engine, backend)
        document = json.loads(gzip.decompress(seen.data) if seen.key.endswith(".gz") else seen.data)
        if document.get("version") != CHECKPOINT_VERSION:
            raise NotEdited(
                f"{seen.key} is of version {document.get('version')}, and only {CHECKPOINT_VERSION} is known"
            )
        after = change(document["checkpoint"].get("latest") or {})
        document["checkpoint"]["latest"] = after
        data = json.dumps(document, indent=4).encode()
        _back_up(seen, backend)
        if not backend.put(seen.key, gzip.compress(data) if seen.key.endswith(".gz") else data, seen):
            raise NotEdited(f"somebody has written the state of {stack} meanwhile: look again")
        return after


def _state_file(stack: str, engine: auto.LocalWorkspace, backend: Backend) -> Stored:
    """The newest of what the engine may have kept it as."""
    path = f".pulumi/stacks/{project_of(engine)}/{stack}.json"
    found = [file for file in backend.list(path) if file.key in (path, f"{path}.gz")]
    if not found:
        raise NotEdited(f"there is no {path} in the backend of stack {stack}, or it is kept in another form")
    return max(found, key=lambda file: file.since)


def _back_up(seen: Stored, backend: Backend) -> None:
    """As the engine does, over the backup before."""
    key = f"{seen.key}.bak"
    before = next((file for file in backend.list(key) if file.key == key), None)
    if not backend.put(key, seen.data, before):
        raise NotEdited(f"{key} was written by somebody else meanwhile: look again")


@contextmanager
def _locked(stack: str, engine: auto.LocalWorkspace, backend: Backend) -> Iterator[None]:
    """Holds a lock of the stack as the engine does: written first, then looked whether it is the only one."""
    id_ = str(uuid.uuid4())
    key = f"{locks_folder(stack, engine)}{id_}.json"
    content: dict[str, Any] = {
        "pid": os.getpid(),
        "username": getpass.getuser(),
        "hostname": socket.gethostname(),
        "timestamp": datetime.now(UTC).isoformat(),
    }
    if not backend.put(key, json.dumps(content).encode(), None):
        raise NotEdited(f"{key} is there already: look again")
    try:
        others = [lock for lock in locks(stack, engine) if lock.id != id_]
        if others:
            raise StackLocked(locked_by(stack, others))
        yield
    finally:
        for mine in backend.list(key):
            backend.remove(mine)

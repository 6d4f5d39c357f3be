"""What an interrupted run has left of a stack, shown and cleared piece by piece, each by itself.

`switchyard.recovery` does all of it at once and by itself; this is for where that stops, or for who wants to
say what becomes of each. Every step is kept before the next one begins.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi.automation as auto

from switchyard.errors import SwitchyardError
from switchyard.finders import WRITTEN_AGAIN
from switchyard.locks import Lock
from switchyard.pending import Deployment, Pending, pending, pending_creates, resolved, unread
from switchyard.recovery import (
    NoState,
    RecoveryFailed,
    Say,
    clients_of,
    exported,
    look_for,
    read_from_aws,
)
from switchyard.state_edit import edit


class NotResolved(SwitchyardError):
    """A lock or a pending operation is as it was; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Interrupted:
    """The pending operations of a stack. written: when its state was written last, as the engine says it."""

    operations: Sequence[Pending] = ()
    written: str | None = None


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What AWS has of something that was being created. thing: its ID, None for nothing.

    unknown: why it can't be told, empty where it can.
    """

    thing: str | None = None
    unknown: str = ""

    def __str__(self) -> str:
        return self.unknown or (f"AWS has it: {self.thing}" if self.thing else "AWS does not have it")


def named_locks(stack: str, found: Sequence[Lock], ids: Sequence[str]) -> list[Lock]:
    """The locks with these IDs. Raises NotResolved if there is none of one of them."""
    by_id = {lock.id: lock for lock in found}
    missing = [id_ for id_ in ids if id_ not in by_id]
    if missing:
        have = ", ".join(by_id) or "none: it is not locked"
        raise NotResolved(
            f"stack {stack} has no lock {', '.join(missing)}; nothing was cleared. Its locks: {have}"
        )
    return [by_id[id_] for id_ in dict.fromkeys(ids)]


def clear(stack: str, chosen: Sequence[Lock], say: Say) -> list[Lock]:
    """Clears exactly these locks, and returns those that were still there as they were seen."""
    cleared = []
    for lock in chosen:
        if lock.clear():
            cleared.append(lock)
            say(f"Cleared lock {lock.id} of stack {stack}: {lock}")
        else:
            say(f"Lock {lock.id} is gone, or has become another one: left alone")
    return cleared


def interrupted(stack: str, engine: auto.LocalWorkspace) -> Interrupted:
    """What the state says was begun and not ended. Raises RecoveryFailed."""
    try:
        deployment = exported(stack, engine).get("deployment") or {}
    except NoState:
        return Interrupted()
    return Interrupted(
        operations=tuple(pending(deployment)),
        written=(deployment.get("manifest") or {}).get("time"),
    )


def finish(stack: str, engine: auto.LocalWorkspace, say: Say) -> None:
    """Reads from AWS what was adopted by a run that was itself cut off before it could."""
    try:
        left = unread(exported(stack, engine).get("deployment") or {})
    except NoState:
        return
    for urn in left:
        say(f"{urn.rsplit('::', 1)[-1]} was adopted before and is read now")
    read_from_aws(stack, engine, left)


def named_operation(found: Interrupted, given: str) -> tuple[Pending, str | None]:
    """The operation that `URN`, `NAME`, `URN=ID` or `NAME=ID` means, and the ID. Raises NotResolved."""
    for words, thing in ((given, None), (given.rpartition("=")[0], given.rpartition("=")[2])):
        meant = [one for one in found.operations if words and words in (one.urn, one.name)]
        if len(meant) == 1:
            return meant[0], thing
        if meant:
            listed = "\n".join(f"- {one.urn}" for one in meant)
            raise NotResolved(f"{words} is {len(meant)} pending operations; give its URN:\n{listed}")
    listed = "\n".join(f"- {one.operation} {one.urn}" for one in found.operations) or "- nothing"
    raise NotResolved(f"{given} is no pending operation of the stack. Pending are:\n{listed}")


def trace(stack: str, one: Pending, engine: auto.LocalWorkspace) -> Trace:
    """Looks in AWS for what was being created."""
    return _trace(one, exported(stack, engine).get("deployment") or {}, engine)


def _trace(one: Pending, deployment: Deployment, engine: auto.LocalWorkspace) -> Trace:
    begun = [each for each in pending_creates(deployment) if each.urn == one.urn]
    if not one.undecided or not begun:
        return Trace(unknown=f"nothing here can look for a {one.type}")
    if one.type in WRITTEN_AGAIN:
        return Trace(unknown=f"the next run may create it again: {WRITTEN_AGAIN[one.type]}")
    try:
        return Trace(thing=look_for(begun, deployment, clients_of(engine.env_vars)).get(one.urn))
    except RecoveryFailed as error:
        return Trace(unknown=str(error))


def adopt(stack: str, one: Pending, engine: auto.LocalWorkspace, thing: str | None = None) -> str:
    """Takes what AWS has into the state, and returns its ID. Raises SwitchyardError.

    thing: the ID to import it by; without one it is looked for.
    """
    deployment = exported(stack, engine).get("deployment") or {}
    _still_pending(stack, one, deployment)
    if not one.undecided:
        raise NotResolved(
            f"{one.name} is in the state already, and the next run goes on with {one.operation} it: "
            f"nothing is to be adopted; `--forget {one.urn}` takes the mark away"
        )
    if any(begun.urn == one.urn and begun.replaces for begun in pending_creates(deployment)):
        raise NotResolved(
            f"the state holds another {one.name} already, so the new one can't be adopted; forget it, and "
            "delete it in AWS if nothing uses it"
        )
    if thing is None:
        seen = _trace(one, deployment, engine)
        if seen.thing is None:
            raise NotResolved(
                f"{one.name} ({one.type}) can't be adopted: {seen}. `--forget {one.urn}` has the next run "
                f"create it; `--adopt {one.urn}=ID` takes the one that you name"
            )
        thing = seen.thing
    edit(stack, engine, lambda now: resolved(_still_pending(stack, one, now), one, thing))
    read_from_aws(stack, engine, [one.urn])
    # A thing that AWS does not have is dropped by the reading.
    after = exported(stack, engine).get("deployment") or {}
    if not any(each["urn"] == one.urn for each in after.get("resources") or []):
        raise NotResolved(f"AWS has no {one.type} {thing}: {one.name} is forgotten, the next run creates it")
    return thing


def forget(stack: str, one: Pending, engine: auto.LocalWorkspace) -> None:
    """Takes the operation out of the state; AWS keeps what it has. Raises SwitchyardError."""
    edit(stack, engine, lambda now: resolved(_still_pending(stack, one, now), one))


def _still_pending(stack: str, one: Pending, deployment: Deployment) -> Deployment:
    if one not in pending(deployment):
        raise NotResolved(f"{one.name} is not pending any more in stack {stack}: look again")
    return deployment

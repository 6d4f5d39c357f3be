"""Makes a stack workable again after a run of the engine that was killed.

1. Locks whose process is gone are cleared; any other lock stops here.
2. Each create that was cut off is looked for in AWS (switchyard/finders.py).
3. What is there is adopted into the state and read; what is not is forgotten, so that the next run
   creates it. What was cut off in the middle of its creation is repaired by the next run, as a difference.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pulumi.automation as auto
from botocore.exceptions import BotoCoreError, ClientError

from review import known_secrets
from review.masking import Masker
from review.preview import words_of
from switchyard.errors import SwitchyardError
from switchyard.finders import FINDERS, IMPORTED_BY_NAME, SLOW, WRITTEN_AGAIN
from switchyard.finders.look import Ambiguous, Clients, Look
from switchyard.locks import Lock, clear_dead_locks
from switchyard.pending import (
    Deployment,
    PendingCreate,
    decided,
    known_ids,
    pending_creates,
    undecided,
    unread,
)
from switchyard.stacks import session_of, workspace

Say = Callable[[str], None]

# The AWS plugin outlives a killed engine for a moment and ends the call that it is in; and what EC2 has just
# made does not show up everywhere at once.
SETTLE_SECONDS = 3.0


class RecoveryFailed(SwitchyardError):
    """It can't be told what an interrupted run has left behind, or it can't be adopted."""


class NoState(RecoveryFailed):
    """The stack was never brought up here, or was removed."""


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """What was done.

    cleared_locks: locks of dead processes.
    adopted: name and ID of what was found in AWS and is in the state now.
    cleared: names of what was begun and is not in AWS.
    left: name and ID of what is in AWS twice: the state holds one, this is the other.
    """

    cleared_locks: Sequence[Lock] = ()
    adopted: Sequence[tuple[str, str]] = ()
    cleared: Sequence[str] = ()
    left: Sequence[tuple[str, str]] = ()


def recover(stack: str, say: Say, engine: auto.LocalWorkspace | None = None) -> Recovery:
    """Clears dead locks and decides pending creates; the stack has to exist.

    Costs a look at the locks and one export of the state where there is nothing to do. Raises
    SwitchyardError if somebody holds the stack, or if a lookup fails: a thing is only forgotten when AWS
    says that it is not there.
    """
    engine = engine or workspace(stack)
    cleared_locks = clear_dead_locks(stack, engine)
    for lock in cleared_locks:
        say(f"Cleared the lock of {lock}: that process is gone")
    state = exported(stack, engine)
    deployment: Deployment = state.get("deployment") or {}
    begun = pending_creates(deployment)
    if begun:
        say(f"{len(begun)} resources were being created when the last run was cut off: looking for them")
    found = look_for(begun, deployment, clients_of(engine.env_vars))
    left = {
        pending.urn: found.pop(pending.urn) for pending in begun if pending.replaces and pending.urn in found
    }
    if undecided(deployment):
        deployment = decided(deployment, found)
        keep(stack, engine, {**state, "deployment": deployment})
    # More than what was found now, where a recovery was itself cut off.
    read_from_aws(stack, engine, unread(deployment))
    names = {pending.urn: pending.name for pending in begun}
    done = Recovery(
        cleared_locks=tuple(cleared_locks),
        adopted=tuple((names[urn], thing) for urn, thing in found.items()),
        cleared=tuple(p.name for p in begun if p.urn not in found and not p.replaces),
        left=tuple((names[urn], thing) for urn, thing in left.items()),
    )
    _tell(done, say)
    return done


def look_for(
    begun: Sequence[PendingCreate], deployment: Deployment, clients: Callable[[str], Clients]
) -> dict[str, str]:
    """Import IDs by URN of those that AWS has, ready to be used. `clients` gives a region's clients.

    Where the state holds the URN already, only what is not what it holds. Raises RecoveryFailed.
    """
    looks = [
        Look(pending=pending, known=known_ids(deployment, pending.type), client=clients(pending.region))
        for pending in begun
        if pending.type not in WRITTEN_AGAIN
    ]
    found: dict[str, str] = {}
    for wait_seconds in (0.0, SETTLE_SECONDS):
        missing = [look for look in looks if look.pending.urn not in found]
        if missing:
            time.sleep(wait_seconds)
        for look in missing:
            thing = _find(look)
            if thing is not None:
                found[look.pending.urn] = thing
    return found


def _find(look: Look) -> str | None:
    pending = look.pending
    if pending.type not in FINDERS:
        raise RecoveryFailed(
            f"{pending.name} was being created, and nothing here can look for a {pending.type}: add it to "
            "switchyard/finders/__init__.py, or look for it yourself and see `pulumi refresh --help`"
        )
    try:
        thing = FINDERS[pending.type](look)
        if thing is not None and pending.replaces:
            return None if thing in look.known or pending.type in IMPORTED_BY_NAME else thing
        if thing is not None and pending.type in SLOW:
            service, waiter, argument = SLOW[pending.type]
            look.client(service).get_waiter(waiter).wait(**argument(thing))
    except (BotoCoreError, ClientError, Ambiguous) as error:
        raise RecoveryFailed(
            f"the last run was cut off while it created {pending.name} ({pending.type}), and it can't be "
            f"told whether that is there:\n  {error}\nNothing was changed; mend it and run the same again."
        ) from error
    return thing


def clients_of(environment: Mapping[str, str]) -> Callable[[str], Clients]:
    """Gives a region's AWS clients, in the engine's environment."""

    @cache
    def of_region(region: str) -> Clients:
        make: Any = session_of(environment, region).client
        return cache(lambda service: make(service, endpoint_url=environment.get("AWS_ENDPOINT_URL")))

    return of_region


def exported(stack: str, engine: auto.LocalWorkspace) -> dict[str, Any]:
    """The stack's state, secrets encrypted. Raises NoState or RecoveryFailed."""
    found: dict[str, Any] = json.loads(_pulumi(engine, "stack", "export", "--stack", stack))
    return found


def keep(stack: str, engine: auto.LocalWorkspace, state: Mapping[str, Any]) -> None:
    """Makes this the stack's state, whole or not at all. Raises RecoveryFailed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.json"
        path.write_text(json.dumps(state))
        _pulumi(engine, "stack", "import", "--stack", stack, "--file", str(path))


def read_from_aws(stack: str, engine: auto.LocalWorkspace, urns: Sequence[str]) -> None:
    """Reads these resources, and only these, from AWS. Raises RecoveryFailed."""
    if urns:
        targets = [argument for urn in urns for argument in ("--target", urn)]
        _pulumi(engine, "refresh", "--yes", "--skip-preview", "--stack", stack, *targets)


def _pulumi(engine: auto.LocalWorkspace, *arguments: str) -> str:
    try:
        return engine.pulumi_command.run(list(arguments), engine.work_dir, dict(engine.env_vars)).stdout
    except auto.StackNotFoundError:
        stack = arguments[arguments.index("--stack") + 1]
        raise NoState(
            f"there is no state of stack {stack} here: it was never brought up, or this is another backend"
        ) from None
    except auto.CommandError as error:
        masker = Masker(known_secrets.of_environment(os.environ, engine.env_vars))
        said = masker.text(words_of(error))
        raise RecoveryFailed(f"`pulumi {' '.join(arguments[:2])}` failed:\n{said}") from None


def _tell(done: Recovery, say: Say) -> None:
    for name, thing in done.adopted:
        say(f"{name} is there and was adopted: {thing}")
    if done.cleared:
        say(f"Not there, to be created again: {', '.join(done.cleared)}")
    for name, thing in done.left:
        say(f"{name} was made twice. The stack uses the other one; delete {thing} if nothing else does")

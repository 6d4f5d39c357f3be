"""Takes a review stack down, whatever a crash has left of it.

Locks and pending creates are decided, then go: resources, image parameters, state, settings file, record. The
record is the last, so that whatever was cut off is known and can be done again.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pulumi.automation as auto

from review.ephemeral import Phase, Record, choose_cidr, number_of
from switchyard import stacks
from switchyard.embedded import Watcher, run
from switchyard.errors import SwitchyardError
from switchyard.interrupted import interruptible
from switchyard.locks import locks
from switchyard.recovery import recover
from switchyard.review_engine import engine_of, states_of, write_settings
from switchyard.review_places import Place, file_of

Say = Callable[[str], None]

LISTED = 20


class StateLost(SwitchyardError):
    """Resources of a review stack exist, and no state knows them."""


class Renewed(SwitchyardError):
    """Somebody brought the stack up again while it was taken down."""


def take_down(
    place: Place, stack: str, record: Record | None, say: Say, old_locks_before: datetime | None = None
) -> None:
    """Destroys a review stack and all that is known of it, from whatever point. Safe to repeat.

    old_locks_before: locks that are older count as dead, wherever they were taken.
    """
    if number_of(stack) is None:
        raise SwitchyardError(f"{stack} is no review stack; nothing here touches it")
    if not _has_settings(place, stack):
        # A checkout of another day or host. The engine destroys by its state, and wants a file all the same.
        write_settings(place, record or _stand_in(place, stack))
    if stack in states_of(place):
        _destroy(stack, engine_of(place, stack), say, old_locks_before)
        record = _advanced(place, record)
        place.forget_images(stack)
        stacks.workspace(stack).remove_stack(stack, preserve_config=True)
    elif record is not None and record.phase is Phase.BEGUN:
        _refuse_leftovers(place, stack)
    _advanced(place, record)
    place.forget_images(stack)
    file_of(stack).unlink(missing_ok=True)
    place.forget(stack)
    say(f"{stack} is gone")


def _destroy(stack: str, engine: auto.LocalWorkspace, say: Say, old_locks_before: datetime | None) -> None:
    watcher = Watcher(say=say, verb=f"Destroying {stack}")
    if old_locks_before is not None:
        _clear_old_locks(stack, engine, old_locks_before, say)
    with interruptible(engine, say):
        recover(stack, say, engine)
        opened = run(lambda: stacks.selected(stack, engine), watcher)
        run(lambda: opened.destroy(on_event=watcher, suppress_outputs=True, show_secrets=False), watcher)


def _clear_old_locks(stack: str, engine: auto.LocalWorkspace, before: datetime, say: Say) -> None:
    """Clears the stack's locks if each is dead or old. Otherwise `recover` says whose they are."""
    found = locks(stack, engine)
    if found and all(lock.dead or lock.since < before for lock in found):
        for lock in found:
            say(f"Clearing the lock of {lock}: {stack} has expired")
        arguments = ["cancel", "--yes", "--stack", stack]
        engine.pulumi_command.run(arguments, engine.work_dir, dict(engine.env_vars))


def _advanced(place: Place, record: Record | None) -> Record | None:
    """Notes that the resources are gone. Raises Renewed if somebody else has written the record since."""
    if record is None:
        return None
    current = place.readable_record(record.stack)
    if current is not None and current.expires != record.expires:
        raise Renewed(
            f"{record.stack} was brought up again while it was taken down; its record stays. Run `switchyard "
            f"review up --pr {record.number}` again, or `switchyard review down`"
        )
    destroyed = replace(record, phase=Phase.DESTROYED)
    place.write(destroyed)
    return destroyed


def _refuse_leftovers(place: Place, stack: str) -> None:
    """Raises StateLost if AWS has anything of a stack whose state is gone."""
    left = place.leftovers(stack)
    if left:
        more = [f"and {len(left) - LISTED} more"] if len(left) > LISTED else []
        listed = "\n  ".join([*left[:LISTED], *more])
        raise StateLost(
            f"the state of {stack} is gone and AWS still has resources with its tags. Get the state back (a "
            f"versioned bucket keeps it: .pulumi/stacks/{place.project}/{stack}.json), or delete these, and "
            f"run the same again:\n  {listed}"
        )


def _has_settings(place: Place, stack: str) -> bool:
    """Whether the stack has a file, and one that leads to this place."""
    try:
        settings = stacks.settings_of(stack)
    except SwitchyardError:
        return False
    home = place.settings
    same_environment = (settings.environment == "local") == (home.environment == "local")
    return same_environment and (settings.accounts, settings.region) == (home.accounts, home.region)


def _stand_in(place: Place, stack: str) -> Record:
    number = number_of(stack)
    assert number is not None  # noqa: S101 - its callers have asked
    cidr = choose_cidr(number, place.networks_in_use(stack))
    return Record(number=number, base=place.base, cidr=cidr, expires=datetime.now(UTC))

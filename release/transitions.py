"""How a release goes on: one pure function, and the events that it knows.

`advance` is total: for each phase and event it gives the next release, or raises IllegalTransition with
what was tried. The driver persists what it returns before it acts on it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from release.errors import ReleaseError
from release.model import Contract, Hold, Phase, Release


class IllegalTransition(ReleaseError):
    """An event that does not belong to where the release is."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something happened; `reason` is a sentence for the record."""

    at: datetime
    reason: str


@dataclass(frozen=True, kw_only=True)
class Proceed(Event):
    """All of the current phase is done and was verified."""


@dataclass(frozen=True, kw_only=True)
class Migrated(Event):
    """A service's schema is ready for its new version. contract: a part is left for after the bake."""

    service: str
    schema: str | None = None
    revisions: tuple[str, ...] = ()
    floor: str | None = None
    contract: bool = False


@dataclass(frozen=True, kw_only=True)
class ContractBegins(Event):
    """From now on a service's old version may not run on the schema."""

    service: str


@dataclass(frozen=True, kw_only=True)
class Contracted(Event):
    """A service's contract migration is done."""

    service: str
    floor: str | None = None


@dataclass(frozen=True, kw_only=True)
class Intend(Event):
    """The next step is about to be written."""


@dataclass(frozen=True, kw_only=True)
class Shifted(Event):
    """The weights that were intended were seen."""


@dataclass(frozen=True, kw_only=True)
class Watched(Event):
    """The watch of the current step is over, and nothing speaks against the next."""


@dataclass(frozen=True, kw_only=True)
class Held(Event):
    """The release waits."""

    hold: Hold


@dataclass(frozen=True, kw_only=True)
class Released(Event):
    """What it waited for has come. by: who approved; None where it ended by itself."""

    by: str | None = None


@dataclass(frozen=True, kw_only=True)
class Failed(Event):
    """The release must not go on."""


@dataclass(frozen=True, kw_only=True)
class TrafficBack(Event):
    """The old colours have the traffic again, wherever there is an old one."""


@dataclass(frozen=True, kw_only=True)
class RolledBack(Event):
    """Everything is as it was before. stuck: services that had nothing to go back to."""

    stuck: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Left(Event):
    """A person's word: close the release, touch nothing."""


@dataclass(frozen=True, kw_only=True)
class Interrupted(Event):
    """The process ends; the release stays where it is."""


@dataclass(frozen=True, kw_only=True)
class TakenUp(Event):
    """A process goes on with the release. token: its fencing token."""

    token: int


@dataclass(frozen=True, kw_only=True)
class Noted(Event):
    """Nothing changes; something is worth a line in the record."""


FORWARD = {
    Phase.PLANNED: Phase.PREPARING,
    Phase.PREPARING: Phase.MIGRATING,
    Phase.MIGRATING: Phase.SCALING,
    Phase.SCALING: Phase.VERIFYING,
    Phase.VERIFYING: Phase.SHIFTING,
    Phase.SHIFTING: Phase.BAKING,
    Phase.CONTRACTING: Phase.RETIRING,
    Phase.RETIRING: Phase.COMPLETED,
}


def advance(release: Release, event: Event) -> Release:
    """The release after the event. Raises IllegalTransition."""
    if release.phase.is_terminal:
        raise IllegalTransition(
            f"release {release.id} is over ({release.phase}): {_name(event)} has no place"
        )
    following = _RULES[type(event)](release, event)
    reason = following.reason if following.reason != release.reason else event.reason
    return replace(following, reason=reason or release.reason, updated_at=event.at)


def _proceed(release: Release, event: Event) -> Release:
    _unheld(release, event)
    if release.phase is Phase.ROLLING_BACK:
        raise _illegal(release, event, "it is on its way back")
    if release.phase is Phase.SHIFTING and (not release.confirmed or release.target != 100):
        raise _illegal(release, event, "the new colour has not all the traffic yet")
    if release.phase is Phase.MIGRATING and not all(change.migrated for change in release.changes):
        raise _illegal(release, event, "not every service's schema is ready")
    if release.phase is Phase.CONTRACTING and release.contracts:
        raise _illegal(release, event, "a contract migration is left")
    if release.phase is Phase.BAKING:
        following = Phase.CONTRACTING if release.contracts else Phase.RETIRING
    else:
        following = FORWARD[release.phase]
    return replace(
        release,
        phase=following,
        since=event.at,
        watched=False,
        retired=release.retired or following is Phase.RETIRING,
        passed=release.passed - {Hold.TRAFFIC},
    )


def _migrated(release: Release, event: Migrated) -> Release:
    _only_in(release, event, Phase.MIGRATING)
    return _change(
        release,
        event.service,
        migrated=True,
        schema=event.schema,
        revisions=event.revisions,
        floor=event.floor,
        contract=Contract.PENDING if event.contract else Contract.NONE,
    )


def _contract_begins(release: Release, event: ContractBegins) -> Release:
    _only_in(release, event, Phase.CONTRACTING)
    return _change(release, event.service, contract=Contract.BEGUN)


def _contracted(release: Release, event: Contracted) -> Release:
    _only_in(release, event, Phase.CONTRACTING)
    if release.change_of(event.service).contract is not Contract.BEGUN:
        raise _illegal(release, event, f"the migration of {event.service} was not begun")
    floor = event.floor or release.change_of(event.service).floor
    return _change(release, event.service, contract=Contract.DONE, floor=floor)


def _intend(release: Release, event: Intend) -> Release:
    _only_in(release, event, Phase.SHIFTING)
    if not release.confirmed:
        raise _illegal(release, event, "the step before is not confirmed")
    if release.step == len(release.steps):
        raise _illegal(release, event, "there is no further step")
    if release.step and not release.watched:
        raise _illegal(release, event, "the step before is still being watched")
    if release.approval and Hold.APPROVAL not in release.passed:
        raise _illegal(release, event, "nobody has approved it")
    percent = release.steps[release.step].percent
    return replace(
        release,
        possible=(release.target, percent),
        watched=False,
        since=event.at,
        passed=release.passed - {Hold.TRAFFIC},
    )


def _shifted(release: Release, event: Shifted) -> Release:
    _only_in(release, event, Phase.SHIFTING)
    if release.confirmed:
        raise _illegal(release, event, "no step was begun")
    return replace(release, possible=(release.target,), step=release.step + 1, since=event.at)


def _watched(release: Release, event: Watched) -> Release:
    _only_in(release, event, Phase.SHIFTING)
    if not release.step or not release.confirmed:
        raise _illegal(release, event, "no step is being watched")
    return replace(release, watched=True)


def _held(release: Release, event: Held) -> Release:
    if release.phase is Phase.ROLLING_BACK and event.hold is not Hold.PERSON:
        raise _illegal(release, event, "nothing but a person's absence may hold a way back")
    return replace(release, held=event.hold)


def _released(release: Release, event: Released) -> Release:
    if release.held is None:
        raise _illegal(release, event, "it is not held")
    passed = release.passed
    if event.by is not None and release.held is not Hold.PERSON:
        passed = passed | {release.held}
    approver = event.by if release.held is Hold.APPROVAL else None
    return replace(release, held=None, passed=passed, approved_by=approver or release.approved_by)


def _failed(release: Release, event: Failed) -> Release:
    if release.phase is Phase.ROLLING_BACK:
        # The second reason changes nothing about the way; the first one is what people ask for.
        return replace(release, held=None)
    if release.contracted:
        services = ", ".join(release.contracted)
        return replace(
            release,
            held=Hold.PERSON,
            attempt=release.attempt + 1,
            reason=f"{event.reason}. There is no way back: the schema of {services} has been contracted, "
            "the old version can't run on it. Mend the cause and `resume`",
        )
    return replace(
        release,
        phase=Phase.ROLLING_BACK,
        possible=(*(percent for percent in release.possible if percent), 0),
        held=None,
        cause=event.reason,
        since=event.at,
    )


def _traffic_back(release: Release, event: TrafficBack) -> Release:
    _only_in(release, event, Phase.ROLLING_BACK)
    return replace(release, possible=(0,), since=event.at, held=None)


def _rolled_back(release: Release, event: RolledBack) -> Release:
    _only_in(release, event, Phase.ROLLING_BACK)
    if release.possible != (0,):
        raise _illegal(release, event, "the traffic is not back yet")
    phase = Phase.NEEDS_PERSON if event.stuck else Phase.ROLLED_BACK
    return replace(release, phase=phase, since=event.at, held=None)


def _left(release: Release, event: Left) -> Release:
    return replace(release, phase=Phase.NEEDS_PERSON, since=event.at, held=None)


def _taken_up(release: Release, event: TakenUp) -> Release:
    if event.token <= release.token:
        raise _illegal(release, event, f"its token {event.token} is not above {release.token}")
    # Nobody watched in between: the stage's time begins again.
    return replace(release, token=event.token, since=event.at)


def _same(release: Release, event: Event) -> Release:  # noqa: ARG001 - a rule like the others
    return release


_RULES: dict[type[Event], Callable[[Release, Any], Release]] = {
    Proceed: _proceed,
    Migrated: _migrated,
    ContractBegins: _contract_begins,
    Contracted: _contracted,
    Intend: _intend,
    Shifted: _shifted,
    Watched: _watched,
    Held: _held,
    Released: _released,
    Failed: _failed,
    TrafficBack: _traffic_back,
    RolledBack: _rolled_back,
    Left: _left,
    Interrupted: _same,
    TakenUp: _taken_up,
    Noted: _same,
}


def _change(release: Release, service: str, **values: Any) -> Release:
    changes = tuple(
        replace(change, **values) if change.service == service else change for change in release.changes
    )
    if changes == release.changes and not any(change.service == service for change in changes):
        raise IllegalTransition(f"release {release.id} does not change {service}")
    return replace(release, changes=changes)


def _only_in(release: Release, event: Event, phase: Phase) -> None:
    _unheld(release, event)
    if release.phase is not phase:
        raise _illegal(release, event, f"that belongs to {phase}")


def _unheld(release: Release, event: Event) -> None:
    if release.held is not None:
        raise _illegal(release, event, f"it is held: {release.held}")


def _illegal(release: Release, event: Event, why: str) -> IllegalTransition:
    return IllegalTransition(f"release {release.id} in {release.phase}, {_name(event)}: {why}")


def _name(event: Event) -> str:
    return type(event).__name__

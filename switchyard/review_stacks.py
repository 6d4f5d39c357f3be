"""Review stacks of pull requests: up, down, and reaped when their time is over.

The order makes each step safe to be cut off after, and to be done again:

    up      record (reserved) · settings file · state · record (begun) · resources
    down    locks and pending creates decided · resources · record (destroyed) · image parameters · state ·
            settings file · record deleted
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pulumi.automation as auto
import yaml
from botocore.exceptions import BotoCoreError, ClientError

from infra.load import InvalidSettings
from localcloud import cloud
from localcloud.errors import CloudError
from review.ephemeral import (
    Phase,
    Record,
    choose_cidr,
    expiry,
    number_of,
    parse,
    stack_name,
)
from review.errors import ReviewError
from switchyard import stacks
from switchyard.embedded import Watcher, fill_secrets, run
from switchyard.errors import SwitchyardError
from switchyard.interrupted import interruptible
from switchyard.recovery import recover
from switchyard.review_engine import engine_of, states_of, write_settings
from switchyard.review_places import (
    OutOfReach,
    Place,
    bases,
    file_of,
    in_file,
    place_of,
    settings_files,
)
from switchyard.review_teardown import take_down

Say = Callable[[str], None]
Result = TypeVar("Result")

# Longer than any job of a CI service lives. On a stack that has expired nobody works any more, and the host
# that took the lock is gone with its job, so that it can't be asked.
LOCK_HOURS = 12
# Two that choose at the same time see each other's record; more than a few rounds are something else.
CHOICES = 8
FAILURES = (
    SwitchyardError,
    ReviewError,
    CloudError,
    InvalidSettings,
    BotoCoreError,
    ClientError,
    auto.CommandError,
    OSError,
    yaml.YAMLError,
)


class ReapFailed(SwitchyardError):
    """Some stack could not be taken down, or looked at. `reaped` says what was done all the same."""

    def __init__(self, message: str, reaped: "Reaped") -> None:
        super().__init__(message)
        self.reaped = reaped


@dataclass(frozen=True, kw_only=True)
class ReviewStack:
    """A review stack that is up. `outputs`: the stack's, what is secret of them masked."""

    record: Record
    outputs: Mapping[str, Any]


@dataclass(kw_only=True)
class Reaped:
    """What a reap did: stacks that are gone, those whose time is not over, failures by stack or base."""

    destroyed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def up(number: int, *, base: str, ttl_hours: int, say: Say, now: datetime | None = None) -> ReviewStack:
    """Brings the stack of a pull request up, or up to date, and returns it. Its time begins anew.

    Raises SwitchyardError or CloudError. Whatever had been made by then is known to `reap`.
    """
    return _in_own_words(lambda: _up(number, base, expiry(now or datetime.now(UTC), ttl_hours), say))


def _up(number: int, base: str, expires: datetime, say: Say) -> ReviewStack:
    stack = stack_name(number)
    place = place_of(base)
    record = _reserve(place, number, expires, say)
    write_settings(place, record)
    engine = engine_of(place, stack)
    if stacks.is_embedded(base) and place.settings.edge.certificate_arn:
        cloud.ensure_certificate(place.settings.edge.certificate_arn)
    say(f"Bringing up {stack}: from {base}, network {record.cidr}, until {expires:%Y-%m-%d %H:%M} UTC")
    watcher = Watcher(say=say, verb=f"Bringing up {stack}")
    with interruptible(engine, say):
        opened = run(lambda: stacks.selected(stack, engine), watcher)
        record = replace(record, phase=Phase.BEGUN)
        place.write(record)
        recover(stack, say, engine)
        run(lambda: opened.up(on_event=watcher, suppress_outputs=True, show_secrets=False), watcher)
    if stacks.is_embedded(base):
        fill_secrets(stack, say)
    return ReviewStack(record=record, outputs=run(lambda: stacks.outputs_of(stack), watcher))


def down(number: int, say: Say) -> bool:
    """Destroys the stack of a pull request with all that is known of it; false where there was nothing.

    Looks in every account that the credentials lead to. Raises SwitchyardError or CloudError.
    """
    return _in_own_words(lambda: _down(stack_name(number), say))


def _down(stack: str, say: Say) -> bool:
    reached, beyond = _reached()
    if not reached:
        raise SwitchyardError("no base stack can be reached:\n" + "\n".join(map(str, beyond.values())))
    # Places may share a backend; the record says whose the state is.
    recorded = [place for place in reached if stack in place.texts()]
    stated = [place for place in reached if not recorded and stack in states_of(place)][:1]
    for place in recorded or stated:
        take_down(place, stack, place.readable_record(stack), say)
    if not recorded and not stated:
        file_of(stack).unlink(missing_ok=True)
        say(f"There is no {stack} where these are: {', '.join(place.base for place in reached)}")
        for error in beyond.values():
            say(f"Not looked at: {_first_line(error)}")
    return bool(recorded or stated)


def reap(now: datetime, say: Say) -> Reaped:
    """Destroys every review stack whose time is over, also what a crash has left of one.

    Goes on with the next where one fails, and raises ReapFailed at the end. An account that the credentials
    do not lead to is said and left; a reap that reaches none fails.
    """
    reaped = Reaped()
    reached, beyond = _reached()
    for base, error in beyond.items():
        say(f"Not looked at: {_first_line(error)}")
        # A stack elsewhere is for a reap with other credentials; one with mistakes in its file is for nobody.
        if not reached or not isinstance(error, OutOfReach):
            reaped.failed[base] = str(error)
    known: set[str] = set()
    for place in reached:
        try:
            texts = place.texts()
        except FAILURES as error:
            reaped.failed[place.base] = str(error)
            continue
        known |= texts.keys()
        for stack in sorted(texts):
            _reap_one(place, stack, texts[stack], now, say, reaped)
    for place in reached:
        if place.base not in reaped.failed:
            _look_for_the_unrecorded(place, known, beyond, say, reaped)
    if reaped.failed:
        listed = "\n".join(f"- {name}: {text}" for name, text in reaped.failed.items())
        done = ", ".join(reaped.destroyed) or "none"
        raise ReapFailed(f"not all could be reaped (gone are: {done}):\n{listed}", reaped)
    return reaped


def _reap_one(place: Place, stack: str, text: str, now: datetime, say: Say, reaped: Reaped) -> None:
    if number_of(stack) is None:
        reaped.failed[stack] = f"{place.path}/{stack} is no record of a review stack; it was left alone"
        return
    try:
        record = parse(stack, text)
        # What is destroyed already only has to be cleared away, however much time it had.
        if not record.expired(now) and record.phase is not Phase.DESTROYED:
            say(f"{stack} lives until {record.expires:%Y-%m-%d %H:%M} UTC")
            reaped.kept.append(stack)
            return
        say(f"{stack} expired at {record.expires:%Y-%m-%d %H:%M} UTC")
        take_down(place, stack, record, say, old_locks_before=now - timedelta(hours=LOCK_HOURS))
        reaped.destroyed.append(stack)
    except FAILURES as error:
        say(f"{stack} could not be taken down; going on with the next")
        reaped.failed[stack] = str(error)


def _look_for_the_unrecorded(
    place: Place, known: set[str], beyond: Mapping[str, SwitchyardError], say: Say, reaped: Reaped
) -> None:
    """States without a record are told, and fail: nobody knows when they expire. Files without either go."""
    try:
        states = states_of(place)
        for stack in sorted(states - known):
            text = (
                f"there is a state of {stack}, and no record of when it expires: "
                f"`switchyard review down --pr {number_of(stack)}` takes it down, "
                "`switchyard review up` gives it a time again"
            )
            # A real backend may serve several accounts, and the record be in one that is out of reach.
            if not place.environment and any(in_file(base, "environment") != "local" for base in beyond):
                say(f"{text}, unless it is in an account that was not looked at")
            else:
                reaped.failed[stack] = text
        _sweep_files(place, known | states, say)
    except FAILURES as error:
        reaped.failed[place.base] = str(error)


# --- up


def _reserve(place: Place, number: int, expires: datetime, say: Say) -> Record:
    """Writes the record of the stack, with a network that it has had already or that is free."""
    stack = stack_name(number)
    before = place.readable_record(stack)
    if before is not None and before.base != place.base:
        raise SwitchyardError(
            f"{stack} was made from {before.base}, not from {place.base}: name that as --base, or take it "
            f"down first (switchyard review down --pr {number})"
        )
    if before is not None and before.phase is not Phase.DESTROYED:
        record = replace(before, expires=expires)
        place.write(record)
        return record
    for _ in range(CHOICES):
        cidr = choose_cidr(number, place.networks_in_use(stack))
        record = Record(number=number, base=place.base, cidr=cidr, expires=expires)
        place.write(record)
        # Another stack may have chosen between our look and our word.
        if not any(cidr.overlaps(other) for other in place.recorded_networks(stack)):
            return record
        say(f"{cidr} was taken meanwhile: choosing another network")
    raise SwitchyardError(f"no network could be reserved for {stack}; run the same again")


# --- looking


def _reached() -> tuple[list[Place], dict[str, SwitchyardError]]:
    """The places that the credentials lead to, each once, and why not by base for the others."""
    reached: dict[tuple[str, str, str | None], Place] = {}
    beyond: dict[str, SwitchyardError] = {}
    for base in bases():
        try:
            place = place_of(base)
        except SwitchyardError as error:
            beyond[base] = error
        else:
            reached.setdefault(place.key, place)
    return list(reached.values()), beyond


def _sweep_files(place: Place, known: set[str], say: Say) -> None:
    """Deletes settings files of review stacks of this base that are gone, reaped from another checkout."""
    for file in settings_files():
        stack = file.name.split(".")[1]
        if number_of(stack) is None or stack in known:
            continue
        tags = in_file(stack, "tags")
        if isinstance(tags, dict) and tags.get("review-of") == place.base:
            file.unlink()
            say(f"{file.name} was left of a stack that is gone: deleted")


# --- errors in words


def _first_line(error: Exception) -> str:
    """What is wrong, without the way out: that others can't be reached is no fault where one can."""
    return str(error).partition("\n")[0]


def _in_own_words(work: Callable[[], Result]) -> Result:
    """Runs it. What AWS, a file or the engine's command line fails with becomes a SwitchyardError."""
    try:
        return work()
    except (SwitchyardError, CloudError):
        raise
    except FAILURES as error:
        raise SwitchyardError(str(error)) from error

"""A release's way from where it is to its end: look, keep what it came to, look again.

Nothing is done before it is kept that it is about to be done, and nothing is taken for done before it was
seen. So this loop may end anywhere, and another one goes on from what is kept.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from release.errors import LostLock, MovedByOthers, NeedsPerson, ReleaseError, Unavailable
from release.hands import Hands
from release.journal import AbortAsked, Found, Heartbeat, Interrupt, StoreSilent
from release.model import Hold, Phase, Release
from release.stages import stage
from release.transitions import Event, Failed, Held, Interrupted, Proceed, Released, Watched
from release.watch import watch

# The wait after a look without an answer doubles from one poll up to this, in seconds.
LONGEST_BACKOFF_SECONDS = 60.0
# Phases in which a freeze lets nothing begin. The bake belongs to the step before it, and what follows it
# without a contract migration only tidies up: a freeze that held it would leave a release open for weeks.
FREEZABLE = frozenset(
    {
        Phase.PREPARING,
        Phase.MIGRATING,
        Phase.SCALING,
        Phase.VERIFYING,
        Phase.SHIFTING,
        Phase.CONTRACTING,
    }
)


class ExitCode(IntEnum):
    """How a command ended. A release that was rolled back is no success."""

    COMPLETED = 0
    FAILED = 1
    REFUSED = 3
    ROLLED_BACK = 4
    NEEDS_PERSON = 5
    INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What a command came to. release: as it was kept last; None where none was begun."""

    code: ExitCode
    release: Release | None
    reason: str


AT_THE_END = {
    Phase.COMPLETED: ExitCode.COMPLETED,
    Phase.ROLLED_BACK: ExitCode.ROLLED_BACK,
    Phase.NEEDS_PERSON: ExitCode.NEEDS_PERSON,
}


class Run:
    """The loop of one process. heartbeat_seconds: how often a thread renews the lease; None for no thread."""

    def __init__(self, hands: Hands, *, heartbeat_seconds: float | None) -> None:
        self._hands = hands
        self._journal = hands.journal
        self._heartbeat = heartbeat_seconds
        self._silent_since: datetime | None = None
        self._backoff = hands.policy.poll_seconds
        self._held_since: datetime | None = None
        self._begun: tuple[Phase, int, bool, datetime] | None = None

    def to_the_end(self) -> Ended:
        """Goes on until the release is over, is held for a person, or this process has to end."""
        beating = Heartbeat(self._journal, self._heartbeat) if self._heartbeat else nullcontext()
        try:
            with beating:
                ended = self._loop()
        except (Interrupt, KeyboardInterrupt):
            ended = self._interrupted()
        except (LostLock, StoreSilent) as error:
            ended = Ended(code=ExitCode.FAILED, release=self._journal.release, reason=str(error))
        self._journal.show("ended", code=int(ended.code), outcome=ended.code.name, reason=ended.reason)
        return ended

    def _loop(self) -> Ended:
        while not self._journal.release.phase.is_terminal:
            try:
                self._journal.checkpoint()
                if self._journal.release.held is not None:
                    if self._left_to_a_person():
                        return self._waiting()
                elif self._may_begin():
                    self._look()
            except AbortAsked as asked:
                failed = Failed(at=self._journal.now, reason=f"aborted by {asked.order}")
                self._commit(failed, actor=asked.order.by)
        release = self._journal.release
        return Ended(code=AT_THE_END[release.phase], release=release, reason=release.reason)

    # One look, and what it comes to.

    def _look(self) -> None:
        try:
            found = stage(self._hands)
        except Unavailable as error:
            self._no_answer(error)
        except (MovedByOthers, NeedsPerson) as error:
            self._commit(Held(at=self._journal.now, reason=str(error), hold=Hold.PERSON))
        except LostLock:
            raise
        except ReleaseError as error:
            self._broken(str(error))
        else:
            self._answered()
            if found is None:
                self._journal.pause(self._until_next_look())
            else:
                self._keep(found)

    def _until_next_look(self) -> float:
        """Seconds: a poll, or less where the stage's time is over before."""
        release, poll = self._journal.release, self._hands.policy.poll_seconds
        left = release.stage_seconds - (self._journal.now - release.since).total_seconds()
        return min(poll, left) if left > 0 else poll

    def _no_answer(self, error: Unavailable) -> None:
        """Waits longer and longer; after the policy's patience it is a failure like any other."""
        now = self._journal.now
        self._silent_since = self._silent_since or now
        silent = (now - self._silent_since).total_seconds()
        if silent >= self._hands.policy.patience_seconds:
            self._answered()
            self._broken(f"no answer for {silent:.0f} s: {error}")
            return
        self._hands.say(f"no answer, trying again: {error}")
        self._journal.pause(min(self._backoff, self._hands.policy.patience_seconds - silent))
        self._backoff = min(self._backoff * 2, LONGEST_BACKOFF_SECONDS)

    def _answered(self) -> None:
        self._silent_since = None
        self._backoff = self._hands.policy.poll_seconds

    def _broken(self, reason: str) -> None:
        """A stage failed: forward means back; on the way back it is a person's case."""
        now = self._journal.now
        if self._journal.release.phase is Phase.ROLLING_BACK:
            said = f"{reason}. The way back is not finished: `resume` goes on with it"
            self._commit(Held(at=now, reason=said, hold=Hold.PERSON))
        else:
            self._commit(Failed(at=now, reason=reason))

    def _keep(self, found: Found, actor: str | None = None) -> None:
        before = self._journal.release
        self._journal.commit(found, actor=actor)
        after = self._journal.release
        self._hands.say(f"{after.phase}: {after.reason}")
        if after.held is not None and before.held is None:
            self._held_since = found.event.at
            # Too little traffic often mends itself; people hear of it when this process waits no longer.
            if after.held is not Hold.TRAFFIC:
                self._tell(f"is held: {after.held.value}", bad=after.held is Hold.PERSON)
        elif after.phase is Phase.ROLLING_BACK and before.phase is not Phase.ROLLING_BACK:
            self._tell("is being rolled back", bad=True)
        elif after.phase.is_terminal:
            said = after.phase.value.replace("_", " ").lower()
            self._tell(said, bad=after.phase is not Phase.COMPLETED)

    def _commit(self, event: Event, actor: str | None = None) -> None:
        self._keep(Found(event=event), actor=actor)

    def _tell(self, what: str, *, bad: bool) -> None:
        release = self._journal.release
        self._hands.ports.herald.tell(f"Release {release.id} {what}", release.reason, bad=bad)

    # Holds.

    def _may_begin(self) -> bool:
        """Whether the next look may be taken. Where a freeze or a missing approval forbids it, it is held."""
        release, now = self._journal.release, self._journal.now
        stage_now = (release.phase, release.step, release.watched, release.since)
        if self._begun != stage_now and _begins_a_stage(release) and Hold.FREEZE not in release.passed:
            try:
                why = self._hands.ports.gates.frozen(now)
            except Unavailable as error:
                self._no_answer(error)
                return False
            if why is not None:
                self._commit(Held(at=now, reason=f"{why}: the next stage waits", hold=Hold.FREEZE))
                return False
        if needs_approval(release):
            reason = "an approval is wanted before it takes traffic"
            self._commit(Held(at=now, reason=reason, hold=Hold.APPROVAL))
            return False
        self._begun = stage_now
        return True

    def _left_to_a_person(self) -> bool:
        """One look at a held release; True where there is nothing that this process could wait for."""
        release = self._journal.release
        if release.held is Hold.PERSON:
            return True
        approver = self._journal.approved()
        if approver is not None:
            event = Released(at=self._journal.now, reason=f"approved by {approver}", by=approver)
            self._commit(event, actor=approver)
            return False
        if release.held is Hold.FREEZE and self._thawed():
            self._commit(Released(at=self._journal.now, reason="the freeze is over"))
            return False
        if release.held is Hold.APPROVAL or not release.carries_traffic:
            return True
        self._held_since = self._held_since or self._journal.now
        # One that was taken up again has its stage's time before it once more: nobody can tell earlier.
        waits_from = max(self._held_since, release.since + timedelta(seconds=release.stage_seconds))
        if (self._journal.now - waits_from).total_seconds() > self._hands.policy.hold_seconds:
            return True
        self._watch_while_held(release)
        return False

    def _thawed(self) -> bool:
        try:
            return self._hands.ports.gates.frozen(self._journal.now) is None
        except Unavailable:
            return False

    def _watch_while_held(self, release: Release) -> None:
        """A held release with traffic on the new colour is watched on, as long as this process lives."""
        try:
            found = watch(self._hands)
        except Unavailable as error:
            self._no_answer(error)
            return
        except MovedByOthers as error:
            self._commit(Held(at=self._journal.now, reason=str(error), hold=Hold.PERSON))
            return
        self._answered()
        if found is not None and isinstance(found.event, Failed):
            self._keep(found)
        elif release.held is Hold.TRAFFIC and found and isinstance(found.event, Watched | Proceed):
            self._commit(Released(at=self._journal.now, reason="the judges can tell now"))
        else:
            self._journal.pause(self._hands.policy.poll_seconds)

    def _waiting(self) -> Ended:
        release = self._journal.release
        ways = {
            Hold.APPROVAL: "`approve` or `abort`",
            Hold.TRAFFIC: "`approve` to go on without, `resume` to watch on, or `abort`",
            Hold.FREEZE: "`resume` after it, `approve` to go on now, or `abort`",
            Hold.PERSON: "when you know more: `resume` or `abort`",
        }
        way = ways[release.held] if release.held else ""
        if release.held is Hold.TRAFFIC:
            self._tell("is held: traffic", bad=False)
        reason = f"{release.reason} ({way})"
        return Ended(code=ExitCode.NEEDS_PERSON, release=release, reason=reason)

    def _interrupted(self) -> Ended:
        now = self._journal.now
        try:
            self._journal.commit(Found(event=Interrupted(at=now, reason="interrupted between two actions")))
        except LostLock as error:
            return Ended(code=ExitCode.FAILED, release=self._journal.release, reason=str(error))
        except ReleaseError as error:
            # Not on record; the state that was kept last is just as good to go on from.
            self._hands.say(str(error))
        release = self._journal.release
        shares = f"{release.target} percent of the traffic on the new colour"
        reason = f"interrupted in {release.phase} with {shares}: `resume` goes on, `abort` goes back"
        return Ended(code=ExitCode.INTERRUPTED, release=release, reason=reason)


def needs_approval(release: Release) -> bool:
    """Whether the release is about to take traffic, and nobody said yet that it may."""
    at_the_door = release.phase is Phase.SHIFTING and release.step == 0 and release.confirmed
    return at_the_door and release.approval and Hold.APPROVAL not in release.passed


def _begins_a_stage(release: Release) -> bool:
    """Whether the next look may begin something, rather than go on with it."""
    if release.phase is Phase.SHIFTING:
        between = release.step == 0 or (release.watched and release.step < len(release.steps))
        return release.confirmed and between
    if release.phase is Phase.CONTRACTING:
        return not release.contracted
    return release.phase in FREEZABLE

"""`switchyard up`: applies a stack for CI. Patient with locks, truthful at its end, and on record."""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pulumi.automation import EngineEvent

from release.errors import ReleaseError
from release.store import Store
from review import apply
from review.errors import ApplyFailed, NotPlanned, ReviewError, StackBusy
from review.plans import FolderPlans
from review.preview import Request
from review.report import Report
from switchyard.backend import BackendElsewhere
from switchyard.errors import SwitchyardError
from switchyard.locks import locked_by, locks, span
from switchyard.pending import undecided
from switchyard.recovery import RecoveryFailed, exported
from switchyard.unlock import clear
from switchyard.up_record import Entry, Outcome, UpdateRecord, has_no_table
from switchyard.up_signals import GuardedCommand, Stopped

Say = Callable[[str], None]

# Between two looks at a lock. The engine's own runs take seconds at the least.
POLL_SECONDS = 5.0
LONGEST_REASON = 2000
FAILED, REFUSED = 1, 3


class LockedOut(SwitchyardError):
    """Somebody else had the stack until the wait was over. Nothing was done."""


@dataclass(frozen=True, kw_only=True)
class Author:
    """Who applies, for the record. commit: of the program; job: URL of the CI job."""

    actor: str
    commit: str | None = None
    job: str | None = None


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How it ended.

    status: of the process: 0, 1 failed, 3 nothing was begun, 128 and the number of the signal that came.
    counts: resources by operation that were done.
    reason: why not, empty where all is well.
    unrecorded: why it is not on record though it should be.
    """

    status: int
    outcome: Outcome
    report: Report | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""
    duration_seconds: float = 0.0
    unrecorded: str = ""

    @property
    def done(self) -> str:
        """What was done, in a line."""
        return ", ".join(f"{count} {operation}" for operation, count in self.counts.items())


@dataclass(kw_only=True)
class Up:
    """One run of `switchyard up` on a stack.

    say: gets its progress. tell: gets what has to stay on the screen.
    record: where it goes on record. releases: the stack's releases, to tell of one in progress.
    lock_wait: how long others are waited for. poll_seconds: between two looks at a lock.
    digest, plans: the plan that was reviewed, and where plans are kept.
    """

    request: Request
    author: Author
    say: Say
    tell: Say
    record: UpdateRecord
    releases: Store
    lock_wait: timedelta = timedelta()
    poll_seconds: float = POLL_SECONDS
    digest: str | None = None
    plans: FolderPlans | None = None
    observe: Callable[[EngineEvent], None] | None = None

    def __post_init__(self) -> None:
        self._run = uuid.uuid4().hex
        self._began = time.monotonic()
        self._report: Report | None = None
        # Whether the engine was told to apply, and whether that is on record.
        self._begun = self._begin_kept = False

    def run(self) -> Ended:
        """Applies the stack, unless something speaks against it; never raises for what is foreseen."""
        guarded = GuardedCommand(self.request.engine.pulumi_command, self.say)
        self.request.engine.pulumi_command = guarded
        with guarded.listening():
            try:
                ended = self._ended(guarded)
            except Exception as error:
                guarded.finishing = True
                self._keep_end(self._failed(str(error), Outcome.FAILED, {}))
                raise
            guarded.finishing = True
            return self._keep_end(ended)

    def _ended(self, guarded: GuardedCommand) -> Ended:
        try:
            applied = self._when_free()
            outcome = Outcome.SUCCEEDED if self._begun else Outcome.UNCHANGED
            self._report = applied.report
            return self._end(guarded.status or 0, outcome, applied.counts)
        except Stopped:
            return self._end(guarded.status or FAILED, Outcome.INTERRUPTED, {}, "interrupted")
        except LockedOut as error:
            return self._end(guarded.status or REFUSED, Outcome.LOCKED, {}, str(error))
        except (ReviewError, SwitchyardError) as error:
            counts = error.done if isinstance(error, ApplyFailed | NotPlanned) else {}
            if guarded.received is not None:
                return self._end(guarded.status or FAILED, Outcome.INTERRUPTED, counts, str(error))
            return self._failed(str(error), Outcome.FAILED if self._begun else Outcome.REFUSED, counts)

    def _failed(self, reason: str, outcome: Outcome, counts: Mapping[str, int]) -> Ended:
        return self._end(FAILED if self._begun else REFUSED, outcome, counts, reason)

    def _end(self, status: int, outcome: Outcome, counts: Mapping[str, int], reason: str = "") -> Ended:
        return Ended(
            status=status,
            outcome=outcome,
            report=self._report,
            counts=counts,
            reason=reason,
            duration_seconds=round(time.monotonic() - self._began, 1),
        )

    # The lock.

    def _when_free(self) -> apply.Applied:
        """Applies it once nobody else holds the stack. Raises LockedOut, ReviewError, SwitchyardError."""
        deadline = time.monotonic() + self.lock_wait.total_seconds()
        while True:
            self._wait(deadline)
            self._refuse_undecided()
            self._tell_release()
            self._began = time.monotonic()
            try:
                return apply.up(
                    self.request,
                    self.say,
                    digest=self.digest,
                    plans=self.plans,
                    observe=self.observe,
                    begin=self._begin,
                )
            except StackBusy as error:
                # Somebody took it between the look and the engine's own: the engine has done nothing.
                self._begun = False
                if time.monotonic() >= deadline:
                    raise LockedOut(f"{error}\nNothing was done.") from None
                self.tell(f"Somebody was faster: {error}")
                time.sleep(self.poll_seconds)

    def _wait(self, deadline: float) -> None:
        """Until the stack has no lock; dead ones are cleared. Raises LockedOut."""
        stack, said = self.request.stack, ""
        while True:
            try:
                found = locks(stack, self.request.engine)
            except BackendElsewhere:
                return
            clear(stack, [lock for lock in found if lock.dead], self.tell)
            living = [lock for lock in found if not lock.dead]
            if not living:
                return
            left = deadline - time.monotonic()
            if left <= 0:
                raise LockedOut(f"{locked_by(stack, living)} Nothing was done.")
            first = living[0]
            line = f"waiting for the lock of {first.owner} on host {first.host}, {span(first.age)}"
            if line != said:
                self.say(said := line)
            time.sleep(min(self.poll_seconds, left))

    # What speaks against it, or is to be known.

    def _refuse_undecided(self) -> None:
        stack = self.request.stack
        try:
            deployment: dict[str, Any] = exported(stack, self.request.engine).get("deployment") or {}
        except RecoveryFailed:
            # It is not there yet; or it can't be read, which applying it tells better.
            return
        if undecided(deployment):
            raise SwitchyardError(
                f"an interrupted run of stack {stack} has left resources that AWS may have and the state "
                "does not know; applying would make them twice, and nothing was done. `switchyard recover "
                f"--stack {stack}` finds them by itself, `switchyard unlock --stack {stack}` asks for each"
            )

    def _tell_release(self) -> None:
        try:
            release = self.releases.current()
        except ReleaseError:
            # Before the first `up` there is no table.
            return
        if release is not None:
            self.tell(
                f"Release {release.id} is in progress ({release.phase.value}, by {release.actor}): its "
                "weights, counts and images are its own and stay as they are"
            )

    # The record.

    def _begin(self, report: Report) -> None:
        self._report, self._begun = report, True
        if self._begin_kept:
            return
        try:
            self.record.append(self._entry())
            self._begin_kept = True
        except ReleaseError as error:
            # Where the table is missing this is what brings it.
            if not has_no_table(error):
                self.tell(f"The begin of this update is not on record: {error}")

    def _entry(self) -> Entry:
        plan = self._report.plan if self._report else None
        return Entry(
            run=self._run,
            at=datetime.now(UTC),
            actor=self.author.actor,
            commit=self.author.commit,
            job=self.author.job,
            plan=plan.digest if plan else self.digest,
        )

    def _keep_end(self, ended: Ended) -> Ended:
        """Puts the end on record where there was anything to be recorded; a failure to is told, no more."""
        if not (self._begun or self._begin_kept or ended.outcome is Outcome.UNCHANGED):
            return ended
        entry = replace(
            self._entry(),
            outcome=ended.outcome,
            counts=dict(ended.counts),
            duration_seconds=ended.duration_seconds,
            reason=ended.reason[:LONGEST_REASON],
        )
        try:
            self.record.append(entry)
        except ReleaseError as error:
            why = "the stack's table is not there yet" if has_no_table(error) else str(error)
            self.tell(f"This update is not on record: {why}")
            return replace(ended, unrecorded=why)
        return ended

"""Where a release changes: each change is kept, with its line of the record, before it is acted on.

Holds the lock's lease alive meanwhile, also while a stage waits for something that takes minutes.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from components.colours import COLOURS
from release.errors import LostLock, ReleaseError, Unavailable
from release.model import Phase, Release
from release.ports import Clock, Verdict, Weights
from release.record import GENESIS, Entry
from release.store import Order, Store
from release.transitions import Event, advance

Observe = Callable[[Mapping[str, Any]], None]
# How often the lease is renewed while it lasts.
RENEWALS = 4
# Between two tries to keep something, in seconds.
RETRY_SECONDS = 2.0


class StoreSilent(ReleaseError):
    """The release can't be kept; nothing may be done that is not kept first."""


class Interrupt(Exception):
    """Somebody asked this process to end."""


class AbortAsked(Exception):
    """Somebody asked, from elsewhere, for the release to be rolled back."""

    def __init__(self, order: Order) -> None:
        super().__init__(str(order))
        self.order = order


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a stage comes to: an event, and what was seen on the way."""

    event: Event
    verdicts: Sequence[tuple[str, Verdict]] = ()
    weights: Mapping[str, Weights] = field(default_factory=dict)


class Journal:
    """One release in the hands of this process."""

    def __init__(
        self,
        release: Release,
        *,
        store: Store,
        clock: Clock,
        observe: Observe,
        stopped: Callable[[], bool],
        patience_seconds: float,
    ) -> None:
        self.release = release
        self._store = store
        self._clock = clock
        self._observe = observe
        self._stopped = stopped
        self._patience = patience_seconds
        self._renewed = clock.now()

    @property
    def now(self) -> datetime:
        """The time."""
        return self._clock.now()

    def commit(self, found: Found, *, actor: str | None = None) -> None:
        """Keeps the release after the event, and the entry about it. Raises LostLock, StoreSilent."""
        self.keep(
            advance(self.release, found.event),
            event=type(found.event).__name__,
            at=found.event.at,
            actor=actor,
            weights={
                service: {colour: weights.get(colour, 0) for colour in COLOURS}
                for service, weights in found.weights.items()
            },
            verdicts=[_said(service, verdict) for service, verdict in found.verdicts],
        )

    def keep(
        self,
        release: Release,
        *,
        event: str,
        at: datetime,
        actor: str | None = None,
        weights: Mapping[str, Mapping[str, int]] | None = None,
        verdicts: Sequence[Mapping[str, str]] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Keeps the release with one entry."""
        entry = Entry(
            release=release.number,
            seq=self.release.entries + 1,
            at=at,
            actor=actor or self._store.owner.who,
            event=event,
            phase=release.phase.value,
            reason=release.reason,
            weights=weights or {},
            verdicts=tuple(verdicts),
            facts=facts or {},
        ).sealed(self.release.head or GENESIS)
        kept = replace(release, head=entry.hash, entries=entry.seq)
        self._patiently(lambda: self._store.save(kept, [entry]))
        before, self.release = self.release, kept
        self._tell(before, entry)

    def _patiently(self, save: Callable[[], None]) -> None:
        began = self.now
        while True:
            try:
                return save()
            except Unavailable as error:
                if (self.now - began).total_seconds() > self._patience:
                    raise StoreSilent(
                        f"the release can't be kept, so nothing more is done ({error}). Traffic stays as it "
                        "is; `resume` or `abort` when the table answers again"
                    ) from error
            self._clock.sleep(RETRY_SECONDS)

    def _tell(self, before: Release, entry: Entry) -> None:
        release = self.release
        about = {"at": entry.at, "number": release.number}
        if before.phase is not release.phase or before.step != release.step or entry.seq == 1:
            self.show("phase", phase=release.phase.value, step=release.step, steps=len(release.steps))
        for service, weights in entry.weights.items():
            new = release.change_of(service).new
            self._observe({**about, "kind": "weights", "service": service, "new": new, "weights": weights})
        if release.held and release.held is not before.held:
            self.show("held", hold=release.held.value)

    def show(self, kind: str, **values: Any) -> None:
        """Tells whoever watches."""
        release = self.release
        told = {"at": self.now, "kind": kind, "number": release.number, "reason": release.reason, **values}
        self._observe(told)

    def show_verdict(self, service: str, verdict: Verdict) -> None:
        """Tells whoever watches what a judge said."""
        said = {"source": verdict.source, "outcome": verdict.outcome.value, "reason": verdict.reason}
        self.show("verdict", service=service, **said)

    def guard(self) -> None:
        """Before anything is written to the world: this process must still be the owner. Raises LostLock."""
        if (self.now - self._renewed).total_seconds() >= self._store.lease_seconds / RENEWALS:
            self.renew()

    def renew(self) -> None:
        """Puts off the end of the lease. Raises LostLock, Unavailable."""
        asked = self.now
        self._store.renew()
        self._renewed = asked

    def checkpoint(self) -> None:
        """Between two actions: whether to end here. Raises Interrupt, AbortAsked, LostLock."""
        if self._stopped():
            raise Interrupt
        release = self.release
        try:
            self.guard()
            if release.phase is Phase.ROLLING_BACK or release.contracted:
                return  # an abort would change nothing
            order = self._store.ordered("abort", release, at_this_entry=False)
        except Unavailable:
            return  # the lease's end protects from acting twice; an order is found at the next look
        if order is not None:
            raise AbortAsked(order)

    def approved(self) -> str | None:
        """Who approved of this hold from elsewhere."""
        try:
            order = self._store.ordered("approve", self.release, at_this_entry=True)
        except Unavailable:
            return None
        return order.by if order else None

    def pause(self, seconds: float) -> None:
        """Waits, between two checkpoints."""
        self.checkpoint()
        self._clock.sleep(seconds)
        self.checkpoint()


class Heartbeat:
    """Renews the lease in a thread of its own while a stage waits for something long."""

    def __init__(self, journal: Journal, every_seconds: float) -> None:
        self._journal = journal
        self._every = every_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="release-lease", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(self._every):
            try:
                self._journal.renew()
            except Unavailable:
                continue  # there are more tries before the lease ends
            except LostLock:
                return  # the next write of the release says so


def _said(service: str, verdict: Verdict) -> dict[str, str]:
    return {
        "source": f"{service} {verdict.source}" if service else verdict.source,
        "outcome": verdict.outcome.value,
        "reason": verdict.reason,
    }

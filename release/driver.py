"""What the command line calls: start, plan, resume, abort, rollback, approve, history, show."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from components.colours import COLOURS
from release import plan as planning
from release.errors import NeedsPerson, Refused, ReleaseError, Unavailable
from release.going_back import going_back
from release.hands import Hands, Ports
from release.journal import Found, Journal, Observe
from release.judges import Judges
from release.model import Hold, Release, ServiceChange, Strategy
from release.plan import Plan, Policy, Request
from release.ports import FREEZE_GATE, GateResult, Say
from release.record import Entry, verify
from release.run import AT_THE_END, Ended, ExitCode, Run
from release.store import Locked, Order, Store
from release.transitions import Failed, Left, Released, TakenUp
from release.watch import alarm_name


def nobody(anything: object) -> None:
    """Watches nothing."""
    del anything


def _harmless(observe: Observe, say: Say) -> Observe:
    """The same, but an error in what is shown does not fail what is done."""

    def shown(event: Mapping[str, Any]) -> None:
        try:
            observe(event)
        except Exception as error:  # noqa: BLE001 - whatever it is, the release goes on
            say(f"can't show this: {error!r}")

    return shown


class Driver:
    """Releases on one stack. One instance is for one command of one process.

    say: one line of text after the other. observe: the same as data: `at`, `kind` (phase, weights, verdict,
        alarm, counts, held, ended), `number`, `reason`, and what belongs to the kind.
    heartbeat_seconds: how often a thread renews the lease; None where the clock is not the real one.
    stop: ends the command between two actions once it is set, as `interrupt` does.
    """

    def __init__(
        self,
        *,
        ports: Ports,
        policy: Policy,
        store: Store,
        say: Say,
        observe: Observe = nobody,
        heartbeat_seconds: float | None = 15,
        stop: threading.Event | None = None,
    ) -> None:
        self._ports = ports
        self._policy = policy
        self._store = store
        self._say = say
        self._observe = _harmless(observe, say)
        self._heartbeat = heartbeat_seconds
        self._stop = stop or threading.Event()

    def interrupt(self) -> None:
        """Ends the command between two actions. The release stays as it is kept."""
        self._stop.set()

    # What a release would do.

    def plan(self, request: Request) -> Plan:
        """What `start` would do, gates included; changes nothing. Raises ReleaseError."""
        self._none_in_progress()
        planning.check(request, self._policy)
        changes = [self._change(service, image) for service, image in sorted(request.images.items())]
        hotfix = request.kind == "hotfix"
        warm = all(change.warm for change in changes)
        gates: Sequence[GateResult] = self._ports.gates.evaluate(
            request.images,
            change=request.change,
            hotfix=hotfix,
            applied={} if warm else {change.service: change.new for change in changes},
        )
        return planning.make(request, self._policy, changes, gates)

    def _change(self, service: str, image: str) -> ServiceChange:
        return planning.change(
            service,
            image,
            self._ports.balancer.read(service).production,
            self._ports.images.read(service),
            {colour: self._ports.fleet.state(service, colour) for colour in COLOURS},
            self._ports.fleet.minimum(service),
        )

    # Commands that move a release. None of them raises: `Ended` tells how each one ended, and why.

    def start(self, request: Request, shown: Callable[[Plan], None] = nobody) -> Ended:
        """Releases. REFUSED where a gate, a lock or the request itself is in the way: nothing was begun.

        shown: called with the plan, before it is acted on.
        """
        return self._command(lambda: self._start(request, shown))

    def _start(self, request: Request, shown: Callable[[Plan], None] = nobody) -> Ended:
        self._none_in_progress()
        self._store.acquire()
        self._none_in_progress()
        journal = self._begin(request, shown)
        if journal is None:
            return Ended(code=ExitCode.INTERRUPTED, release=None, reason="interrupted: nothing was begun")
        return self._run(journal)

    def _command(self, act: Callable[[], Ended]) -> Ended:
        """What the act comes to; the lock is free afterwards, if it was this process's."""
        try:
            return act()
        except ReleaseError as error:
            return _ended(error)
        finally:
            self._give_back()

    def _none_in_progress(self) -> None:
        release = self._store.current()
        if release is not None:
            raise Refused(
                f"release {release.id} is in progress ({release.phase}, by {release.actor}): `resume` or "
                "`abort` it first"
            )

    def _begin(self, request: Request, shown: Callable[[Plan], None]) -> Journal | None:
        """The release, kept for the first time; None if this process was told to end meanwhile."""
        plan = self.plan(request)
        shown(plan)
        if plan.refusals:
            raise Refused("; ".join(plan.refusals))
        if self._stop.is_set():
            return None
        history = self._store.history()
        release = self._planned(request, plan, history[0].number + 1 if history else 1)
        release = replace(release, head=history[0].head if history else "")
        journal = self._journal(release)
        journal.keep(
            release,
            event="Started",
            at=release.created_at,
            actor=request.actor,
            verdicts=[_gate(gate, plan.used_overrides) for gate in plan.gates],
            facts=_facts(plan, release),
        )
        for note in plan.notes:
            self._say(note)
        self._ports.herald.tell(f"Release {release.id} begins", _images(release), bad=False)
        return journal

    def _planned(self, request: Request, plan: Plan, number: int) -> Release:
        now = self._ports.clock.now()
        known: list[str] = []
        if plan.used_overrides:
            # A fix may ship while an alarm fires; the same alarm then is no sign against it.
            for change in plan.changes:
                for colour in COLOURS:
                    known.extend(map(alarm_name, self._ports.alarms.firing(change.service, colour)))
        return Release(
            number=number,
            stack=self._policy.stack,
            kind=request.kind,
            changes=plan.changes,
            strategy=plan.strategy,
            steps=plan.steps,
            bake_seconds=plan.bake_seconds,
            healthy_timeout_seconds=self._policy.healthy_timeout_seconds,
            approval=plan.approval,
            actor=request.actor,
            created_at=now,
            updated_at=now,
            since=now,
            reason=f"planned by {Order(by=request.actor, reason=request.reason)}",
            passed=frozenset({Hold.FREEZE} if FREEZE_GATE in plan.used_overrides else ()),
            analysed=plan.analysed,
            known_alarms=tuple(dict.fromkeys(known)),
            overrides=plan.used_overrides,
            commit=request.commit,
            change=request.change,
            digest=plan.digest,
            returns_to=request.returns_to,
            undoes=request.undoes,
            token=self._store.token,
        )

    def resume(self, actor: str | None = None) -> Ended:
        """Goes on with the release in progress, from wherever its last process left it."""
        return self._command(lambda: self._resume(actor))

    def _resume(self, actor: str | None) -> Ended:
        journal = self._take_up(actor)
        if journal.release.held is Hold.PERSON:
            by = actor or self._store.owner.who
            event = Released(at=journal.now, reason=f"{by} has looked at it: it goes on", by=by)
            journal.commit(Found(event=event), actor=by)
        return self._run(journal)

    def abort(self, actor: str, *, reason: str = "", leave: bool = False) -> Ended:
        """Rolls the release in progress back. If a process that lives owns it, that one is told to.

        leave: closes it as it stands instead: no weight, no count, nothing is touched.
        """
        said = f" by {actor}" + (f": {reason}" if reason else "")
        if leave:
            return self._command(lambda: self._leave(actor, f"left as it stands{said}"))
        return self._command(lambda: self._abort(actor, reason))

    def _leave(self, actor: str, said: str) -> Ended:
        journal = self._take_up(actor)
        journal.commit(Found(event=Left(at=journal.now, reason=said)), actor=actor)
        return self._run(journal)

    def _abort(self, actor: str, reason: str) -> Ended:
        release = self._in_progress()
        try:
            journal = self._take_up(actor)
        except Locked as locked:
            return self._ask_to_abort(release, actor, reason, str(locked))
        said = f"aborted by {Order(by=actor, reason=reason)}"
        journal.commit(Found(event=Failed(at=journal.now, reason=said)), actor=actor)
        return self._run(journal)

    def _ask_to_abort(self, release: Release, actor: str, reason: str, why: str) -> Ended:
        """Leaves the order, and follows the release to its end."""
        self._store.order("abort", release, actor, reason)
        self._say(f"{why}. It is told to roll back")
        clock, began = self._ports.clock, self._ports.clock.now()
        while (clock.now() - began).total_seconds() < self._policy.patience_seconds:
            if self._stop.is_set():
                return Ended(code=ExitCode.INTERRUPTED, release=release, reason="the order to abort stands")
            over = next((each for each in self._store.history() if each.number == release.number), None)
            if over is not None:
                return Ended(code=AT_THE_END[over.phase], release=over, reason=over.reason)
            lock = self._store.lock()
            if lock is None or not lock.lives(clock.now()):
                return self._abort(actor, reason)
            clock.sleep(self._policy.poll_seconds)
        reason = f"release {release.id} was told to roll back and has not ended yet: `watch` it"
        return Ended(code=ExitCode.NEEDS_PERSON, release=release, reason=reason)

    def approve(self, actor: str) -> Ended:
        """Ends a hold: tells the process that waits, or goes on with the release where none does."""
        return self._command(lambda: self._approve(actor))

    def _approve(self, actor: str) -> Ended:
        release = self._in_progress()
        if release.held in (None, Hold.PERSON):
            raise Refused(
                f"release {release.id} waits for no approval ({release.held or release.phase}): "
                f"{release.reason}"
            )
        try:
            journal = self._take_up(actor)
        except Locked:
            self._store.order("approve", release, actor)
            reason = f"approved; the process that owns release {release.id} goes on with it"
            return Ended(code=ExitCode.COMPLETED, release=release, reason=reason)
        if journal.release.held is release.held:
            event = Released(at=journal.now, reason=f"approved by {actor}", by=actor)
            journal.commit(Found(event=event), actor=actor)
        return self._run(journal)

    def rollback(
        self, actor: str, *, to: int | None = None, reason: str = "", strategy: Strategy | None = None
    ) -> Ended:
        """Goes back: from a release in progress by aborting it, else by a release of the images before.

        to: number of a completed release whose images are wanted; None for those before the last one.
        strategy: of such a release; None for the policy's.
        """
        return self._command(lambda: self._rollback(actor, to, reason, strategy))

    def _rollback(self, actor: str, to: int | None, reason: str, strategy: Strategy | None) -> Ended:
        if self._store.current() is None:
            request = going_back(self._store.history(), actor, to)
            return self._start(replace(request, reason=reason, strategy=strategy))
        if to is not None:
            raise Refused("a release is in progress: `abort` it; then go back further")
        return self._abort(actor, reason)

    # What is known.

    def history(self) -> list[Release]:
        """The release in progress, then those that are over, the newest first."""
        current = self._store.current()
        return [*([current] if current else []), *self._store.history()]

    def show(self, number: int) -> tuple[Release, list[Entry]]:
        """A release and its record, verified. Raises Refused where there is none, BrokenRecord."""
        releases = self.history()
        found = next((release for release in releases if release.number == number), None)
        if found is None:
            raise Refused(f"no release {number}: `history` lists those that there are")
        before = next((release.head for release in releases if release.number == number - 1), None)
        entries = self._store.entries(number)
        verify(entries, release=found, previous=before)
        return found, entries

    # The inside.

    def _in_progress(self) -> Release:
        release = self._store.current()
        if release is None:
            raise Refused("no release is in progress")
        return release

    def _take_up(self, actor: str | None) -> Journal:
        self._in_progress()
        token = self._store.acquire()
        journal = self._journal(self._in_progress())
        if token > journal.release.token:
            said = f"taken up by {actor or self._store.owner.who}"
            # The reason of a hold must not be lost.
            event = TakenUp(at=journal.now, reason="" if journal.release.held else said, token=token)
            journal.commit(Found(event=event), actor=actor)
        return journal

    def _journal(self, release: Release) -> Journal:
        return Journal(
            release,
            store=self._store,
            clock=self._ports.clock,
            observe=self._observe,
            stopped=self._stop.is_set,
            patience_seconds=self._policy.patience_seconds,
        )

    def _run(self, journal: Journal) -> Ended:
        hands = Hands(
            ports=self._ports,
            policy=self._policy,
            journal=journal,
            judges=Judges(self._ports.analyst, journal.show_verdict),
            say=self._say,
        )
        return Run(hands, heartbeat_seconds=self._heartbeat).to_the_end()

    def _give_back(self) -> None:
        try:
            self._store.give_back()
        except Unavailable:
            self._say("the lock could not be given back: its lease ends by itself")


def _ended(error: ReleaseError) -> Ended:
    """A command that came to nothing: refused, a case for a person, or something did not work."""
    code = ExitCode.FAILED
    if isinstance(error, Refused):
        code = ExitCode.REFUSED
    elif isinstance(error, NeedsPerson):
        code = ExitCode.NEEDS_PERSON
    return Ended(code=code, release=None, reason=str(error))


def _gate(gate: GateResult, overrides: Mapping[str, str]) -> dict[str, str]:
    outcome = "pass" if gate.passed else "overridden" if gate.name in overrides else "fail"
    return {"source": f"gate:{gate.name}", "outcome": outcome, "reason": gate.reason}


def _facts(plan: Plan, release: Release) -> dict[str, Any]:
    facts = plan.as_dict()
    del facts["gates"], facts["refusals"]
    named = {"commit": release.commit, "change": release.change}
    return {**facts, **named, "returns_to": release.returns_to, "undoes": release.undoes}


def _images(release: Release) -> str:
    return "\n".join(f"{change.service}: {change.image}" for change in release.changes)

"""The stages of a release. Each is one look: what it comes to, or None if there is more to wait for.

All of them may be done again from the start at any time: after a kill nobody knows how far one came.
"""

from collections.abc import Callable

from release.errors import NeedsPerson, ReleaseError, Unavailable
from release.hands import Hands
from release.journal import Found
from release.model import Contract, Phase, Release
from release.ports import Outcome, Verdict
from release.traffic import (
    NotStarting,
    as_left,
    everywhere,
    only,
    point_test_rule,
    roll_back,
    routings,
    settled,
    shift,
    short_of,
)
from release.transitions import ContractBegins, Contracted, Event, Failed, Intend, Migrated, Proceed
from release.watch import watch


def stage(hands: Hands) -> Found | None:
    """One look at whatever stage the release is in.

    Raises Unavailable for what did not answer, MovedByOthers and NeedsPerson for what a person must see.
    Any other ReleaseError of a stage is a failure of the release.
    """
    release = hands.release
    if release.phase is Phase.SHIFTING:
        return _shifting(hands, release)
    return _STAGES[release.phase](hands)


def _shifting(hands: Hands, release: Release) -> Found | None:
    if not release.confirmed:
        return shift(hands)
    if release.step == len(release.steps):
        return _all_shifted(hands)
    if release.step == 0 or release.watched:
        percent = release.steps[release.step].percent
        return _found(Intend(at=hands.journal.now, reason=f"to {percent} percent"))
    return watch(hands)


def _all_shifted(hands: Hands) -> Found:
    # From here the new colour is the live one: it may grow, and neither may shrink before the bake is over.
    hands.journal.guard()
    for change in hands.release.changes:
        hands.ports.fleet.suspend(change.service, change.new, "in")
    return _proceed(hands, "the new colour has all of the traffic")


def _begin(hands: Hands) -> Found:
    return _proceed(hands, "begun")


def _prepare(hands: Hands) -> Found:
    """Images to the idle colours, by the infrastructure program."""
    release, ports = hands.release, hands.ports
    if not all(change.warm for change in release.changes):
        _suspend(hands)
        for change in release.changes:
            if ports.images.read(change.service).get(change.new) != change.image:
                hands.journal.guard()
                ports.images.write(change.service, change.new, change.image)
        hands.journal.guard()
        try:
            ports.program.apply({change.service: change.new for change in release.changes}, hands.say)
        except (NeedsPerson, Unavailable):
            raise
        except ReleaseError as error:
            return _found(Failed(at=hands.journal.now, reason=f"the infrastructure program failed: {error}"))
    # After the program, since it may have made the scalable targets just now.
    _suspend(hands)
    return _proceed(hands, "the idle colours run the images of this release")


def _suspend(hands: Hands) -> None:
    hands.journal.guard()
    for change in hands.release.changes:
        hands.ports.fleet.suspend(change.service, change.old, "in")
        hands.ports.fleet.suspend(change.service, change.new, "all")


def _migrate(hands: Hands) -> Found:
    """What extends the schema; what takes away from it waits for the end of the bake."""
    release, migrator = hands.release, hands.ports.migrator
    change = next((change for change in release.changes if not change.migrated), None)
    if change is None:
        return _proceed(hands, "every schema is ready for the new versions")
    plan = migrator.plan(change.service, change.new)
    contract = plan.kind == "contract"
    if plan.kind == "none":
        schema, floor, done = plan.target or plan.current, None, f"{change.service} has nothing to migrate"
    else:
        hands.journal.guard()
        hands.say(f"migrating the schema of {change.service}")
        token = f"{release.id}-{change.service}-expand"
        made = migrator.run(change.service, change.new, token, expand_only=contract)
        # Of a contract, this is the floor that it will leave; until it begins there is none.
        schema, floor = plan.target, plan.floor if contract else made.floor
        done = f"schema of {change.service} expanded to {made.target or plan.target}"
        if contract:
            done += "; its contract migration waits for the end of the bake"
    return _found(
        Migrated(
            at=hands.journal.now,
            reason=done,
            service=change.service,
            schema=schema,
            revisions=tuple(plan.revisions),
            floor=floor,
            contract=contract,
        )
    )


def _scale(hands: Hands) -> Found | None:
    """As many healthy targets as the live colour needs now."""
    release = hands.release
    try:
        lacking = [short_of(hands, change) for change in release.changes]
    except NotStarting as error:
        return _found(Failed(at=hands.journal.now, reason=str(error)))
    missing = "; ".join(reason for reason in lacking if reason)
    if not missing:
        return _proceed(hands, "every target of the new colours is healthy")
    if (hands.journal.now - release.since).total_seconds() > release.healthy_timeout_seconds:
        reason = f"{missing}, after {release.healthy_timeout_seconds} s"
        return _found(Failed(at=hands.journal.now, reason=reason))
    return None


def _verify(hands: Hands) -> Found:
    """Smoke checks through the test listener."""
    release = hands.release
    point_test_rule(
        hands, {change.service: change.new for change in release.changes}, routings(hands, release.changes)
    )
    said: list[tuple[str, Verdict]] = []
    for change in release.changes:
        if hands.ports.fleet.state(change.service, change.new).healthy == 0:
            reason = f"{change.service} in {change.new} has no healthy target"
            return _found(Failed(at=hands.journal.now, reason=reason))
        verdicts = hands.ports.verifier.verify(change.service, hands.ports.test_url)
        said.extend((change.service, verdict) for verdict in verdicts)
    # Here only a pass passes.
    bad = [f"{service}: {verdict.reason}" for service, verdict in said if verdict.outcome is not Outcome.PASS]
    now = hands.journal.now
    if bad:
        reason = f"smoke checks failed: {'; '.join(bad)}"
        return Found(event=Failed(at=now, reason=reason), verdicts=said)
    reason = f"{len(said)} smoke checks passed" if said else "there are no smoke checks"
    return Found(event=Proceed(at=now, reason=reason), verdicts=said)


def _contract(hands: Hands) -> Found:
    """What the old version needed of the schema goes; from here there is no way back to it."""
    release, now = hands.release, hands.journal.now
    as_left(release, routings(hands, release.changes))
    for change in release.changes:
        if change.contract is Contract.PENDING:
            reason = f"contracting the schema of {change.service}: no way back from here"
            return _found(ContractBegins(at=now, reason=reason, service=change.service))
        if change.contract is Contract.BEGUN:
            hands.journal.guard()
            hands.say(f"contracting the schema of {change.service}")
            token = f"{release.id}-{change.service}-contract-{release.attempt}"
            made = hands.ports.migrator.run(change.service, change.new, token)
            reason = f"schema of {change.service} contracted; its floor is {made.floor or 'any revision'}"
            return _found(
                Contracted(at=hands.journal.now, reason=reason, service=change.service, floor=made.floor)
            )
    return _proceed(hands, "every contract migration is done")


def _retire(hands: Hands) -> Found | None:
    """The old colour goes: no longer warm, reached by the test listener, and the new one scales freely."""
    release, fleet = hands.release, hands.ports.fleet
    # A bake that is long enough has waited for that already.
    if release.bake_seconds < hands.policy.settle_seconds and not settled(hands):
        return None
    live = routings(hands, release.changes)
    as_left(release, live)
    hands.journal.guard()
    for change in release.changes:
        fleet.suspend(change.service, change.new, "none")
        fleet.suspend(change.service, change.old, "all")
    point_test_rule(hands, {change.service: change.old for change in release.changes}, live)
    everywhere(lambda change: fleet.scale(change.service, change.old, 0), release.changes)
    return Found(
        event=Proceed(at=hands.journal.now, reason="completed; the old colour is scaled down"),
        weights={change.service: only(change.new) for change in release.changes},
    )


def _proceed(hands: Hands, reason: str) -> Found:
    return _found(Proceed(at=hands.journal.now, reason=reason))


def _found(event: Event) -> Found:
    return Found(event=event)


_STAGES: dict[Phase, Callable[[Hands], Found | None]] = {
    Phase.PLANNED: _begin,
    Phase.PREPARING: _prepare,
    Phase.MIGRATING: _migrate,
    Phase.SCALING: _scale,
    Phase.VERIFYING: _verify,
    Phase.BAKING: watch,
    Phase.CONTRACTING: _contract,
    Phase.RETIRING: _retire,
    Phase.ROLLING_BACK: roll_back,
}

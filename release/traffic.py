"""Moving traffic: compare, write, verify; and the way back.

Nothing is written over weights that this release did not leave: then somebody else moved them, and which of
the two is right only a person can say.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from components.colours import COLOURS, Colour
from release.errors import MovedByOthers, NeedsPerson, Unavailable
from release.hands import Hands
from release.journal import Found
from release.model import Release, ServiceChange, expected, weights_at
from release.ports import Listener, Routing, Weights
from release.transitions import Failed, RolledBack, Shifted, TrafficBack

T = TypeVar("T")
# Between two looks for a write that should be visible at once, in seconds.
LOOK_SECONDS = 0.25


def everywhere(function: Callable[[ServiceChange], T], changes: Sequence[ServiceChange]) -> list[T]:
    """The function of each change, all at once: several services cost one round, not one each.

    Every call is made even if one fails; then the first error is raised.
    """
    if len(changes) <= 1:
        return [function(change) for change in changes]
    with ThreadPoolExecutor(max_workers=len(changes)) as pool:
        calls = [pool.submit(function, change) for change in changes]
    return [call.result() for call in calls]


def routings(hands: Hands, changes: Sequence[ServiceChange]) -> dict[str, Routing]:
    """The live weights of the services, read now."""
    found = everywhere(lambda change: hands.ports.balancer.read(change.service), changes)
    return {change.service: routing for change, routing in zip(changes, found, strict=True)}


def as_left(release: Release, live: Mapping[str, Routing]) -> None:
    """Raises MovedByOthers unless the production weights are ones that the release may have left."""
    for change in release.changes:
        if change.service not in live:
            continue
        weights = live[change.service].production
        allowed = expected(release, change)
        if weights not in allowed:
            recorded = " or ".join(shown(each) for each in allowed)
            raise MovedByOthers(
                f"the production weights of {change.service} are {shown(weights)}, and this release left "
                f"{recorded}: somebody else moved them. Nothing is written over that. Put them back and "
                "`resume` or `abort`, or close the release as it stands with `abort --leave`"
            )


def shown(weights: Weights) -> str:
    """`blue 90, green 10`."""
    return ", ".join(f"{colour} {weights.get(colour, 0)}" for colour in COLOURS)


def write_production(hands: Hands, wanted: Mapping[str, Weights], live: Mapping[str, Routing]) -> None:
    """Writes where it differs, in one round, and waits until it is seen. Raises Unavailable if it is not."""
    changes = [
        change
        for change in hands.release.changes
        if change.service in wanted and live[change.service].production != wanted[change.service]
    ]
    if changes:
        hands.journal.guard()
        everywhere(
            lambda change: hands.ports.balancer.write(change.service, "production", wanted[change.service]),
            changes,
        )
    _until_seen(hands, changes, "production", wanted)


def point_test_rule(hands: Hands, wanted: Mapping[str, Colour], live: Mapping[str, Routing]) -> None:
    """Points the test listener of the services at a colour, where it does not yet."""
    weights = {service: only(colour) for service, colour in wanted.items()}
    changes = [
        change
        for change in hands.release.changes
        if change.service in wanted and live[change.service].test != weights[change.service]
    ]
    if changes:
        hands.journal.guard()
        everywhere(
            lambda change: hands.ports.balancer.write(change.service, "test", weights[change.service]),
            changes,
        )
    _until_seen(hands, changes, "test", weights)


def only(colour: Colour) -> Weights:
    """All of the traffic to one colour."""
    return {each: 100 if each == colour else 0 for each in COLOURS}


def _until_seen(
    hands: Hands, changes: Sequence[ServiceChange], listener: Listener, wanted: Mapping[str, Weights]
) -> None:
    began = hands.journal.now
    missing = list(changes)
    while missing:
        live = routings(hands, missing)
        missing = [
            change for change in missing if getattr(live[change.service], listener) != wanted[change.service]
        ]
        if not missing:
            return
        if (hands.journal.now - began).total_seconds() > hands.policy.visible_seconds:
            names = ", ".join(change.service for change in missing)
            raise Unavailable(
                f"the {listener} weights of {names} were written and are not seen after "
                f"{hands.policy.visible_seconds:g} s"
            )
        hands.ports.clock.sleep(LOOK_SECONDS)


def wanted_count(hands: Hands, change: ServiceChange) -> int:
    """Tasks that the new colour needs: no fewer than its minimum, nor than the live one has now."""
    live = hands.ports.fleet.state(change.service, change.old).desired
    return max(hands.ports.fleet.minimum(change.service), live)


def short_of(hands: Hands, change: ServiceChange) -> str | None:
    """What the new colour lacks before it may have traffic, or None. Scales it up where it is too small.

    Raises NotStarting if ECS has given up.
    """
    wanted = wanted_count(hands, change)
    return brought_to(hands, change.service, change.new, wanted)


def brought_to(hands: Hands, service: str, colour: Colour, wanted: int) -> str | None:
    """Scales a colour up to `wanted` and says what it still lacks, or None."""
    state = hands.ports.fleet.state(service, colour)
    about = {"service": service, "colour": colour, "wanted": wanted}
    hands.journal.show("counts", **about, healthy=state.healthy, running=state.running, desired=state.desired)
    if state.rollout_failed is not None:
        raise NotStarting(f"{service} does not start in {colour}: {state.rollout_failed}")
    if state.desired < wanted:
        hands.journal.guard()
        hands.ports.fleet.scale(service, colour, wanted)
        return f"{service} in {colour} has {state.healthy} of {wanted} healthy targets"
    if state.healthy < max(wanted, 1):
        bad = f", {state.unhealthy} unhealthy" if state.unhealthy else ""
        return f"{service} in {colour} has {state.healthy} of {wanted} healthy targets{bad}"
    return None


class NotStarting(NeedsPerson):
    """A colour's tasks do not start. On the way forward that is a failure, on the way back a person's."""


def shift(hands: Hands) -> Found | None:
    """Brings the weights to what the release intends; None while the new colour is not ready for them."""
    release, now = hands.release, hands.journal.now
    try:
        lacking = [short_of(hands, change) for change in release.changes]
    except NotStarting as error:
        return Found(event=Failed(at=now, reason=str(error)))
    missing = "; ".join(reason for reason in lacking if reason)
    if missing:
        if (now - release.since).total_seconds() > release.healthy_timeout_seconds:
            reason = f"{missing}, after {release.healthy_timeout_seconds} s: no more traffic for it"
            return Found(event=Failed(at=now, reason=reason))
        return None
    live = routings(hands, release.changes)
    as_left(release, live)
    wanted = {change.service: weights_at(change, release.target) for change in release.changes}
    write_production(hands, wanted, live)
    return Found(
        event=Shifted(at=hands.journal.now, reason=f"{release.target} percent to the new colour"),
        weights=wanted,
    )


def roll_back(hands: Hands) -> Found | None:
    """The next part of the way back: traffic first, then everything else."""
    return _rest(hands) if hands.release.confirmed else _traffic(hands)


def _traffic(hands: Hands) -> Found | None:
    release = hands.release
    live = routings(hands, release.changes)
    as_left(release, live)
    back = {change.service: weights_at(change, 0) for change in release.changes if not change.first}
    waiting = _without_an_old_colour(hands, [c for c in release.changes if c.service in back], live)
    ready = {service: weights for service, weights in back.items() if service not in waiting}
    write_production(hands, ready, live)
    if waiting:
        if (hands.journal.now - release.since).total_seconds() > release.healthy_timeout_seconds:
            raise NeedsPerson(
                f"{'; '.join(waiting.values())}: traffic can't go back to it. Mend that and `resume`, or "
                "close the release as it stands with `abort --leave`"
            )
        return None
    seen: dict[str, Weights] = {**ready}
    event = TrafficBack(at=hands.journal.now, reason="the old colour has all of the traffic again")
    return Found(event=event, weights=seen)


def _without_an_old_colour(
    hands: Hands, changes: Iterable[ServiceChange], live: Mapping[str, Routing]
) -> dict[str, str]:
    """By service, why its old colour can't have the traffic yet. Scales it up where it was scaled down."""
    waiting = {}
    for change in changes:
        if live[change.service].production == weights_at(change, 0):
            continue
        state = hands.ports.fleet.state(change.service, change.old)
        # The old colour is warm until it is retired: then one target is better than a version that fails.
        if state.healthy >= 1 and not hands.release.retired:
            continue
        wanted = max(
            hands.ports.fleet.minimum(change.service),
            hands.ports.fleet.state(change.service, change.new).desired if hands.release.retired else 1,
        )
        lacking = brought_to(hands, change.service, change.old, wanted)
        if lacking:
            waiting[change.service] = lacking
    return waiting


def settled(hands: Hands) -> bool:
    """Whether every node of the load balancer has had its time to follow the newest weights.

    One that still sends to a colour whose tasks are all leaving answers 503.
    """
    return (hands.journal.now - hands.release.since).total_seconds() >= hands.policy.settle_seconds


def _rest(hands: Hands) -> Found | None:
    """Scale, autoscaling and the test rule, once the traffic is back."""
    release = hands.release
    if not settled(hands):
        return None
    live = routings(hands, release.changes)
    # A service without an old version keeps what it has: only the load balancer knows whether that is it.
    stuck = tuple(
        change.service
        for change in release.changes
        if change.first and live[change.service].production == only(change.new)
    )
    as_left(release, {service: routing for service, routing in live.items() if service not in stuck})
    fleet = hands.ports.fleet
    hands.journal.guard()
    for change in release.changes:
        if change.service in stuck:
            fleet.suspend(change.service, change.new, "none")
            continue
        fleet.scale(change.service, change.new, 0)
        fleet.suspend(change.service, change.new, "all")
        fleet.suspend(change.service, change.old, "none")
    idle = {
        change.service: change.old if change.service in stuck else change.new for change in release.changes
    }
    point_test_rule(hands, idle, live)
    reason = f"rolled back: {release.cause}"
    if stuck:
        reason = (
            f"{', '.join(stuck)} had no version to go back to and keeps the new one with all of its traffic; "
            f"the cause: {release.cause.rstrip('.')}. Release a version that is better"
        )
    return Found(
        event=RolledBack(at=hands.journal.now, reason=reason, stuck=stuck),
        weights={service: routing.production for service, routing in live.items()},
    )

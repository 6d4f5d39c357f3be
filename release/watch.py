"""One look at a new version that has traffic: its targets, its alarms, and what the judges say."""

from datetime import datetime

from release.errors import Unavailable
from release.hands import Hands
from release.journal import Found
from release.judges import Said
from release.model import Hold, Phase, Release, ServiceChange
from release.ports import Outcome
from release.traffic import as_left, routings
from release.transitions import Failed, Held, Proceed, Watched


def watch(hands: Hands) -> Found | None:
    """Failed, held, or done with the stage; None while its time is not over and nothing speaks against it.

    What can be asked is asked even where something else does not answer: a bad sign counts at once. Then
    Unavailable is raised: a look that saw only half is not a quiet one.
    """
    release, now = hands.release, hands.journal.now
    silent: list[Unavailable] = []
    for change in release.changes:
        try:
            bad = _bad_sign(hands, change)
        except Unavailable as error:
            silent.append(error)
            continue
        if bad is not None:
            return Found(event=Failed(at=now, reason=bad))
    said = hands.judges.word(release, now) if _to_be_judged(release) else ()
    if isinstance(said, Unavailable):
        silent.append(said)
        said = ()
    failing = [(service, verdict) for service, verdict in said or () if verdict.outcome is Outcome.FAIL]
    if failing:
        reason = "; ".join(f"{service}: {verdict.reason}" for service, verdict in failing)
        return Found(event=Failed(at=now, reason=reason), verdicts=said or ())
    if silent:
        raise silent[0]
    as_left(release, routings(hands, release.changes))
    return None if said is None else _end_of_stage(release, said, now)


def _bad_sign(hands: Hands, change: ServiceChange) -> str | None:
    """Why the new colour must not keep its traffic, or None."""
    firing = [
        alarm
        for alarm in hands.ports.alarms.firing(change.service, change.new)
        if alarm_name(alarm) not in hands.release.known_alarms
    ]
    if firing:
        hands.journal.show("alarm", service=change.service, alarms=firing)
        return f"alarm of {change.service} in {change.new}: {'; '.join(firing)}"
    state = hands.ports.fleet.state(change.service, change.new)
    about = {"service": change.service, "colour": change.new, "wanted": state.desired}
    hands.journal.show("counts", **about, healthy=state.healthy, running=state.running, desired=state.desired)
    if state.rollout_failed is not None:
        return f"{change.service} in {change.new}: {state.rollout_failed}"
    if state.healthy == 0:
        return f"{change.service} in {change.new} has no healthy target left"
    return None


def alarm_name(alarm: str) -> str:
    """The name out of `<name>: <reason>`."""
    return alarm.split(":", 1)[0].strip()


def _to_be_judged(release: Release) -> bool:
    # A stage without any time has no minutes that could be compared.
    return release.analysed and release.stage_seconds > 0 and not release.only_first


def _end_of_stage(release: Release, said: Said, now: datetime) -> Found | None:
    if (now - release.since).total_seconds() < release.stage_seconds:
        return None
    # In the bake the old colour has no traffic by design, so no comparison is ever sufficient: there the
    # alarms, own checks and whatever still says "fail" decide.
    unsure = [
        (service, verdict)
        for service, verdict in said
        if verdict.outcome is Outcome.INSUFFICIENT and not (verdict.comparative and release.target == 100)
    ]
    if unsure and Hold.TRAFFIC not in release.passed:
        reason = "; ".join(f"{service}: {verdict.reason}" for service, verdict in unsure)
        return Found(event=Held(at=now, reason=reason, hold=Hold.TRAFFIC), verdicts=said)
    reason = f"watched for {release.stage_seconds} s, nothing speaks against it"
    if release.phase is Phase.BAKING:
        return Found(event=Proceed(at=now, reason=reason), verdicts=said)
    return Found(event=Watched(at=now, reason=reason), verdicts=said)

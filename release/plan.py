"""What a release would do, before anything is done: steps, times, gates. Pure.

Steps: all-at-once is one; a canary takes one step and, after its watch, all the rest; linear takes equal
steps. A warm redeploy skips the steps, and so does a release of nothing but first versions.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from components.colours import COLOURS, Colour, other
from release.errors import Refused
from release.model import Contract, Kind, Phase, Release, ServiceChange, Step, Strategy
from release.ports import ColourState, GateResult, Weights

if TYPE_CHECKING:
    from infra.settings import Settings

DIGEST = re.compile(r"^\S+@sha256:[0-9a-f]{64}$")
# A hotfix bakes for a tenth of the usual time unless the settings say how long.
HOTFIX_SHARE = 10
ALARMS = ("alarms",)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How this stack releases, unless a request says otherwise; times in seconds.

    poll_seconds: between two looks at alarms, targets and judges.
    patience_seconds: how long something may not answer before that counts as a failure.
    visible_seconds: how long a write to the load balancer may take to be seen.
    settle_seconds: how long its nodes may take to follow one that is seen; until then a colour without weight
        keeps its tasks.
    hold_seconds: how long a process watches a held release whose new colour has traffic, before it leaves
        that to a person.
    watched_by: what decides beside the targets' health, in words.
    """

    stack: str
    services: tuple[str, ...]
    strategy: Strategy
    step_percent: int
    every_seconds: int
    bake_seconds: int
    hotfix_bake_seconds: int | None = None
    healthy_timeout_seconds: int = 900
    approval: bool = False
    poll_seconds: float = 10
    patience_seconds: float = 300
    visible_seconds: float = 30
    settle_seconds: float = 10
    hold_seconds: float = 3600
    watched_by: tuple[str, ...] = ALARMS


def policy(
    settings: "Settings", stack: str, *, poll_seconds: float = 10, settle_seconds: float = 10
) -> Policy:
    """The policy that a stack's settings give."""
    release = settings.release
    return Policy(
        stack=stack,
        services=tuple(settings.services),
        strategy=release.strategy,
        step_percent=release.step_percent,
        every_seconds=release.every_seconds,
        bake_seconds=release.bake_seconds,
        hotfix_bake_seconds=release.hotfix_bake_seconds,
        healthy_timeout_seconds=release.healthy_timeout_seconds,
        approval=release.approval,
        poll_seconds=poll_seconds,
        settle_seconds=settle_seconds,
        watched_by=(
            *ALARMS,
            *(["your own checks"] if any(service.checks for service in settings.services.values()) else []),
            *(["a comparison of both colours"] if release.analysis else []),
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Request:
    """What somebody asks for. What is None is as the policy says.

    images: `repository@sha256:…` by service.
    overrides: reason by gate; only an emergency release may have any.
    returns_to: number of the release whose images these are, for a roll-back after the fact.
    undoes: number of the release that it takes back.
    reason: why, in the words of whoever asks; for the record.
    """

    kind: Kind
    images: Mapping[str, str]
    actor: str
    strategy: Strategy | None = None
    step_percent: int | None = None
    every_seconds: int | None = None
    bake_seconds: int | None = None
    commit: str | None = None
    change: str | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    returns_to: int | None = None
    undoes: int | None = None
    reason: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of what is to run: the same images by service have the same one."""
        return hashlib.sha256(json.dumps(dict(self.images), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What would happen.

    minimum_seconds: watches and bake, without the time that images, tasks and migrations take.
    rollback_seconds: from a sign to the old colour's traffic, at most: one poll and one API round.
    notes: what a person should know before it begins.
    watched_by: what decides beside the targets' health, in words.
    """

    stack: str
    kind: Kind
    digest: str
    changes: tuple[ServiceChange, ...]
    strategy: Strategy
    steps: tuple[Step, ...]
    bake_seconds: int
    approval: bool
    analysed: bool
    gates: tuple[GateResult, ...]
    overrides: Mapping[str, str]
    minimum_seconds: int
    rollback_seconds: float | None
    notes: tuple[str, ...]
    watched_by: tuple[str, ...] = ALARMS

    @property
    def refusals(self) -> tuple[str, ...]:
        """Gates that are in the way, as sentences. A release of an empty list of gates is refused too."""
        if not self.gates:
            return ("no gate was evaluated at all: that counts as none passed",)
        return tuple(
            _refusal(gate, self.kind) for gate in self.gates if not (gate.passed or _overridden(gate, self))
        )

    @property
    def used_overrides(self) -> dict[str, str]:
        """Those that a failing gate needed."""
        return {
            gate.name: self.overrides[gate.name]
            for gate in self.gates
            if not gate.passed and _overridden(gate, self)
        }

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values, for `--json` and for whoever draws it."""
        plain = json.loads(json.dumps(asdict(self)))
        plain["refusals"] = list(self.refusals)
        plain["used_overrides"] = self.used_overrides
        return dict(plain)


def _overridden(gate: GateResult, plan: Plan) -> bool:
    return gate.overridable and gate.name in plan.overrides


def _refusal(gate: GateResult, kind: Kind) -> str:
    way = ""
    if gate.overridable:
        way = " (override it with a reason)" if kind == "emergency" else " (an emergency may override it)"
    return f"{gate.name}: {gate.reason}{way}"


def steps(strategy: Strategy, step_percent: int, every_seconds: int) -> tuple[Step, ...]:
    """The steps of a strategy, in order. The last has no wait of its own: the bake follows it.

    Raises Refused for a share outside 1 to 100.
    """
    if not 1 <= step_percent <= 100:
        raise Refused(f"a step of {step_percent} percent: give 1 to 100")
    whole = Step(percent=100, wait_seconds=0)
    if strategy == "all-at-once" or step_percent == 100:
        return (whole,)
    if strategy == "canary":
        return Step(percent=step_percent, wait_seconds=every_seconds), whole
    shares = range(step_percent, 100, step_percent)
    return *(Step(percent=share, wait_seconds=every_seconds) for share in shares), whole


def check(request: Request, policy: Policy) -> None:
    """Raises Refused for what can't be asked of this stack."""
    unknown = sorted(set(request.images) - set(policy.services))
    if unknown:
        raise Refused(f"no service {', '.join(unknown)}: this stack has {', '.join(policy.services)}")
    if not request.images:
        raise Refused("nothing to release: name at least one service and its image")
    missing = [service for service in policy.services if service not in request.images]
    if request.kind == "full" and missing:
        raise Refused(f"a full release without {', '.join(missing)}: name its image, or release partially")
    for service, image in sorted(request.images.items()):
        if not DIGEST.match(image):
            raise Refused(f"image of {service}: {image} is no digest, give repository@sha256:…")
    if request.overrides and request.kind != "emergency":
        raise Refused(
            f"override of {', '.join(sorted(request.overrides))}: only an emergency release overrides gates"
        )
    without = sorted(gate for gate, reason in request.overrides.items() if not reason.strip())
    if without:
        raise Refused(f"override of {', '.join(without)} without a reason: it goes on record, give one")
    if not request.actor.strip():
        raise Refused("nobody is named as the one who releases: the record needs a name")


def live_colour(service: str, production: Weights) -> Colour:
    """The colour that has all of the production traffic. Raises Refused if none has."""
    live = [colour for colour in COLOURS if production.get(colour, 0) > 0]
    if len(live) != 1:
        shown = " and ".join(f"{colour} {production.get(colour, 0)}" for colour in COLOURS)
        raise Refused(
            f"the production weights of {service} are {shown}: a release begins where one colour has "
            "everything. Put all on the good one by hand first"
        )
    return live[0]


def change(
    service: str,
    image: str,
    production: Weights,
    images: Mapping[Colour, str],
    states: Mapping[Colour, ColourState],
    minimum: int,
) -> ServiceChange:
    """What a release of the image does to a service that is as it was read. Raises Refused."""
    old = live_colour(service, production)
    new = other(old)
    first = old not in images
    wanted = max(minimum, states[old].desired)
    healthy = states[new].healthy >= wanted and states[new].rollout_failed is None
    return ServiceChange(
        service=service,
        image=image,
        new=new,
        old=old,
        previous_image=images.get(old),
        first=first,
        warm=not first and images.get(new) == image and healthy,
    )


def make(
    request: Request, policy: Policy, changes: Sequence[ServiceChange], gates: Sequence[GateResult]
) -> Plan:
    """The plan of a request on a stack that is as `changes` says. Raises Refused for a wrong request."""
    check(request, policy)
    strategy = request.strategy or policy.strategy
    percent = policy.step_percent if request.step_percent is None else request.step_percent
    every = policy.every_seconds if request.every_seconds is None else request.every_seconds
    asked = steps(strategy, percent, every)
    warm = all(change.warm for change in changes)
    only_first = all(change.first for change in changes)
    taken = steps("all-at-once", 100, 0) if warm or only_first else asked
    bake = _bake_seconds(request, policy)
    named = {gate.name for gate in gates}
    strange = sorted(set(request.overrides) - named)
    if strange:
        raise Refused(f"override of {', '.join(strange)}: the gates are {', '.join(sorted(named))}")
    return Plan(
        stack=policy.stack,
        kind=request.kind,
        digest=request.digest,
        changes=tuple(changes),
        strategy=strategy,
        steps=taken,
        bake_seconds=bake,
        # What is gone back to has been approved once.
        approval=policy.approval and request.returns_to is None,
        analysed=not (warm or only_first),
        gates=tuple(gates),
        overrides=_overrides(request, gates),
        minimum_seconds=sum(step.wait_seconds for step in taken) + bake,
        rollback_seconds=None if only_first else policy.poll_seconds,
        notes=tuple(_notes(changes, warm=warm, strategy=strategy)),
        watched_by=ALARMS if warm or only_first else policy.watched_by,
    )


def _overrides(request: Request, gates: Sequence[GateResult]) -> dict[str, str]:
    """Reason by gate. Whoever goes back passes what may be overridden: an alarm is why one does so."""
    if request.undoes is None:
        return dict(request.overrides)
    reason = f"release {request.undoes} is taken back"
    return {gate.name: reason for gate in gates if gate.overridable and not gate.passed}


def _bake_seconds(request: Request, policy: Policy) -> int:
    if request.bake_seconds is not None:
        return request.bake_seconds
    if request.kind in ("hotfix", "emergency"):
        if policy.hotfix_bake_seconds is not None:
            return policy.hotfix_bake_seconds
        return policy.bake_seconds // HOTFIX_SHARE
    return policy.bake_seconds


def _notes(changes: Sequence[ServiceChange], *, warm: bool, strategy: Strategy) -> list[str]:
    notes = [
        f"{change.service} has never been released: it takes all of its traffic at once, there is nothing to "
        "compare it with and nothing to go back to"
        for change in changes
        if change.first
    ]
    notes.extend(
        f"{change.service} runs this image already, in {change.old}"
        for change in changes
        if change.previous_image == change.image
    )
    if warm:
        notes.append(
            f"the images run in the idle colour already, healthy and at full scale: the steps of {strategy} "
            "and the analysis are skipped"
        )
    return notes


def below_floor(history: Sequence[Release], service: str, back_to: Release) -> str | None:
    """Why the version of `service` in an earlier release can't run on today's schema; None if it can.

    history: releases that are over, the newest first. Every floor that a later release has left has to be
    known to the earlier version; where the order of two revisions is not known, it can't be said to be.
    """
    versions = [release for release in reversed(history) if _changes(release, service)]
    known = back_to.change_of(service).schema
    order: list[str] = []
    for release in versions:
        change = release.change_of(service)
        names = [*change.revisions, *([change.schema] if change.schema else [])]
        order.extend(name for name in names if name not in order)
    for release in versions:
        change = release.change_of(service)
        if release.number <= back_to.number or not leaves_a_floor(release, change):
            continue
        if change.floor == known and known is not None:
            continue
        newer = known in order and change.floor in order and order.index(known) > order.index(change.floor)
        if not newer:
            done = "" if change.contract is Contract.NONE else " (contracted)"
            floor = change.floor or "nobody knows what"
            return (
                f"release {release.id} left the schema of {service} at a floor of {floor}{done}; the "
                f"version of release {back_to.id} knows {known or 'no revision on record'}"
            )
    return None


def leaves_a_floor(release: Release, change: ServiceChange) -> bool:
    """Whether what the release did to the schema is there and may be too much for an older version."""
    if change.contract in (Contract.BEGUN, Contract.DONE):
        return True
    # One that was rolled back has at most extended the schema.
    return release.phase is not Phase.ROLLED_BACK and change.contract is Contract.NONE and bool(change.floor)


def _changes(release: Release, service: str) -> bool:
    return any(change.service == service for change in release.changes)

"""What a release is. Pure: nothing here acts, waits or asks what time it is.

Phases, in order:

    PLANNED → PREPARING → MIGRATING → SCALING → VERIFYING → SHIFTING → BAKING → [CONTRACTING] → RETIRING
        → COMPLETED
    from each of them: ROLLING_BACK → ROLLED_BACK

CONTRACTING is there only for a release with a contract migration. Two things end a release in NEEDS_PERSON:
a roll-back that had nothing to go back to, and a person's word to leave everything as it stands. A release
that is held keeps its phase and says by `held` what it waits for.

Percentages are those of the new colour; the old one has the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from components.colours import COLOURS, Colour
from release.ports import Weights

Kind = Literal["full", "partial", "hotfix", "emergency"]
Strategy = Literal["all-at-once", "linear", "canary"]


class Phase(StrEnum):
    """Where a release is."""

    PLANNED = "PLANNED"
    PREPARING = "PREPARING"
    MIGRATING = "MIGRATING"
    SCALING = "SCALING"
    VERIFYING = "VERIFYING"
    SHIFTING = "SHIFTING"
    BAKING = "BAKING"
    CONTRACTING = "CONTRACTING"
    RETIRING = "RETIRING"
    COMPLETED = "COMPLETED"
    ROLLING_BACK = "ROLLING_BACK"
    ROLLED_BACK = "ROLLED_BACK"
    NEEDS_PERSON = "NEEDS_PERSON"

    @property
    def is_terminal(self) -> bool:
        """Whether the release is over."""
        return self in TERMINAL


TERMINAL = frozenset({Phase.COMPLETED, Phase.ROLLED_BACK, Phase.NEEDS_PERSON})


class Hold(StrEnum):
    """What a held release waits for. Any but PERSON is ended by an approval."""

    APPROVAL = "approval"
    TRAFFIC = "traffic"
    FREEZE = "freeze"
    PERSON = "person"


class Contract(StrEnum):
    """A service's contract migration. From BEGUN on the old version may not run any more."""

    NONE = "none"
    PENDING = "pending"
    BEGUN = "begun"
    DONE = "done"


@dataclass(frozen=True, kw_only=True)
class ServiceChange:
    """What a release does to one service.

    new, old: the colour that is released to, and the one that has the traffic before.
    previous_image: what the old colour runs; None on a first release.
    first: nothing was released to this service before: there is nothing to compare with or go back to.
    warm: the new colour runs the image already, at full scale and healthy.
    schema: newest schema revision that the image knows; None where that is not known.
    revisions: schema revisions that this release applies, in order.
    floor: lowest schema revision that an application must know to run on the result; None for any.
    """

    service: str
    image: str
    new: Colour
    old: Colour
    previous_image: str | None
    first: bool = False
    warm: bool = False
    migrated: bool = False
    contract: Contract = Contract.NONE
    schema: str | None = None
    revisions: tuple[str, ...] = ()
    floor: str | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """A share of the traffic for the new colour, and how long it is watched before the next."""

    percent: int
    wait_seconds: int


@dataclass(frozen=True, kw_only=True)
class Release:
    """All that is known of a release, and all that is needed to go on with it on another machine.

    steps: the last one is 100 percent; its watch is the bake.
    step: steps that are done being written; 0 before the first.
    watched: the watch of the current step is over, the next may begin.
    possible: percentages that the load balancer may show now: one that was confirmed, or that one and those
        that writes were begun for, the newest last.
    passed: holds that an approval or an override has ended; TRAFFIC only until the next step.
    known_alarms: firing when an emergency release began, so no sign against it.
    overrides: reason by gate.
    returns_to, undoes: of a roll-back after the fact, the release of these images, and the one taken back.
    token: fencing token of the last writer.
    attempt: which try of the contract migrations this is.
    head, entries: newest hash and number of entries of the record.
    """

    number: int
    stack: str
    kind: Kind
    changes: tuple[ServiceChange, ...]
    strategy: Strategy
    steps: tuple[Step, ...]
    bake_seconds: int
    healthy_timeout_seconds: int
    approval: bool
    actor: str
    created_at: datetime
    updated_at: datetime
    since: datetime
    phase: Phase = Phase.PLANNED
    step: int = 0
    watched: bool = False
    possible: tuple[int, ...] = (0,)
    held: Hold | None = None
    reason: str = ""
    cause: str = ""
    passed: frozenset[Hold] = frozenset()
    approved_by: str | None = None
    analysed: bool = True
    retired: bool = False
    known_alarms: tuple[str, ...] = ()
    overrides: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    change: str | None = None
    digest: str = ""
    returns_to: int | None = None
    undoes: int | None = None
    token: int = 0
    head: str = ""
    entries: int = 0
    attempt: int = 1

    @property
    def id(self) -> str:
        """As people name it: `prod-12`."""
        return f"{self.stack}-{self.number}"

    @property
    def target(self) -> int:
        """The percentage that the newest write was for."""
        return self.possible[-1]

    @property
    def confirmed(self) -> bool:
        """Whether the live weights were seen to be the target."""
        return len(self.possible) == 1

    @property
    def carries_traffic(self) -> bool:
        """Whether the new colour may have traffic."""
        return max(self.possible) > 0

    @property
    def contracted(self) -> tuple[str, ...]:
        """Services whose schema may no longer carry the old version."""
        return tuple(c.service for c in self.changes if c.contract in (Contract.BEGUN, Contract.DONE))

    @property
    def contracts(self) -> bool:
        """Whether a contract migration is still to be done."""
        return any(change.contract in (Contract.PENDING, Contract.BEGUN) for change in self.changes)

    @property
    def only_first(self) -> bool:
        """Whether no service of it has anything to go back to."""
        return all(change.first for change in self.changes)

    @property
    def stage_seconds(self) -> int:
        """How long the current stage is watched."""
        if self.phase is Phase.BAKING:
            return self.bake_seconds
        if self.phase is Phase.SHIFTING and self.step:
            return self.steps[self.step - 1].wait_seconds
        return 0

    def change_of(self, service: str) -> ServiceChange:
        """The change of one service. Raises KeyError."""
        return next(change for change in self.changes if change.service == service)


def weights_at(change: ServiceChange, percent: int) -> Weights:
    """The production weights of a service when the release is at `percent`.

    A first release has all or nothing: there is no old version that could have the rest.
    """
    new = 100 if change.first and percent else percent
    return {colour: new if colour == change.new else 100 - new for colour in COLOURS}


def expected(release: Release, change: ServiceChange) -> tuple[Weights, ...]:
    """Every pair of production weights that this release may have left; anything else is by others."""
    found: list[Weights] = []
    for percent in release.possible:
        weights = weights_at(change, percent)
        if weights not in found:
            found.append(weights)
    return tuple(found)

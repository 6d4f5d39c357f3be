"""What the engine needs of the world, and nothing more.

The driver knows these alone. Adapters implement them in `release/aws/` and `release/checks/`; tests run the
driver against a simulated world and against the embedded cloud. All times are aware UTC datetimes, all
weights percent. Every method may raise `release.errors.Unavailable`; none of them hides a failed call.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol

from components.colours import Colour

Listener = Literal["production", "test"]
Weights = Mapping[Colour, int]
Say = Callable[[str], None]
FREEZE_GATE = "freeze"


class Outcome(StrEnum):
    """What a judge says. INSUFFICIENT holds a release; it never passes it."""

    PASS = "pass"  # noqa: S105 - an outcome
    FAIL = "fail"
    INSUFFICIENT = "insufficient"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One judge's word. `source` names the judge, `reason` is a sentence with the figures in it.

    comparative: it needs traffic on the old colour, so it can't be had once the new one has all of it.
    """

    outcome: Outcome
    source: str
    reason: str
    comparative: bool = False


@dataclass(frozen=True, kw_only=True)
class Routing:
    """The weights that both listeners have at this moment."""

    production: Weights
    test: Weights


@dataclass(frozen=True, kw_only=True)
class ColourState:
    """One colour of a service as ECS and the load balancer see it.

    healthy, unhealthy: registered targets by state; draining ones are in neither, new ones are unhealthy.
    rollout_failed: why ECS gave up starting its tasks, None while it has not.
    """

    desired: int
    running: int
    healthy: int
    unhealthy: int
    rollout_failed: str | None = None


class Balancer(Protocol):
    """The listener rules of the stack's services; the only thing of AWS that moves traffic."""

    def read(self, service: str) -> Routing:
        """The live weights of the service's production and test rule."""

    def write(self, service: str, listener: Listener, weights: Weights) -> None:
        """Sets the weights of one rule and touches nothing else of it (stickiness stays)."""


class Fleet(Protocol):
    """Counts and scaling of the colours."""

    def state(self, service: str, colour: Colour) -> ColourState:
        """How the colour is now."""

    def scale(self, service: str, colour: Colour, count: int) -> None:
        """Sets the desired count."""

    def suspend(self, service: str, colour: Colour, what: Literal["none", "in", "all"]) -> None:
        """Suspends scale-in or all scaling, or resumes it. Nothing happens for a colour without a target."""

    def minimum(self, service: str) -> int:
        """Least number of tasks of a colour that takes traffic."""


class Images(Protocol):
    """Which image each colour runs, in SSM."""

    def read(self, service: str) -> Mapping[Colour, str]:
        """By colour, `repository@sha256:…`; a colour that nothing was released to is missing."""

    def write(self, service: str, colour: Colour, image: str) -> None:
        """Sets the image; the next `Program.apply` brings it to the colour's task definition."""


class Program(Protocol):
    """The infrastructure program of the stack."""

    def apply(self, colours: Mapping[str, Colour], say: Say) -> None:
        """`pulumi up` of what belongs to these colours by service, and of nothing else.

        Raises ReleaseError with the engine's own words if it fails.
        """


class Alarms(Protocol):
    """CloudWatch alarms that concern a colour of a service, or what the whole stack needs."""

    def firing(self, service: str, colour: Colour) -> Sequence[str]:
        """Those in ALARM, each as "<name>: <reason>". A throttled poll is Unavailable, never quiet."""


class Analyst(Protocol):
    """Compares the new colour with the old one."""

    def judge(
        self, service: str, new: Colour, old: Colour, since: datetime, until: datetime
    ) -> Sequence[Verdict]:
        """Verdicts over the same minutes of both colours; one for each metric and each own check."""


class Verifier(Protocol):
    """The smoke checks, through the test listener."""

    def verify(self, service: str, test_url: str) -> Sequence[Verdict]:
        """One verdict for each check; no check at all is an empty list."""


@dataclass(frozen=True, kw_only=True)
class MigrationPlan:
    """What a service's migration would do: revisions in order, and the newest one applied so far.

    kind: "none" when there is nothing to do; "contract" if any revision takes something away that the
        previous version of the application needs.
    floor: lowest application schema revision that can run on the result; None if any.
    """

    kind: Literal["none", "expand", "contract"]
    current: str | None
    target: str | None
    revisions: Sequence[str]
    floor: str | None


class Migrator(Protocol):
    """The schema's one-off task, run on the release's own image (the idle colour's task definition)."""

    def plan(self, service: str, colour: Colour) -> MigrationPlan:
        """What is to be done, by the service's plan command."""

    def run(self, service: str, colour: Colour, token: str, *, expand_only: bool = False) -> MigrationPlan:
        """Does it and returns what was done. `token` makes a repeated call find the same task again.

        expand_only: stop before the first contract revision; the rest is done after the bake.
        """


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """One gate. One that could not be evaluated has not passed. FREEZE_GATE names the freeze windows.

    overridable: whether an emergency release may pass it with a reason.
    """

    name: str
    passed: bool
    reason: str
    overridable: bool


class Gates(Protocol):
    """What has to hold before a release begins."""

    def evaluate(
        self,
        images: Mapping[str, str],
        *,
        change: str | None,
        hotfix: bool,
        applied: Mapping[str, Colour],
    ) -> Sequence[GateResult]:
        """Every gate, for the images by service.

        applied: colours by service that the infrastructure program is going to change; none for a release
            of what runs already.
        """

    def frozen(self, now: datetime) -> str | None:
        """Why no stage may begin now, or None."""


class Herald(Protocol):
    """Tells people. It never raises: a failing notification never fails a release."""

    def tell(self, title: str, text: str, *, bad: bool) -> None:
        """Sends to whoever wants to hear of releases."""


class Clock(Protocol):
    """Time, so that tests need not wait."""

    def now(self) -> datetime:
        """The time, aware, UTC."""

    def sleep(self, seconds: float) -> None:
        """Waits."""

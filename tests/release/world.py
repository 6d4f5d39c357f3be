"""A world for the release engine, in memory: traffic, tasks, images, judges, and everything that goes wrong.

Time passes only when somebody sleeps. What a version is like is told by its image (`Version`); a task takes
`start_seconds` to become healthy. Each call of a port is counted: a test may let any of them fail, before or
after it did its work, or end the process there. After each change of the world the invariants are checked.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from components.colours import COLOURS, Colour, other
from release.errors import ReleaseError, Unavailable
from release.hands import Ports
from release.plan import Policy
from release.ports import (
    ColourState,
    GateResult,
    Listener,
    MigrationPlan,
    Outcome,
    Routing,
    Say,
    Verdict,
    Weights,
)

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
Fault = Literal["kill-before", "kill-after", "fail-before", "fail-after"]


class Killed(BaseException):
    """SIGKILL. Nothing of the engine may catch it."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """How an application behaves once it runs."""

    healthy: bool = True
    starts: bool = True
    alarm_after_seconds: float | None = None
    judged: Outcome = Outcome.PASS
    opinion: Outcome | None = None
    smoke: Outcome = Outcome.PASS
    migration: MigrationPlan | None = None
    migration_fails: bool = False


GOOD = Version()


@dataclass
class Tasks:
    """One colour of one service."""

    desired: int = 0
    since: datetime = START
    healthy_before: int = 0
    scaling: str = "all"
    image: str | None = None


@dataclass
class Service:
    """One service as AWS has it."""

    production: dict[Colour, int] = field(default_factory=lambda: {"blue": 100, "green": 0})
    test: dict[Colour, int] = field(default_factory=lambda: {"blue": 0, "green": 100})
    images: dict[Colour, str] = field(default_factory=dict)
    tasks: dict[Colour, Tasks] = field(default_factory=lambda: {colour: Tasks() for colour in COLOURS})
    traffic_since: dict[Colour, datetime] = field(default_factory=dict)


def image(version: str, service: str = "api") -> str:
    """An image by digest; the digest tells the version, so that a failure reads well."""
    return f"registry.test/{service}@sha256:{version.encode().hex():0>64}"


class World:
    """Everything outside of the engine."""

    def __init__(self, *services: str, start_seconds: float = 20, minimum: int = 2) -> None:
        self.now = START
        self.services = {name: Service() for name in services or ("api",)}
        self.versions: dict[str, Version] = {}
        self.start_seconds = start_seconds
        self.minimum = minimum
        self.gates: list[GateResult] = [gate("account"), gate("freeze"), gate("alarms")]
        self.freezes: list[tuple[datetime, datetime, str]] = []
        self.known_alarms: list[str] = []
        self.schema: dict[str, list[str]] = {}
        self.program_fails: str | None = None
        self.at_the_gates: Callable[[], None] = lambda: None
        self.at_the_judges: Callable[[], None] = lambda: None
        self.enough_traffic: Callable[[], bool] = lambda: True
        self.silent: str | None = None
        self.faults: dict[int, Fault] = {}
        self.calls: list[str] = []
        self.changes: list[tuple[datetime, str]] = []
        self.told: list[tuple[str, str, bool]] = []
        self.asked_to_apply: Mapping[str, Colour] = {}
        self.judged = 0
        self.dead = False
        self.check: Callable[[World, str], None] = invariants
        self.before: Callable[[str], None] = lambda _: None
        # Colours that the newest write gave more of the production traffic.
        self.raised: list[tuple[str, Colour]] = []
        self.then: list[tuple[datetime, Callable[[], None]]] = []
        self._lock = threading.RLock()

    # What tests do.

    def running(self, version: str, *, service: str = "api", live: Colour = "blue", count: int = 3) -> None:
        """Lets a service run a version, with all of the traffic."""
        state = self.services[service]
        state.images[live] = image(version, service)
        state.production = {live: 100, other(live): 0}
        state.test = {live: 0, other(live): 100}
        state.tasks[live] = Tasks(
            desired=count, healthy_before=count, scaling="none", image=image(version, service)
        )

    def version_of(self, service: str, colour: Colour) -> Version:
        """What the colour's tasks are like."""
        return self.versions.get(self.services[service].tasks[colour].image or "", GOOD)

    def live(self, service: str = "api") -> str | None:
        """The image that has all of the traffic, or None if it is shared."""
        state = self.services[service]
        whole = [colour for colour in COLOURS if state.production[colour] == 100]
        return state.tasks[whole[0]].image if whole else None

    def healthy(self, service: str, colour: Colour) -> int:
        """Targets that are healthy now."""
        tasks = self.services[service].tasks[colour]
        version = self.version_of(service, colour)
        if tasks.image is None or not version.starts or not version.healthy:
            return 0
        started = (self.now - tasks.since).total_seconds() >= self.start_seconds
        return tasks.desired if started else min(tasks.desired, tasks.healthy_before)

    # How the ports do what they do.

    def sleep(self, seconds: float) -> None:
        """Time passes; what was to happen meanwhile happens."""
        self._dead()
        end = self.now + timedelta(seconds=seconds)
        for at, happening in sorted((t for t in self.then if t[0] <= end), key=lambda t: t[0]):
            self.then.remove((at, happening))
            self.now = max(self.now, at)
            happening()
        self.now = end

    def call(self, name: str, act: Callable[[], Any]) -> Any:
        """One call of a port, with whatever fault a test has for it."""
        with self._lock:
            self._dead()
            fault = self.faults.get(len(self.calls))
            self.calls.append(name)
            if fault == "kill-before":
                self._kill()
            if fault == "fail-before" or (self.silent and name.startswith(self.silent)):
                raise Unavailable(f"{name}: connection reset")
            answer = act()
            if fault == "kill-after":
                self._kill()
            if fault == "fail-after":
                raise Unavailable(f"{name}: the answer was lost")
            return answer

    def change(self, name: str, act: Callable[[], Any]) -> Any:
        """A call that changes the world."""

        def checked() -> Any:
            self.raised = []
            self.before(name)
            answer = act()
            self.changes.append((self.now, name))
            self.check(self, name)
            return answer

        return self.call(name, checked)

    def _kill(self) -> None:
        self.dead = True
        raise Killed

    def _dead(self) -> None:
        if self.dead:
            raise Killed

    def new_process(self) -> None:
        """Another process comes."""
        self.dead = False

    def scale(self, service: str, colour: Colour, count: int) -> None:
        """Sets a desired count; new tasks take their time."""
        tasks = self.services[service].tasks[colour]
        if count != tasks.desired:
            tasks.healthy_before = min(count, self.healthy(service, colour))
            tasks.desired, tasks.since = count, self.now

    def write(self, service: str, listener: Listener, weights: Weights) -> None:
        """Sets weights."""
        state = self.services[service]
        if listener == "production":
            before = state.production
            self.raised = [(service, colour) for colour in COLOURS if weights[colour] > before[colour]]
        setattr(state, listener, {colour: weights[colour] for colour in COLOURS})
        for colour in COLOURS if listener == "production" else ():
            if weights[colour] == 0:
                state.traffic_since.pop(colour, None)
            else:
                state.traffic_since.setdefault(colour, self.now)

    def apply(self, colours: Mapping[str, Colour]) -> None:
        """The infrastructure program: each of these colours gets the image of its parameter."""
        if self.program_fails:
            raise ReleaseError(self.program_fails)
        for service, colour in colours.items():
            state = self.services[service]
            wanted, tasks = state.images[colour], state.tasks[colour]
            if tasks.image != wanted:
                tasks.image, tasks.healthy_before, tasks.since = wanted, 0, self.now
            if tasks.scaling == "absent":
                tasks.desired = max(tasks.desired, self.minimum)

    def firing(self, service: str, colour: Colour) -> list[str]:
        """Alarms of a colour."""
        after = self.version_of(service, colour).alarm_after_seconds
        since = self.services[service].traffic_since.get(colour)
        bad = after is not None and since is not None and (self.now - since).total_seconds() >= after
        own = [f"{service}-{colour}-errors: 12.0 percent of the requests failed"] if bad else []
        return [*self.known_alarms, *own]

    def judge(self, service: str, new: Colour) -> list[Verdict]:
        """What the analyst says."""
        self.judged += 1
        enough = self.enough_traffic()
        outcome = self.version_of(service, new).judged if enough else Outcome.INSUFFICIENT
        reason = f"{outcome.value} by the figures"
        said = [Verdict(outcome=outcome, source="error rate", reason=reason, comparative=True)]
        opinion = self.version_of(service, new).opinion
        if opinion is not None:
            said.append(
                Verdict(outcome=opinion, source="check burn-rate", reason="check burn-rate: no answer")
            )
        return said

    def migration(self, service: str, colour: Colour) -> MigrationPlan:
        """What is left to do for the colour's version."""
        plan = self.version_of(service, colour).migration
        done = self.schema.setdefault(service, [])
        if plan is None or all(revision in done for revision in plan.revisions):
            latest = done[-1] if done else None
            return MigrationPlan(kind="none", current=latest, target=latest, revisions=(), floor=None)
        return plan

    def migrate(self, service: str, colour: Colour, *, expand_only: bool) -> MigrationPlan:
        """Runs it."""
        if self.version_of(service, colour).migration_fails:
            raise ReleaseError(f"the migration of {service} ended with status 1: relation is locked")
        plan = self.migration(service, colour)
        if not expand_only:
            self.schema[service].extend(r for r in plan.revisions if r not in self.schema[service])
        return plan


def gate(name: str, *, passed: bool = True, reason: str = "as it should be") -> GateResult:
    """A gate's word."""
    return GateResult(name=name, passed=passed, reason=reason, overridable=name != "account")


def invariants(world: World, name: str) -> None:
    """What holds after every single change."""
    for service, state in world.services.items():
        for listener in (state.production, state.test):
            assert sum(listener.values()) == 100, f"{name}: the weights of {service} are {listener}"
    for service, colour in world.raised:
        assert world.healthy(service, colour) > 0, f"{name}: {colour} of {service} has no healthy target"


class Balancer:
    """Listener rules."""

    def __init__(self, world: World) -> None:
        self._world = world

    def read(self, service: str) -> Routing:
        state = self._world.services[service]

        def act() -> Routing:
            return Routing(production=dict(state.production), test=dict(state.test))

        answer: Routing = self._world.call(f"balancer.read {service}", act)
        return answer

    def write(self, service: str, listener: Listener, weights: Weights) -> None:
        self._world.change(
            f"balancer.write {listener} {service}", lambda: self._world.write(service, listener, weights)
        )


class Fleet:
    """ECS and its scaling."""

    def __init__(self, world: World) -> None:
        self._world = world

    def state(self, service: str, colour: Colour) -> ColourState:
        def act() -> ColourState:
            tasks = self._world.services[service].tasks[colour]
            version = self._world.version_of(service, colour)
            healthy = self._world.healthy(service, colour)
            running = tasks.desired if version.starts else 0
            gave_up = tasks.desired > 0 and not version.starts
            waited = (self._world.now - tasks.since).total_seconds() >= self._world.start_seconds
            return ColourState(
                desired=tasks.desired,
                running=running,
                healthy=healthy,
                unhealthy=running - healthy,
                rollout_failed="tasks failed to start" if gave_up and waited else None,
            )

        answer: ColourState = self._world.call(f"fleet.state {service} {colour}", act)
        return answer

    def scale(self, service: str, colour: Colour, count: int) -> None:
        self._world.change(
            f"fleet.scale {service} {colour} {count}", lambda: self._world.scale(service, colour, count)
        )

    def suspend(self, service: str, colour: Colour, what: Literal["none", "in", "all"]) -> None:
        def act() -> None:
            self._world.services[service].tasks[colour].scaling = what

        self._world.change(f"fleet.suspend {service} {colour} {what}", act)

    def minimum(self, service: str) -> int:
        return int(self._world.call(f"fleet.minimum {service}", lambda: self._world.minimum))


class Images:
    """SSM."""

    def __init__(self, world: World) -> None:
        self._world = world

    def read(self, service: str) -> Mapping[Colour, str]:
        answer: Mapping[Colour, str] = self._world.call(
            f"images.read {service}", lambda: dict(self._world.services[service].images)
        )
        return answer

    def write(self, service: str, colour: Colour, image: str) -> None:
        def act() -> None:
            self._world.services[service].images[colour] = image

        self._world.change(f"images.write {service} {colour}", act)


class Others:
    """Everything else, one method for each port that has but one."""

    def __init__(self, world: World) -> None:
        self._world = world

    def apply(self, colours: Mapping[str, Colour], say: Say) -> None:
        say("updating the stack")
        self._world.change("program.apply", lambda: self._world.apply(colours))

    def firing(self, service: str, colour: Colour) -> Sequence[str]:
        answer: Sequence[str] = self._world.call(
            f"alarms.firing {service} {colour}", lambda: self._world.firing(service, colour)
        )
        return answer

    def judge(
        self, service: str, new: Colour, old: Colour, since: datetime, until: datetime
    ) -> Sequence[Verdict]:
        assert new != old
        assert since <= until
        self._world.at_the_judges()
        answer: Sequence[Verdict] = self._world.call(
            f"analyst.judge {service}", lambda: self._world.judge(service, new)
        )
        return answer

    def verify(self, service: str, test_url: str) -> Sequence[Verdict]:
        assert test_url == "http://test.test:8443"

        def act() -> list[Verdict]:
            test = self._world.services[service].test
            reached = next(colour for colour in COLOURS if test[colour] == 100)
            outcome = self._world.version_of(service, reached).smoke
            return [Verdict(outcome=outcome, source="GET /healthz", reason=f"{outcome.value} in 0.1 s")]

        answer: Sequence[Verdict] = self._world.call(f"verifier.verify {service}", act)
        return answer

    def plan(self, service: str, colour: Colour) -> MigrationPlan:
        answer: MigrationPlan = self._world.call(
            f"migrator.plan {service}", lambda: self._world.migration(service, colour)
        )
        return answer

    def run(self, service: str, colour: Colour, token: str, *, expand_only: bool = False) -> MigrationPlan:
        assert len(token) <= 64
        what = "expand" if expand_only else "all"
        answer: MigrationPlan = self._world.change(
            f"migrator.run {service} {what}",
            lambda: self._world.migrate(service, colour, expand_only=expand_only),
        )
        return answer

    def evaluate(
        self,
        images: Mapping[str, str],
        *,
        change: str | None,
        hotfix: bool,
        applied: Mapping[str, Colour],
    ) -> Sequence[GateResult]:
        del images, change, hotfix
        self._world.asked_to_apply = applied
        self._world.at_the_gates()
        answer: Sequence[GateResult] = self._world.call("gates.evaluate", lambda: list(self._world.gates))
        return answer

    def frozen(self, now: datetime) -> str | None:
        def act() -> str | None:
            return next((why for start, end, why in self._world.freezes if start <= now < end), None)

        answer: str | None = self._world.call("gates.frozen", act)
        return answer

    def tell(self, title: str, text: str, *, bad: bool) -> None:
        self._world.told.append((title, text, bad))


class Clock:
    """The world's own time."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> datetime:
        return self._world.now

    def sleep(self, seconds: float) -> None:
        self._world.sleep(seconds)


def ports(world: World) -> Ports:
    """The whole world through its ports."""
    others = Others(world)
    return Ports(
        balancer=Balancer(world),
        fleet=Fleet(world),
        images=Images(world),
        program=others,
        alarms=others,
        analyst=others,
        verifier=others,
        migrator=others,
        gates=others,
        herald=others,
        clock=Clock(world),
        test_url="http://test.test:8443",
    )


def policy(world: World, **values: Any) -> Policy:
    """A canary of 10 percent for a minute, a bake of five."""
    given: dict[str, Any] = {
        "stack": "prod",
        "services": tuple(world.services),
        "strategy": "canary",
        "step_percent": 10,
        "every_seconds": 60,
        "bake_seconds": 300,
        "healthy_timeout_seconds": 120,
    }
    return Policy(**{**given, **values})

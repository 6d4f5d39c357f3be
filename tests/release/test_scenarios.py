"""Random commands, versions, faults, kills and other people's hands, with invariants after every change.

SWITCHYARD_SCENARIOS sets how many there are; a number above the usual one also makes them new each time.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.colours import COLOURS, Colour, other
from release.model import Phase, Release, expected
from release.plan import Request
from release.ports import MigrationPlan, Outcome
from release.run import Ended, ExitCode
from release.store import LEASE_SECONDS, Store
from release.table import Item, Table, Write
from tests.release.company import Company
from tests.release.dynamo import release_table
from tests.release.tables import DictTable
from tests.release.world import Fault, Killed, Version, World, gate, image, invariants

USUAL = 1000
SCENARIOS = int(os.environ.get("SWITCHYARD_SCENARIOS", USUAL))

CONTRACT = MigrationPlan(kind="contract", current="r1", target="r3", revisions=("r2", "r3"), floor="r2")
EXPAND = MigrationPlan(kind="expand", current="r1", target="r2", revisions=("r2",), floor=None)
VERSIONS = {
    "good": Version(),
    "alarms": Version(alarm_after_seconds=15),
    "alarms-late": Version(alarm_after_seconds=70),
    "judged": Version(judged=Outcome.FAIL),
    "unsure": Version(judged=Outcome.INSUFFICIENT),
    "smoke": Version(smoke=Outcome.FAIL),
    "unhealthy": Version(healthy=False),
    "crashes": Version(starts=False),
    "expands": Version(migration=EXPAND),
    "contracts": Version(migration=CONTRACT),
    "migration-fails": Version(migration=EXPAND, migration_fails=True),
}


@dataclass(frozen=True, kw_only=True)
class Happening:
    """Something that others do, some seconds after the command began."""

    after: int
    what: Literal[
        "move", "grow", "sicken", "heal", "quiet", "traffic", "freeze", "interrupt", "silence", "program"
    ]


@dataclass(frozen=True, kw_only=True)
class Command:
    """What somebody does, and what goes wrong meanwhile. Faults are by the number of calls from now."""

    what: str
    version: str
    strategy: Literal["all-at-once", "linear", "canary"]
    emergency: bool
    partial: bool
    faults: dict[int, Fault]
    happenings: tuple[Happening, ...]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Where it begins, and what is done."""

    services: tuple[str, ...]
    running: tuple[bool, ...]
    approval: bool
    failing_gate: bool
    commands: tuple[Command, ...]


FAULTS: st.SearchStrategy[Fault] = st.sampled_from(["kill-before", "kill-after", "fail-before", "fail-after"])
HAPPENINGS = st.builds(
    Happening,
    after=st.integers(0, 200),
    what=st.sampled_from(
        [
            "move",
            "grow",
            "sicken",
            "heal",
            "quiet",
            "traffic",
            "freeze",
            "interrupt",
            "silence",
            "program",
        ]
    ),
)
COMMANDS = st.builds(
    Command,
    what=st.sampled_from(
        ["start", "start", "start", "resume", "resume", "abort", "approve", "rollback", "leave", "wait"]
    ),
    version=st.sampled_from(sorted(VERSIONS)),
    strategy=st.sampled_from(["all-at-once", "linear", "canary"]),
    emergency=st.booleans(),
    partial=st.booleans(),
    faults=st.dictionaries(st.integers(0, 160), FAULTS, max_size=3),
    happenings=st.lists(HAPPENINGS, max_size=2).map(tuple),
)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    services = draw(st.sampled_from([("api",), ("api", "web")]))
    return Scenario(
        services=services,
        running=tuple(draw(st.booleans()) or draw(st.booleans()) for _ in services),
        approval=draw(st.booleans()) and draw(st.booleans()),
        failing_gate=draw(st.booleans()) and draw(st.booleans()),
        commands=tuple(draw(st.lists(COMMANDS, min_size=1, max_size=6))),
    )


class Watched(DictTable):
    """A table that sees whose lock is written over."""

    now: Callable[[], datetime]

    def write(self, writes: Sequence[Write]) -> bool:
        before = self._get("lock", "stack")
        done = super().write(writes)
        after = self._get("lock", "stack")
        if before and after and before["held"] and before["run"] != after["run"]:
            assert datetime.fromisoformat(before["until"]) <= self.now(), "a living lock was broken"
        if before and after:
            assert after["token"] >= before["token"], "the fencing token grows only"
        return done


class Play:
    """Plays a scenario, and checks the world as it goes."""

    def __init__(self, scenario: Scenario, table: Table | None = None) -> None:
        world = World(*scenario.services, start_seconds=15)
        for service, runs in zip(scenario.services, scenario.running, strict=True):
            for version, behaviour in VERSIONS.items():
                world.versions[image(version, service)] = behaviour
            if runs:
                world.running("v1", service=service)
        if scenario.failing_gate:
            world.gates.append(gate("backups", passed=False, reason="none for 30 h"))
        watched = Watched(world.call)
        watched.now = lambda: world.now
        self.table: Table = watched if table is None else table
        self.world = world
        self.company = Company(
            world,
            self.table,
            every_seconds=30,
            step_percent=40,
            bake_seconds=60,
            healthy_timeout_seconds=60,
            patience_seconds=60,
            hold_seconds=120,
            poll_seconds=10,
            approval=scenario.approval,
        )
        self.acting = ""
        world.before = self.before_a_change
        world.check = self.after_a_change
        self.outcomes: list[Ended] = []

    # What holds.

    def kept(self) -> tuple[Item | None, Release | None]:
        """The lock and the release in progress, as they are in the table."""
        if not isinstance(self.table, DictTable):
            return None, None
        quiet = DictTable()
        quiet.items = self.table.items
        store = Store(quiet, self.company.store().owner, lambda: self.world.now)
        return self.table._get("lock", "stack"), store.current()

    def before_a_change(self, name: str) -> None:
        lock, release = self.kept()
        if lock is None:
            return
        assert lock["held"], f"{name} without the lock"
        assert lock["run"] == self.acting, f"{name} with somebody else's lock"
        assert release is not None, f"{name} without a release that was kept"
        parts = name.split()
        if parts[:2] == ["balancer.write", "production"]:
            change = release.change_of(parts[2])
            live = self.world.services[parts[2]].production
            assert live in expected(release, change), f"{name} over the weights of others: {live}"

    def after_a_change(self, world: World, name: str) -> None:
        invariants(world, name)
        _, release = self.kept()
        if release is None:
            return
        for change in release.changes:
            self.way_back(name, release, change.service)

    def way_back(self, name: str, release: Release, service: str) -> None:
        """Until a contract begins, what ran before can run again; until it retires, it still does."""
        change = release.change_of(service)
        state = self.world.services[service]
        if change.first or release.contracted:
            return
        assert state.images.get(change.old) == change.previous_image, f"{name}: the old image is lost"
        on_new = state.production[change.new] > 0
        if on_new and not release.retired and release.phase is not Phase.ROLLING_BACK:
            assert state.tasks[change.old].desired > 0, f"{name}: the old colour of {service} is cold"

    # What is done.

    def run(self, scenario: Scenario) -> None:
        for command in scenario.commands:
            self.do(command)
        self.tidy_up()

    def do(self, command: Command) -> None:
        world = self.world
        world.new_process()
        here = len(world.calls)
        world.faults = {here + number: fault for number, fault in command.faults.items()}
        driver = self.company.driver()
        self.acting = f"run-{self.company.processes}"
        for happening in command.happenings:
            at = world.now + timedelta(seconds=happening.after)
            world.then.append((at, lambda h=happening: self.happens(h, driver.interrupt)))  # type: ignore[misc]
        actions: dict[str, Callable[[], Ended]] = {
            "start": lambda: driver.start(self.request(command)),
            "resume": lambda: driver.resume("bob"),
            "abort": lambda: driver.abort("bob"),
            "approve": lambda: driver.approve("bob"),
            "rollback": lambda: driver.rollback("bob"),
            "leave": lambda: driver.abort("bob", leave=True),
        }
        try:
            if command.what == "wait":
                world.sleep(LEASE_SECONDS + 1)
            else:
                self.outcomes.append(actions[command.what]())
        except Killed:
            pass
        finally:
            world.faults = {}
            world.then = []

    def request(self, command: Command) -> Request:
        services = self.company.policy.services[:1] if command.partial else self.company.policy.services
        kind = "emergency" if command.emergency else "partial" if command.partial else "full"
        failing = {g.name: "it has to go out" for g in self.world.gates if not g.passed}
        return self.company.request(
            command.version,
            kind=kind,
            images={service: image(command.version, service) for service in services},
            strategy=command.strategy,
            overrides=failing if command.emergency else {},
        )

    def happens(self, happening: Happening, interrupt: Callable[[], None]) -> None:
        world = self.world
        service = next(iter(world.services))
        state = world.services[service]
        live = max(COLOURS, key=lambda colour: state.production[colour])
        soon = world.now + timedelta(seconds=150)
        what: dict[str, Callable[[], None]] = {
            "move": lambda: self.move(service, live),
            "grow": lambda: self.grow(service, live),
            "sicken": lambda: self.turn(service, live, healthy=False),
            "heal": lambda: self.turn(service, live, healthy=True),
            "quiet": lambda: setattr(world, "enough_traffic", lambda: False),
            "traffic": lambda: setattr(world, "enough_traffic", lambda: True),
            "freeze": lambda: setattr(world, "freezes", [(world.now, soon, "frozen")]),
            "interrupt": interrupt,
            "silence": lambda: setattr(world, "silent", None if world.silent else "alarms."),
            "program": lambda: setattr(world, "program_fails", None if world.program_fails else "no"),
        }
        what[happening.what]()

    def move(self, service: str, live: Colour) -> None:
        in_progress = self.kept()[1] is not None
        if in_progress and all(self.world.services[service].images.get(colour) for colour in COLOURS):
            self.world.write(service, "production", {live: 70, other(live): 30})

    def grow(self, service: str, live: Colour) -> None:
        desired = self.world.services[service].tasks[live].desired
        if desired:
            self.world.scale(service, live, desired + 2)

    def turn(self, service: str, colour: Colour, *, healthy: bool) -> None:
        running = self.world.services[service].tasks[colour].image
        if running is not None:
            was = self.world.versions.get(running, Version())
            self.world.versions[running] = replace(was, healthy=healthy)

    # How it ends.

    def tidy_up(self) -> None:
        """The world is well again, and a person does what there is to do: every release comes to its end."""
        world = self.world
        world.new_process()
        world.silent, world.program_fails, world.freezes = None, None, []
        for service in world.services:
            world.versions[image("v1", service)] = Version()
            for version, behaviour in VERSIONS.items():
                # What had the traffic may have become ill; now it is as it was.
                world.versions[image(version, service)] = behaviour
        for ways in ("abort", "resume", "leave", "leave"):
            world.sleep(LEASE_SECONDS + 1)
            if self.company.store().current() is None:
                break
            self.do(
                Command(
                    what=ways,
                    version="good",
                    strategy="canary",
                    emergency=False,
                    partial=False,
                    faults={},
                    happenings=(),
                )
            )
        self.ended()

    def ended(self) -> None:
        driver = self.company.driver()
        assert self.company.store().current() is None, "a release found no end"
        for release in driver.history():
            assert release.phase in (Phase.COMPLETED, Phase.ROLLED_BACK, Phase.NEEDS_PERSON)
            assert release.reason
            found, entries = driver.show(release.number)
            assert entries[-1].reason == found.reason, "the record says why"
            if release.phase is Phase.ROLLED_BACK:
                assert release.cause
        for ended in self.outcomes:
            assert ended.reason
            if ended.code is ExitCode.COMPLETED and ended.release is not None:
                assert ended.release.phase in (Phase.COMPLETED, *NOT_OVER)
        self.goes_on()

    def goes_on(self) -> None:
        """The newest release that is completed or rolled back left everything in order."""
        history = self.company.driver().history()
        if not history or history[0].phase is Phase.NEEDS_PERSON:
            return
        newest = history[0]
        for change in newest.changes:
            state = self.world.services[change.service]
            live = change.new if newest.phase is Phase.COMPLETED else change.old
            assert state.production == {live: 100, other(live): 0}
            assert state.tasks[other(live)].desired == 0
            assert state.test[other(live)] == 100


# An approval may be left with a process that is at work.
NOT_OVER = tuple(phase for phase in Phase if not phase.is_terminal)


@settings(
    max_examples=SCENARIOS,
    deadline=None,
    derandomize=SCENARIOS == USUAL,
    suppress_health_check=list(HealthCheck),
    database=None,
)
@given(scenarios())
def test_whatever_happens_every_release_finds_its_end_and_its_way_back(scenario: Scenario) -> None:
    Play(scenario).run(scenario)


@pytest.mark.parametrize("fault", ["kill-after", "fail-after"])
def test_scenarios_end_the_same_on_dynamodb(fault: Fault) -> None:
    ordinary = Command(
        what="start",
        version="good",
        strategy="canary",
        emergency=False,
        partial=False,
        faults={25: fault},
        happenings=(),
    )
    scenario = Scenario(
        services=("api", "web"),
        running=(True, True),
        approval=False,
        failing_gate=False,
        commands=(
            ordinary,
            replace(ordinary, what="wait", faults={}),
            replace(ordinary, what="resume", faults={}),
            replace(ordinary, version="alarms", faults={}),
            replace(ordinary, what="rollback", faults={}),
        ),
    )
    with release_table() as table:
        play = Play(scenario, table)
        play.run(scenario)
        history = play.company.driver().history()
    assert {release.phase for release in history} == {Phase.COMPLETED, Phase.ROLLED_BACK}

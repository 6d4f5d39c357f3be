"""Times the release engine on an embedded cloud: whole releases, steps, and the way back from an alarm.

`python -m bench.releases --here` does it on the cloud of SWITCHYARD_HOME, with stack `local` up, and prints
the figures as JSON; `rows` puts them beside their goals.
"""

import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import engine
from bench.results import Figure, judged, spread

if TYPE_CHECKING:
    from release.run import Ended
    from switchyard.releases import ReleasedStack

STACK, SERVICE = "local", "api"
RUNS = 5
# A linear release of these steps: four shares below all of it.
STEP_PERCENT, EVERY_SECONDS = 20, 5
WHOLE_GOAL_SECONDS, STEP_GOAL_SECONDS, BACK_GOAL_SECONDS = 30, 1, 2
LOOK_SECONDS = 0.02
# What a release spends its time on, and the phases that belong to it, in order.
PARTS = {
    "gates": ("", "PLANNED"),
    "program": ("PREPARING",),
    "migration": ("MIGRATING", "CONTRACTING"),
    "scaling": ("SCALING",),
    "verification": ("VERIFYING",),
    "shift": ("SHIFTING", "BAKING"),
    "retire": ("RETIRING", "COMPLETED"),
}
Figures = dict[str, Any]


@dataclass(kw_only=True)
class Watched:
    """One release, as the driver tells of it. `at` are seconds of this machine's clock that only grows.

    back: when the load balancer had the old weights again after the alarm; alarm: when that was raised.
    """

    stack: "ReleasedStack"
    alarm_at_percent: int | None = None
    phases: list[tuple[float, str]] = field(default_factory=list)
    alarm: float | None = None
    back: float | None = None
    _alarm: threading.Thread | None = None

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Takes one event of the driver."""
        if event["kind"] == "phase":
            self.phases.append((time.monotonic(), event["phase"]))
        if event["kind"] == "weights" and event["weights"][event["new"]] == self.alarm_at_percent:
            self._alarm = threading.Thread(target=self._fire, args=(event["new"],), daemon=True)
            self._alarm.start()

    def _fire(self, new: Any) -> None:
        """Raises the new colour's alarm and looks until the load balancer has taken its traffic away."""
        alarm = self.stack.parts.service(SERVICE).alarms[new][0]
        # A little into the step, so that the engine is at its usual looking, at no certain moment of it.
        time.sleep(1 + time.time() % 1)
        self.alarm = time.monotonic()
        while self.stack.balancer.read(SERVICE).production[new]:
            self._set(alarm, "ALARM")
            time.sleep(LOOK_SECONDS)
        self.back = time.monotonic()
        self._set(alarm, "OK")

    def _set(self, alarm: str, state: Any) -> None:
        self.stack.clients.cloudwatch.set_alarm_state(
            AlarmName=alarm, StateValue=state, StateReason="bench/releases.py says so"
        )

    def ended(self) -> None:
        """Waits for what looks at the load balancer."""
        if self._alarm is not None:
            self._alarm.join(timeout=60)


def split(begun: float, phases: Sequence[tuple[float, str]], ended: float) -> dict[str, float]:
    """Seconds by part of the release. The time before the first phase is the gates'."""
    marks = [(begun, ""), *phases, (ended, "")]
    spent = dict.fromkeys(PARTS, 0.0)
    for (since, phase), (until, _) in pairwise(marks):
        for part, of in PARTS.items():
            if phase in of:
                spent[part] += until - since
    return spent


class Releases:
    """Makes versions and releases them, each by an engine of its own as a command has it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._version = 0

    def image(self, **variant: Any) -> str:
        """A new version of the example, published."""
        from examples.variants import variant as made
        from switchyard import embedded

        self._version += 1
        # Versions of other runs on the same cloud are not this one's.
        version = f"bench-{time.time_ns():x}-{self._version}"
        folder = made(self._folder, service="api", version=version, **variant)
        return embedded.publish(folder, SERVICE, version, STACK).reference

    def release(
        self, image: str, alarm_at_percent: int | None = None, **asked: Any
    ) -> tuple[float, Watched, "Ended", float]:
        """When it began, what was seen of it, how it ended, and when."""
        from release.plan import Request
        from switchyard.releases import ReleasedStack

        begun = time.monotonic()
        stack = ReleasedStack(STACK)
        watched = Watched(stack=stack, alarm_at_percent=alarm_at_percent)
        request = Request(kind="partial", images={SERVICE: image}, actor="bench", **asked)
        ended = stack.driver(lambda line: print(line, file=sys.stderr), watched).start(request)
        over = time.monotonic()
        watched.ended()
        return begun, watched, ended, over


def whole(releases: Releases, runs: int) -> Iterator[Figures]:
    """All-at-once releases of healthy versions without a bake: seconds, and where they went."""
    for _ in range(runs):
        image = releases.image()
        begun, watched, ended, over = releases.release(image, strategy="all-at-once", bake_seconds=0)
        _expect(ended, "COMPLETED")
        yield {"total": over - begun, **split(begun, watched.phases, over)}


def stepwise(releases: Releases, runs: int) -> Iterator[Figures]:
    """Linear releases whose alarm fires at the last share: overhead of a step, and the way back."""
    last = 100 - STEP_PERCENT
    for _ in range(runs):
        image = releases.image()
        _, watched, ended, _ = releases.release(
            image,
            alarm_at_percent=last,
            strategy="linear",
            step_percent=STEP_PERCENT,
            every_seconds=EVERY_SECONDS,
        )
        _expect(ended, "ROLLED_BACK")
        assert watched.alarm is not None and watched.back is not None  # noqa: S101, PT018 - it was rolled back
        steps = [at for at, phase in watched.phases if phase == "SHIFTING"]
        yield {
            # From one seen share to the next: a write, a watch, and all that is kept of both.
            "step": (steps[-1] - steps[1]) / (len(steps) - 2) - EVERY_SECONDS,
            "back": watched.back - watched.alarm,
            "poll": _poll_seconds(watched.stack),
        }


def _poll_seconds(stack: "ReleasedStack") -> float:
    from switchyard.releases import POLL_SECONDS, SHORTEST_POLL_SECONDS

    return max(POLL_SECONDS / stack.speed, SHORTEST_POLL_SECONDS)


def _expect(ended: "Ended", outcome: str) -> None:
    if ended.code.name != outcome:
        raise RuntimeError(
            f"the release was to end {outcome}, and it ended {ended.code.name}: {ended.reason}"
        )


def measured(runs: int = RUNS) -> Figures:
    """All figures, on the cloud of this process. The first release of the service is not counted."""
    with tempfile.TemporaryDirectory(prefix="switchyard-bench-") as folder:
        releases = Releases(Path(folder))
        first = releases.release(releases.image(), strategy="all-at-once", bake_seconds=0)[2]
        _expect(first, "COMPLETED")
        return {"whole": list(whole(releases, runs)), "stepwise": list(stepwise(releases, runs))}


def rows(figures: Figures) -> Iterator[Figure]:
    """The figures beside their goals."""
    releases, steps = figures["whole"], figures["stepwise"]
    yield _row(
        f"all-at-once release, no bake, {len(releases)} runs",
        [run["total"] for run in releases],
        WHOLE_GOAL_SECONDS,
        f"≤ {WHOLE_GOAL_SECONDS} s",
    )
    medians = {part: statistics.median(run[part] for run in releases) for part in PARTS}
    parts = ", ".join(f"{part} {seconds:.1f}" for part, seconds in medians.items())
    yield Figure(what="of which", measured=parts)
    yield _row(
        f"a step of a release, beside its wait, {len(steps)} runs",
        [run["step"] for run in steps],
        STEP_GOAL_SECONDS,
        f"≤ {STEP_GOAL_SECONDS} s",
    )
    poll = steps[0]["poll"]
    yield _row(
        f"from alarm to restored weights, {len(steps)} runs, polled every {poll:.1f} s",
        [run["back"] for run in steps],
        BACK_GOAL_SECONDS + poll,
        f"≤ {BACK_GOAL_SECONDS} s + {poll:.1f} s",
    )


def _row(what: str, seconds: Sequence[float], limit: float, goal: str) -> Figure:
    return judged(what, statistics.median(seconds), spread(seconds), limit, goal)


def on_the_cloud_of(environment: dict[str, str]) -> Figures:
    """The figures on another checkout's cloud, in a process of its own."""
    found: Figures = json.loads(engine.run(["python", "-m", "bench.releases", "--here"], environment))
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measured(int(sys.argv[2]) if len(sys.argv) > 2 else RUNS)) + "\n")

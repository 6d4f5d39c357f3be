"""Times the engine on an embedded cloud of its own: bringing stacks up, and previews that change nothing."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pulumi.automation import EngineEvent

from bench.results import Figure, judged, spread
from localcloud.paths import PROJECT

# A create that takes this long is the provider waiting for AWS to say "ready".
WAITING_SECONDS = 8.0


@contextmanager
def scratch_cloud() -> Iterator[dict[str, str]]:
    """The environment of a checkout whose embedded cloud is its own, ended at the end."""
    with tempfile.TemporaryDirectory(prefix="switchyard-bench-") as folder:
        environment = {**os.environ, "SWITCHYARD_HOME": str(Path(folder) / "home")}
        try:
            yield environment
        finally:
            run(["switchyard", "cloud", "stop"], environment)


def run(command: list[str], environment: dict[str, str]) -> str:
    """The command's standard output. Raises CalledProcessError."""
    path = f"{PROJECT / '.venv' / 'bin'}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(  # noqa: S603 - our own commands
        command, cwd=PROJECT, env={**environment, "PATH": path}, capture_output=True, text=True, check=True
    )
    return done.stdout


class SharedCloud:
    """An embedded cloud that starts when the first section needs it, and ends with the last."""

    def __init__(self) -> None:
        self._exits = ExitStack()
        self._environment: dict[str, str] | None = None
        self._up: dict[str, dict[str, float]] = {}

    def __enter__(self) -> "SharedCloud":
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the checkout that the cloud is of."""
        if self._environment is None:
            self._environment = self._exits.enter_context(scratch_cloud())
        return self._environment

    def up(self, stack: str) -> dict[str, float]:
        """Brings the stack up, once; how long that took."""
        if stack not in self._up:
            self._up[stack] = bring_up(stack, self.environment)
        return self._up[stack]


def up_figures(up: dict[str, float]) -> Iterator[Figure]:
    """How long it took to bring a stack up."""
    yield judged("make up, engine in the cache", up["total"], f"{up['total']:.0f} s", 180, "≤ 180 s")
    yield judged("of which not the provider's waiting", up["own"], f"{up['own']:.0f} s", 30, "≤ 30 s")


def preview_figures(stack: str, environment: dict[str, str]) -> Iterator[Figure]:
    """How long previews of the stack take that change nothing."""
    seconds = previews(stack, environment)
    middle = statistics.median(seconds)
    yield judged(f"preview of {stack}, nothing to change", middle, spread(seconds), 4, "≤ 4 s")


def bring_up(stack: str, environment: dict[str, str]) -> dict[str, float]:
    """Seconds of `switchyard cloud up`, and how many of them the provider spent waiting."""
    figures: dict[str, float] = json.loads(run(["python", "-m", "bench.engine", stack], environment))
    return figures


def timed_up(stack: str) -> dict[str, float]:
    """The same, in this process."""
    from switchyard import embedded

    begun: dict[str, float] = {}
    intervals: list[tuple[float, float]] = []

    def observe(event: EngineEvent) -> None:
        before = event.resource_pre_event
        # Components are open for as long as what is in them.
        if before and before.metadata.type.startswith("aws:"):
            begun[before.metadata.urn] = time.monotonic()
        elif event.res_outputs_event and event.res_outputs_event.metadata.urn in begun:
            intervals.append((begun.pop(event.res_outputs_event.metadata.urn), time.monotonic()))

    start = time.monotonic()
    embedded.up(stack, lambda line: print(line, file=sys.stderr), observe)
    total = time.monotonic() - start
    waited = waiting(intervals)
    return {"total": total, "waiting": waited, "own": total - waited}


def waiting(intervals: list[tuple[float, float]]) -> float:
    """Seconds in which at least one long create was under way."""
    covered, end = 0.0, float("-inf")
    for begin, finish in sorted(i for i in intervals if i[1] - i[0] >= WAITING_SECONDS):
        covered += max(0.0, finish - max(begin, end))
        end = max(end, finish)
    return covered


def previews(stack: str, environment: dict[str, str], runs: int = 5) -> list[float]:
    """Seconds of each `pulumi preview` that changes nothing, after one that is not counted."""
    given: dict[str, Any] = json.loads(
        run(["switchyard", "cloud", "env", "--stack", stack, "--json"], environment)
    )
    shell = {**environment, **given}
    seconds = []
    for _ in range(runs + 1):
        begun = time.monotonic()
        said = run(["pulumi", "preview", "--stack", stack, "--non-interactive"], shell)
        seconds.append(time.monotonic() - begun)
        if " to " in said.rpartition("Resources:")[2]:
            raise RuntimeError(f"the preview was to change nothing:\n{said}")
    return seconds[1:]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(timed_up(sys.argv[1])) + "\n")

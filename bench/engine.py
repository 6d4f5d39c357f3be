"""Times the engine on an embedded cloud of its own: bringing stacks up, and previews that change nothing."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pulumi.automation import EngineEvent

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


def median(figures: list[float]) -> str:
    """The median with the range around it."""
    return f"{statistics.median(figures):.1f} s ({min(figures):.1f} to {max(figures):.1f})"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(timed_up(sys.argv[1])) + "\n")

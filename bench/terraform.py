"""The race with `terraform plan`: the same resources, provider binary and AWS API, turn by turn.

Of each size three are timed in turns, so that a busy machine troubles all alike:

- Terraform on the rendered program, as a user has it: every run starts the provider anew;
- a cold preview: nothing is kept, the language host and the provider start anew;
- a warm preview: the embedded cloud keeps both.

All plan resources from nothing, with the state in a file. A stack of one service is also brought up by both,
and what changes nothing is timed. Seconds are by the clock; CPU is that of all processes of a run, the kept
ones and the AWS API included. Sizes, rounds and the time are bounded: some nine minutes on two free cores.
"""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

from bench import engine
from bench.racers import COLD, TERRAFORM, WARM, Environment, Racers, Runs, Setting, place, racers
from bench.results import Figure, judged, progress, spread
from localcloud.engine import terraform_provider
from localcloud.paths import PROJECT

SIZES = (1, 10, 50)
ROUNDS, FEWEST_ROUNDS = 5, 3
# A round takes a minute on two free cores; after this long no more is begun.
BUDGET_SECONDS = 330.0
UP_SECONDS = 400.0
GOALS = {COLD: 1.3, WARM: 0.5}


def raced(sizes: Mapping[int, Racers]) -> dict[int, Runs]:
    """The rounds: one that is not counted, then as many as the time allows."""
    runs: dict[int, Runs] = {services: {} for services in sizes}
    sizes[min(sizes)].round({}, sizes[min(sizes)].resources)
    begun = time.monotonic()
    for number in range(1, ROUNDS + 1):
        each = (time.monotonic() - begun) / max(number - 1, 1)
        if number > FEWEST_ROUNDS and time.monotonic() - begun + each > BUDGET_SECONDS:
            progress(f"terraform: {number - 1} rounds, more would take too long")
            break
        for services, one in sizes.items():
            progress(f"terraform: round {number} of {ROUNDS}, {counted(services)}")
            one.round(runs[services], one.resources)
    return runs


def figures_of(title: str, runs: Runs) -> Iterator[Figure]:
    """Terraform's row, and each preview's with its part of Terraform's seconds, round by round."""
    for what, found in runs.items():
        shown = f"{spread([run.seconds for run in found])}, CPU {spread([run.cpu for run in found])}"
        if what == TERRAFORM:
            yield Figure(what=f"{title}, {what}, {len(found)} runs", measured=shown)
            continue
        ratios = [run.seconds / plan.seconds for run, plan in zip(found, runs[TERRAFORM], strict=True)]
        cpu = statistics.median(run.cpu / plan.cpu for run, plan in zip(found, runs[TERRAFORM], strict=True))
        yield judged(
            f"{title}, {what}",
            statistics.median(ratios),
            f"{shown}; {spread(ratios, 'of terraform plan', 2)}, {cpu:.2f} of its CPU",
            GOALS[what],
            f"≤ {GOALS[what]} of terraform plan",
        )


def counted(services: int) -> str:
    """`1 service`, `10 services`."""
    return f"{services} service" + ("" if services == 1 else "s")


def growth(sizes: Mapping[int, Racers], runs: Mapping[int, Runs]) -> Iterator[Figure]:
    """What a hundred resources more cost each of them, from size to size."""
    for few, many in pairwise(sizes):
        hundreds = (sizes[many].resources - sizes[few].resources) / 100
        told = []
        for what in runs[few]:
            seconds, cpu = (
                statistics.median(getattr(run, of) for run in runs[many][what])
                - statistics.median(getattr(run, of) for run in runs[few][what])
                for of in ("seconds", "cpu")
            )
            told.append(f"{what} {seconds / hundreds:.2f} s, CPU {cpu / hundreds:.2f} s")
        yield Figure(what=f"100 resources more, {few} to {many} services", measured="; ".join(told))


def unchanged(setting: Setting) -> Iterator[Figure]:
    """Both bring a service up, side by side; then what plans that change nothing take."""
    ready = {what: racers(setting, 1, name) for what, name in ((WARM, "kept"), (TERRAFORM, "other"))}
    progress("terraform: both bring one service up, which takes the provider's waits")
    up = ["pulumi", "up", "--stack", "kept", "--yes", "--skip-preview", "--non-interactive"]
    apply = [setting.terraform, "apply", "-auto-approve", "-no-color", "-input=false"]
    with ThreadPoolExecutor(2) as pool:
        done = [
            pool.submit(setting.run, WARM, up, ready[WARM].pulumi, UP_SECONDS),
            pool.submit(setting.run, TERRAFORM, apply, ready[TERRAFORM].terraform, UP_SECONDS),
        ]
        for each in done:
            each.result()
    for refresh in (False, True):
        progress("terraform: plans that change nothing" + (", reading AWS first" if refresh else ""))
        runs: Runs = {}
        for _ in range(FEWEST_ROUNDS):
            ready[TERRAFORM].round(runs, 0, refresh=refresh, who=[TERRAFORM])
            ready[WARM].round(runs, 0, refresh=refresh, who=[COLD, WARM])
        yield from figures_of("nothing to change, AWS is " + ("read first" if refresh else "not read"), runs)


def versions(setting: Setting) -> str:
    """What raced."""
    said = _said([setting.terraform, "version", "-json"], setting.environments[TERRAFORM])
    terraform = json.loads(said)["terraform_version"]
    pulumi = _said(["pulumi", "version"], setting.environments[WARM]).strip()
    provider = terraform_provider()
    return f"Terraform {terraform}, Pulumi {pulumi}, {provider.name if provider else ''}"


def _said(command: list[str], environment: Environment) -> str:
    done = subprocess.run(  # noqa: S603 - the engines
        command, env=dict(environment), cwd=PROJECT, capture_output=True, text=True, check=True
    )
    return done.stdout


def race() -> Iterator[Figure]:
    """All of it, on an embedded cloud of its own."""
    with engine.scratch_cloud() as environment:
        setting = place(Path(environment["SWITCHYARD_HOME"]).parent, environment)
        load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
        yield Figure(what=versions(setting), measured=f"{os.cpu_count()} cores, load {load}")
        sizes = {services: racers(setting, services, f"of-{services}") for services in SIZES}
        runs = raced(sizes)
        for services, one in sizes.items():
            yield from figures_of(f"{counted(services)}, {one.resources} new resources", runs[services])
        yield from growth(sizes, runs)
        yield from unchanged(setting)

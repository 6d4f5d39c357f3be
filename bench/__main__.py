"""Prints every figure beside its goal: all of them, or those of some sections.

Exit status: 0 when all was measured, 1 when something was not; a goal that is missed is told and is no error,
for a busy machine misses many.
"""

import argparse
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from importlib import metadata

from rich.console import Console

from bench import engine, evaluation, releases, report, terraform, traffic
from bench.engine import SharedCloud
from bench.results import Figure, collected, table_of

Section = Callable[[SharedCloud], Iterable[Figure]]


def bring_up(cloud: SharedCloud) -> Iterator[Figure]:
    """How long `make up` takes."""
    yield from engine.up_figures(cloud.up("local"))


def releasing(cloud: SharedCloud) -> Iterator[Figure]:
    """Whole releases, their steps, and the way back."""
    cloud.up("local")
    yield from releases.rows(releases.on_the_cloud_of(cloud.environment))


def previewing(cloud: SharedCloud) -> Iterator[Figure]:
    """Previews of the largest stack."""
    cloud.up("prod")
    yield from engine.preview_figures("prod", cloud.environment)


# The race comes before what leaves a cloud running beside it.
SECTIONS: Mapping[str, tuple[Section, str]] = {
    "evaluation": (lambda _: evaluation.figures(), "the program by itself, 1 minute"),
    "report": (lambda _: report.figures(), "reports of a thousand changes, seconds"),
    "terraform": (lambda _: terraform.race(), "previews beside terraform plan, 9 minutes"),
    "traffic": (lambda _: traffic.figures(), "what the load balancer costs, 2 minutes"),
    "up": (bring_up, "bringing a stack up, 2 minutes"),
    "releases": (releasing, "whole releases, 6 minutes"),
    "previews": (previewing, "previews of prod that change nothing, 4 minutes"),
}


def main() -> int:
    """Runs the sections; returns the exit status."""
    listed = "\n".join(f"  {name:11} {what}" for name, (_, what) in SECTIONS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog=f"sections, in their order:\n{listed}\nTimes are those of two free cores.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help="default: all")
    asked = parser.parse_args().sections
    unknown = [name for name in asked if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {', '.join(unknown)}; there are: {', '.join(SECTIONS)}")
    wanted = [name for name in SECTIONS if not asked or name in asked]
    # What has been started ends with us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    console = Console(width=160)
    console.print(machine())
    figures: list[Figure] = []
    missing: list[str] = []
    try:
        with SharedCloud() as cloud:
            for name in wanted:
                found, whole = collected(name, partial(SECTIONS[name][0], cloud))
                figures += found
                missing += [] if whole else [name]
    finally:
        # Also what there is at Ctrl-C.
        console.print(table_of(figures))
    goals = [figure.met for figure in figures if figure.met is not None]
    console.print(f"{sum(goals)} of {len(goals)} goals met" + f"; load {load()}")
    if missing:
        console.print(f"Not measured, or not all of it: {', '.join(missing)}")
    return 1 if missing else 0


def load() -> str:
    """How busy the machine was in the last 1, 5 and 15 minutes."""
    return ", ".join(f"{value:.1f}" for value in os.getloadavg())


def machine() -> str:
    """What it runs on."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("pulumi", "pulumi-aws", "moto"))
    return (
        f"{os.cpu_count()} cores, load {load()}, {platform.machine()}, "
        f"Python {platform.python_version()}, {versions}"
    )


if __name__ == "__main__":
    sys.exit(main())

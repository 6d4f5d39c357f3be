"""Prints every figure beside its goal. Takes some twenty minutes: the provider and releases wait a lot."""

import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import engine, releases


def evaluated(stack: str, services: int | None = None) -> dict[str, Any]:
    """The figures of one evaluation in a process of its own."""
    arguments = [stack, *([str(services)] if services else [])]
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-m", "bench.evaluation", *arguments], capture_output=True, text=True, check=True
    )
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def evaluation(table: Table) -> None:
    """Adds what needs no cloud."""
    prod = evaluated("prod")
    table.add_row(
        f"evaluation of prod under mocks ({prod['resources']} resources)",
        f"{prod['evaluation']:.2f} s, imports {prod['imports']:.2f} s",
        "≤ 1.5 s over the imports",
    )
    table.add_row("memory of the program, prod", f"{prod['memory']:.0f} MiB", "≤ 200 MiB")
    few, many = evaluated("local", 4), evaluated("local", 100)
    each = [1000 * figures["evaluation"] / figures["resources"] for figures in (few, many)]
    table.add_row(
        f"per resource, {few['resources']} against {many['resources']} resources",
        f"{each[0]:.2f} ms against {each[1]:.2f} ms: {each[1] / each[0]:.2f} times",
        "≤ 1.5 times",
    )
    table.add_row(f"memory, {many['resources']} resources", f"{many['memory']:.0f} MiB", "")


def on_the_embedded_cloud(table: Table) -> None:
    """Adds what needs the engine."""
    with engine.scratch_cloud() as environment:
        up = engine.bring_up("local", environment)
        table.add_row("make up, engine in the cache", f"{up['total']:.0f} s", "≤ 180 s")
        table.add_row("of which not the provider's waiting", f"{up['own']:.0f} s", "≤ 30 s")
        releases.rows(table, releases.on_the_cloud_of(environment))
        engine.bring_up("prod", environment)
        seconds = engine.previews("prod", environment)
        table.add_row("preview of prod, nothing to change", engine.median(seconds), "≤ 4 s")


def main() -> None:
    """Runs all of it."""
    console = Console(width=120)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("pulumi", "pulumi-aws", "moto"))
    console.print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {versions}"
    )
    table = Table("what", "measured", "goal")
    evaluation(table)
    on_the_embedded_cloud(table)
    console.print(table)


if __name__ == "__main__":
    main()

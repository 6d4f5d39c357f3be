"""Times one evaluation of the program under mocks, in this process; run as a process of its own.

Usage: python -m bench.evaluation STACK [SERVICES]. Prints JSON: seconds of CPU for imports and for the
evaluation, how many resources were registered, and the peak memory in MiB.
"""

import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.results import Figure, judged
from bench.services import config_of


def figures() -> Iterator[Figure]:
    """What needs no cloud."""
    prod = evaluated("prod")
    yield judged(
        f"evaluation of prod under mocks ({prod['resources']} resources)",
        prod["evaluation"],
        f"{prod['evaluation']:.2f} s, imports {prod['imports']:.2f} s",
        1.5,
        "≤ 1.5 s over the imports",
    )
    yield judged("memory of the program, prod", prod["memory"], f"{prod['memory']:.0f} MiB", 200, "≤ 200 MiB")
    few, many = evaluated("local", 4), evaluated("local", 100)
    each = [1000 * found["evaluation"] / found["resources"] for found in (few, many)]
    yield judged(
        f"per resource, {few['resources']} against {many['resources']} resources",
        each[1] / each[0],
        f"{each[0]:.2f} ms against {each[1]:.2f} ms: {each[1] / each[0]:.2f} times",
        1.5,
        "≤ 1.5 times",
    )
    yield Figure(what=f"memory, {many['resources']} resources", measured=f"{many['memory']:.0f} MiB")


def evaluated(stack: str, services: int | None = None) -> dict[str, Any]:
    """The figures of one evaluation in a process of its own."""
    arguments = [stack, *([str(services)] if services else [])]
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-m", "bench.evaluation", *arguments], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main(stack: str, services: int | None) -> dict[str, Any]:
    """The figures of one evaluation; with so many `services`."""
    start = time.process_time()
    from infra import platform
    from infra.arguments import Stack
    from infra.load import parse
    from tests.unit.harness import deploy

    imported = time.process_time()
    config = config_of(stack, services)
    settings = parse(config, f"Pulumi.{stack}.yaml")
    args = Stack(project="switchyard", name=stack, account_id=settings.accounts[0], settings=settings)
    answers: dict[str, dict[str, list[str]]] = {
        "aws:ssm/getParametersByPath:getParametersByPath": {"names": [], "values": []}
    }
    begun = time.process_time()
    deployment = deploy(lambda: platform.deploy(args), answers=answers, stack=stack)
    done = time.process_time()
    return {
        "imports": imported - start,
        "evaluation": done - begun,
        "resources": len(deployment.resources),
        "memory": peak_mib(),
    }


def peak_mib() -> float:
    """The most memory that this program has had, in MiB. Linux's getrusage begins with the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        if found:
            return int(found[1]) / 1024
    # Elsewhere it is in bytes, and the process's own.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


if __name__ == "__main__":
    count = int(sys.argv[2]) if len(sys.argv) > 2 else None
    sys.stdout.write(json.dumps(main(sys.argv[1], count)) + "\n")

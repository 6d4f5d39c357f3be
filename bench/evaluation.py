"""Times one evaluation of the program under mocks, in this process; run as a process of its own.

Usage: python -m bench.evaluation STACK [SERVICES]. Prints JSON: seconds of CPU for imports and for the
evaluation, how many resources were registered, and the peak memory in MiB.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import yaml


def main(stack: str, services: int | None) -> dict[str, Any]:
    """The figures of one evaluation; `services` copies the stack's last service until there are so many."""
    start = time.process_time()
    from infra import platform
    from infra.arguments import Stack
    from infra.load import parse
    from tests.unit.harness import deploy

    imported = time.process_time()
    config = yaml.safe_load((Path(__file__).parents[1] / f"Pulumi.{stack}.yaml").read_text())["config"]
    blocks = config["switchyard:services"]
    pattern = list(blocks.values())[-1]
    for number in range(len(blocks), services or 0):
        route = {**pattern["route"], "priority": 100 + number}
        blocks[f"service-{number}"] = {**pattern, "image_repository": f"service-{number}", "route": route}
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
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    count = int(sys.argv[2]) if len(sys.argv) > 2 else None
    sys.stdout.write(json.dumps(main(sys.argv[1], count)) + "\n")

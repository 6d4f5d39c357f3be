"""A release whose process kills itself with SIGKILL at a step boundary: as soon as that step is kept.

python killed_release.py STATE REQUEST, with the request as JSON. The lease is short, so that nobody has to
wait long for it to end. It is run in a checkout of the test's, hence no package.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from release.clock import SystemClock
from release.model import Phase, Release
from release.plan import Request
from release.record import Entry
from release.store import Store, this_process
from release.table import DynamoTable
from switchyard.releases import ReleasedStack

LEASE_SECONDS = 5.0

# What was kept when the process dies.
STATES: dict[str, Callable[[Release], bool]] = {
    "preparing": lambda release: release.phase is Phase.PREPARING,
    "scaling": lambda release: release.phase is Phase.SCALING,
    # What it intends is kept, and the load balancer not yet told.
    "intending": lambda release: release.phase is Phase.SHIFTING and not release.confirmed,
    "baking": lambda release: release.phase is Phase.BAKING,
    # The way back was begun, and no traffic moved yet.
    "rolling-back": lambda release: release.phase is Phase.ROLLING_BACK,
}


class DeadlyStore(Store):
    """Ends the process, without any farewell, once a release in this state is kept."""

    deadly: Callable[[Release], bool]

    def save(self, release: Release, entries: Sequence[Entry]) -> None:
        """Keeps it, and may be the last thing that the process does."""
        super().save(release, entries)
        if self.deadly(release):
            os.kill(os.getpid(), signal.SIGKILL)


class DeadlyStack(ReleasedStack):
    """The stack with such a store."""

    @cached_property
    def store(self) -> Store:
        """Its releases."""
        table = DynamoTable(self.clients.dynamodb, self.parts.release_table)
        return DeadlyStore(table, this_process(), SystemClock().now, LEASE_SECONDS)


def say(line: str) -> None:
    """One line of progress."""
    sys.stderr.write(line + "\n")


def main() -> None:
    """Releases, for as long as it lives."""
    state, request = sys.argv[1], json.loads(sys.argv[2])
    DeadlyStore.deadly = staticmethod(STATES[state])
    stack = DeadlyStack("local")
    driver = stack.driver(say, _aborting(stack) if state == "rolling-back" else (lambda _: None))
    ended = driver.start(Request(actor="test", kind="partial", **request))
    sys.exit(f"it was to die at {state}, and it ended {ended.code.name}: {ended.reason}")


def _aborting(stack: ReleasedStack) -> Callable[[Any], None]:
    """Has the release aborted once it bakes."""

    def observe(event: Any) -> None:
        if event["kind"] == "phase" and event["phase"] == Phase.BAKING.value:
            release = stack.store.current()
            assert release is not None
            stack.store.order("abort", release, "test")

    return observe


if __name__ == "__main__":
    main()

"""Cutovers, each of them taken back in its bake: python rounds.py IMAGE…

One process releases, and so starts only once; the order to go back comes from another owner, as it would
from another machine. Prints one line of JSON for each image. It is run in a checkout of the test's, hence
no package.
"""

import json
import sys
import threading
from collections.abc import Mapping
from typing import Any

from release.plan import Request
from release.run import Ended
from switchyard.releases import ReleasedStack

STACK, SERVICE = "local", "api"
# Nobody waits for its end.
BAKE_SECONDS = 3600
# So long the new version has all of the traffic: longer than a slow request takes.
TAKEN_BACK_AFTER_SECONDS = 3


def say(line: str) -> None:
    """One line of progress."""
    sys.stderr.write(line + "\n")


class Round:
    """One release, and the order to take it back."""

    def __init__(self, stack: ReleasedStack, other: ReleasedStack) -> None:
        self._driver = stack.driver(say, self._observe)
        self._other = other
        self._aborted: Ended | None = None
        self._timer = threading.Timer(TAKEN_BACK_AFTER_SECONDS, self._abort)

    def play(self, image: str) -> Mapping[str, Any]:
        """How the release and the order ended."""
        started = self._driver.start(
            Request(
                kind="partial",
                images={SERVICE: image},
                actor="one",
                strategy="all-at-once",
                bake_seconds=BAKE_SECONDS,
            )
        )
        # A release that never came to its bake has nobody who takes it back.
        self._timer.cancel()
        if self._timer.ident is not None:
            self._timer.join()
        return {
            "number": started.release.number if started.release else None,
            "reason": started.reason,
            "started": started.code.name,
            "aborted": self._aborted.code.name if self._aborted else None,
        }

    def _observe(self, event: Mapping[str, Any]) -> None:
        if event["kind"] == "phase" and event["phase"] == "BAKING":
            self._timer.start()

    def _abort(self) -> None:
        self._aborted = self._other.driver(say).abort("another", reason="seen enough")


def main() -> None:
    """Plays a round for each image."""
    stack, other = ReleasedStack(STACK), ReleasedStack(STACK)
    for image in sys.argv[1:]:
        sys.stdout.write(json.dumps(Round(stack, other).play(image)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

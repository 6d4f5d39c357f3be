"""The real time."""

import threading
import time
from datetime import UTC, datetime


class SystemClock:
    """The machine's clock. A wait in which `stop` is set ends at once; later ones take their time again.

    stop: the driver's own event, so that Ctrl-C need not wait for the next poll.
    """

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = stop or threading.Event()

    def now(self) -> datetime:
        """The time, aware, UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Waits."""
        if self._stop.is_set():
            # What still has to be done between two actions must not turn into a busy loop.
            time.sleep(seconds)
        else:
            self._stop.wait(seconds)

"""The real clock."""

import threading
import time
from datetime import timedelta

from release.clock import SystemClock


def test_the_time_is_aware_and_utc() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)


def test_a_wait_ends_when_the_process_is_to_stop() -> None:
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()
    began = time.monotonic()
    SystemClock(stop).sleep(60)
    assert time.monotonic() - began < 30


def test_waits_after_that_are_no_busy_loop() -> None:
    stop = threading.Event()
    stop.set()
    began = time.monotonic()
    SystemClock(stop).sleep(0.1)
    assert time.monotonic() - began >= 0.09

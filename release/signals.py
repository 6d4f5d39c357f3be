"""Ctrl-C and SIGTERM."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from release.driver import Driver


@contextmanager
def interruptible(driver: Driver) -> Iterator[None]:
    """While it lasts, Ctrl-C and SIGTERM end the driver between two actions; a second one at once."""

    def asked(number: int, frame: FrameType | None) -> None:
        del frame
        if number in heard:
            raise KeyboardInterrupt
        heard.add(number)
        driver.interrupt()

    heard: set[int] = set()
    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

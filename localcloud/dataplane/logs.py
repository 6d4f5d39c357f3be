"""What a task writes, in the log group that its definition names."""

import threading
import time
from collections import deque
from typing import IO, Any

from moto.logs.models import logs_backends

# Docker's awslogs driver cuts longer lines into events of this size.
LINE_BYTES = 16 * 1024
# What waits to be sent; beyond it the oldest go, as in the non-blocking mode of the driver.
WAITING_LINES = 10_000
# An event's limit at CloudWatch is far above; this is how many of a stream a laptop keeps.
KEPT_EVENTS = 20_000


class LogUnavailable(Exception):
    """The log group is not there."""


class LogStream:
    """One stream: lines come in from one thread and go out in batches from another."""

    def __init__(self, *, account: str, region: str, group: str, stream: str, create_group: bool) -> None:
        """Makes the stream. Raises LogUnavailable without its group, unless that is to be made."""
        self._backend: Any = logs_backends[account][region]
        self._group, self._stream = group, stream
        if group not in self._backend.groups:
            if not create_group:
                raise LogUnavailable(f"The specified log group does not exist: {group}")
            self._backend.create_log_group(group, {})
        self._backend.ensure_log_stream(group, stream)
        self._lines: deque[tuple[int, str]] = deque(maxlen=WAITING_LINES)
        self._reader: threading.Thread | None = None

    def follow(self, output: IO[bytes]) -> None:
        """Reads until the end in a thread of its own."""
        self._reader = threading.Thread(target=self._read, args=(output,), daemon=True)
        self._reader.start()

    def _read(self, output: IO[bytes]) -> None:
        while line := output.readline(LINE_BYTES):
            self.add(line.decode(errors="replace").rstrip("\r\n"))

    def add(self, line: str) -> None:
        """A line of now."""
        # CloudWatch takes no empty event.
        self._lines.append((int(time.time() * 1000), line or " "))

    def flush(self) -> None:
        """Sends what has come in. A group that was deleted in the meantime loses the lines."""
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        # A clock that was set back must not lose the batch.
        batch = [{"timestamp": stamp, "message": message} for stamp, message in sorted(lines, key=_stamp)]
        group = self._backend.groups.get(self._group)
        if batch and group is not None and self._stream in group.streams:
            self._backend.put_log_events(self._group, self._stream, batch)
            stream = group.streams[self._stream]
            if len(stream.events) > KEPT_EVENTS:
                stream.events = stream.events[-KEPT_EVENTS:]

    def close(self, seconds: float) -> None:
        """Waits for the end of the output, no longer than told, and sends the rest."""
        if self._reader is not None:
            self._reader.join(seconds)
        self.flush()


def _stamp(line: tuple[int, str]) -> int:
    return line[0]

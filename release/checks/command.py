"""A user's own command: run in a process group of its own, ended with all of it, its last words kept."""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from release.masking import masked, secrets_of

GRACE_SECONDS = 3.0
# What is kept of the output while the command runs, and what of that a person is shown.
KEPT_BYTES = 64 * 1024
SHOWN_LINES = 3
SHOWN_CHARACTERS = 300


@dataclass(frozen=True, kw_only=True)
class Run:
    """How it ended.

    status: its exit status; None if it was ended for taking too long, or could not be started.
    words: the last lines of its output, without secrets; why it has no status, if it has none.
    """

    status: int | None
    words: str


def run(command: Sequence[str], *, variables: Mapping[str, str], timeout_seconds: float) -> Run:
    """Runs it with the variables beside those of this process. Never raises for what the command does."""
    environment = {**os.environ, **variables}
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own command, from the stack's settings
            list(command),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Run(status=None, words=f"{command[0]} could not be started: {cause}")
    tail = _Tail(process.stdout)
    try:
        status = process.wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        status = None
    finally:
        # Also what it left behind in the background, and also when this process is interrupted.
        _end_group(process)
    said = shown(tail.text(), secrets_of(environment))
    if status is None:
        too_long = f"not done after {timeout_seconds:g} s, so it was ended"
        return Run(status=None, words=f"{too_long}; it said: {said}" if said else too_long)
    return Run(status=status, words=said)


def shown(output: str, secrets: Sequence[str]) -> str:
    """The last lines of an output in one, without secrets and control characters."""
    # Masked as a whole first: cut in two, a secret would not be known any more.
    lines = [line.strip() for line in masked(output, secrets).splitlines() if line.strip()]
    text = " | ".join(lines[-SHOWN_LINES:])
    text = "".join(character for character in text if character.isprintable())
    return text if len(text) <= SHOWN_CHARACTERS else "…" + text[1 - SHOWN_CHARACTERS :]


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError, PermissionError):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class _Tail:
    """Reads a pipe to its end, so that its writer never waits, and keeps the last of it."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        assert pipe is not None  # noqa: S101 - asked for above
        self._pipe = pipe
        self._kept = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), 8192):
                self._kept = (self._kept + chunk)[-KEPT_BYTES:]

    def text(self) -> str:
        # What left the group may hold the pipe open for ever; it has nothing to say any more.
        self._reader.join(GRACE_SECONDS)
        return self._kept.decode(errors="replace")

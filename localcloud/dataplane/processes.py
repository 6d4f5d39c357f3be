"""A task's process: started with nothing but its own environment, stopped as a container is.

Memory is not limited: an address space (RLIMIT_AS) is far larger than what a program uses, so a limit on it
would end programs that ECS runs. CPU shares are not kept either.
"""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from localcloud.dataplane import keeper

# Below the ports that a system lends to outgoing connections, so that none of those takes one first.
PORTS = range(20000, 30000)
_INTERPRETERS = ("python", "python3", f"python3.{sys.version_info.minor}")


def free_port(taken: frozenset[int] = frozenset()) -> int:
    """A loopback port that nobody listens on, none of `taken`. Raises OSError if there is none."""
    start = random.randrange(len(PORTS))  # noqa: S311 - no secret
    for index in range(len(PORTS)):
        port = PORTS[(start + index) % len(PORTS)]
        if port in taken:
            continue
        with socket.socket() as candidate, contextlib.suppress(OSError):
            candidate.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no free port from {PORTS.start} to {PORTS.stop - 1}; stop some tasks")


def listens(port: int) -> bool:
    """Whether something accepts connections on the loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def on_this_machine(command: Sequence[str], root: Path) -> list[str]:
    """The command with the image's paths made real, and this interpreter for `python`."""
    found = [in_image(word, root) for word in command]
    if found and found[0] in _INTERPRETERS:
        found[0] = sys.executable
    return found


def in_image(text: str, root: Path) -> str:
    """Absolute paths that the image has, alone or in a list with colons, as they are on this machine."""
    return ":".join(_real(part, root) for part in text.split(":"))


def _real(path: str, root: Path) -> str:
    inside = root / path.lstrip("/")
    return str(inside) if path.startswith("/") and path.strip("/") and inside.exists() else path


class TaskProcess:
    """A running command with a keeper around it, which ends it when this process ends."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], directory: Path) -> None:
        self._keeper = subprocess.Popen(  # noqa: S603 - the image's own command
            [sys.executable, "-S", "-E", keeper.__file__, *command],
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    @property
    def pid(self) -> int:
        """Of the keeper; the command and all that it starts are its descendants."""
        return self._keeper.pid

    @property
    def output(self) -> IO[bytes]:
        """What the command and its children write, to be read by one thread."""
        assert self._keeper.stdout is not None  # noqa: S101 - asked for above
        return self._keeper.stdout

    def status(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._keeper.poll()

    def wait(self, seconds: float) -> int | None:
        """The exit status, or None if it still runs after so long."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._keeper.wait(seconds)
        return None

    def tell(self, number: signal.Signals) -> None:
        """Sends a signal; SIGKILL goes to the whole group."""
        assert self._keeper.stdin is not None  # noqa: S101 - asked for above
        with contextlib.suppress(OSError, ValueError):
            os.write(self._keeper.stdin.fileno(), bytes([number]))

    def stop(self, number: signal.Signals, seconds: float) -> int:
        """Stops it: the signal, then SIGKILL for what still runs after so long. Returns the exit status."""
        self.tell(number)
        if (status := self.wait(seconds)) is None:
            self.tell(signal.SIGKILL)
            status = self._keeper.wait()
        return status

    def close(self) -> None:
        """Lets go of the pipes once it has ended."""
        for pipe in (self._keeper.stdin, self._keeper.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

"""Runs a task's command, hands on the signals that it is told to, and ends all of it with the cloud.

Each byte on the standard input is the number of a signal: SIGKILL goes to the command's whole process group,
any other to the command alone, as a container's first process gets it. The end of the input means that the
cloud has gone, however it died: then the group goes too. The exit status is the command's own, 128 and the
number for a signal, as in a container.

Usage: python -S keeper.py COMMAND [ARG ...]; output and environment are handed on.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys

# For a command that the cloud left behind; a stop that the cloud asks for has its own time.
GRACE_SECONDS = 2.0
CANNOT_RUN = 127


def main(command: list[str]) -> int:
    """Returns the exit status."""
    # What ends the cloud's own group by hand must not take the keeper before its command.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
    except OSError as error:
        print(f"{command[0]} can't be run: {error.strerror}", file=sys.stderr)  # noqa: T201 - the task's log
        return CANNOT_RUN
    try:
        status = _watch(child)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _end(child)
    return status if status >= 0 else 128 - status


def _watch(child: "subprocess.Popen[bytes]") -> int:
    """The command's status, once it has ended by itself or by a signal; 0 if the cloud went first."""
    ended = os.pidfd_open(child.pid) if hasattr(os, "pidfd_open") else None
    watched = [0] if ended is None else [0, ended]
    while child.poll() is None:
        readable, _, _ = select.select(watched, [], [], None if ended is not None else 0.1)
        if 0 in readable:
            told = os.read(0, 1)
            if not told:
                return 0
            _signal(child, signal.Signals(told[0]))
    return child.returncode


def _signal(child: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        if number == signal.SIGKILL:
            os.killpg(child.pid, number)
        else:
            child.send_signal(number)


def _end(child: "subprocess.Popen[bytes]") -> None:
    """What is left of the group: a moment to end well if the command still runs, then none."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(GRACE_SECONDS)
        os.killpg(child.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

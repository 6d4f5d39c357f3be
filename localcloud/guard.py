"""Runs a command and ends its whole process group when the guard's standard input closes.

Terraform's providers outlive a killed parent. Whoever starts one does it through this guard and keeps
the other end of the pipe: however that process dies, the kernel closes the pipe, and the group goes.

The command has a temporary folder of its own, which goes with it: killed, it leaves its sockets there.

Usage: python -S guard.py COMMAND [ARG ...]; the command's standard output is the guard's own.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile

GRACE_SECONDS = 3.0


def main(command: list[str]) -> int:
    """Returns the command's exit status, or 0 when it was ended with its owner."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The command has a group of its own: what ends the guard's group would pass it by.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="switchyard-", ignore_cleanup_errors=True) as scratch:
        child = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.DEVNULL, start_new_session=True, env={**os.environ, "TMPDIR": scratch}
        )
        try:
            return _watch(child)
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            end_group(child)


def _watch(child: "subprocess.Popen[bytes]") -> int:
    ended = os.pidfd_open(child.pid) if hasattr(os, "pidfd_open") else None
    watched = [0] if ended is None else [0, ended]
    while child.poll() is None:
        readable, _, _ = select.select(watched, [], [], None if ended is not None else 0.5)
        if 0 in readable and not os.read(0, 1):
            return 0
    return child.returncode


def end_group(child: "subprocess.Popen[bytes]") -> None:
    """SIGTERM to the group, SIGKILL to what is left of it after the grace."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_SECONDS)
        os.killpg(child.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

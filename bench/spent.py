"""Runs a command and says what it took: seconds, and the CPU seconds of all that it started.

python spent.py TIMEOUT_SECONDS OUTPUT_FILE COMMAND …: prints JSON. On Linux whatever the command leaves
behind is waited for and counted too (PR_SET_CHILD_SUBREAPER): both engines start providers, and end them in
ways of their own.
"""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

LEFT_BEHIND_SECONDS = 10.0
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, kw_only=True)
class Spent:
    """seconds: by the clock; cpu: user and system seconds; output: all that it said."""

    seconds: float
    cpu: float
    output: str


class Failed(RuntimeError):
    """The command did not end well."""


def spent(
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str], timeout_seconds: float
) -> Spent:
    """What the command took. Raises Failed."""
    output = folder / ".output"
    with subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, __file__, f"{timeout_seconds:g}", str(output), *command],
        cwd=folder,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            told, wrong = process.communicate()
        except BaseException:
            # It ends what it has started.
            process.terminate()
            raise
    said = output.read_text(errors="replace")
    if process.returncode != 0:
        last = "\n".join(said.splitlines()[-15:])
        raise Failed(f"{' '.join(command)} failed: {wrong.strip()}\n{last}")
    figures = json.loads(told)
    return Spent(seconds=figures["seconds"], cpu=figures["cpu"], output=said)


def cpu_of(root: psutil.Process) -> float:
    """CPU seconds so far of a process, all below it, and those below it that have ended."""
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
            total += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return total


def main(timeout: float, output: str, command: list[str]) -> int:
    """Returns the command's exit status, or 124 when it took too long."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    begun = time.monotonic()
    try:
        with Path(output).open("wb") as file:
            process = subprocess.Popen(  # noqa: S603 - what we were asked for
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
            )
        status = process.wait(timeout)
        seconds = time.monotonic() - begun
        await_those_left_behind()
    except subprocess.TimeoutExpired:
        sys.stderr.write(f"it took more than {timeout:g} s")
        return 124
    finally:
        end_all_below()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    sys.stdout.write(json.dumps({"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime}))
    if status:
        sys.stderr.write(f"exit status {status}")
    return status


def await_those_left_behind() -> None:
    """Until nothing below this process is left, or it has had its time."""
    deadline = time.monotonic() + LEFT_BEHIND_SECONDS
    with suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.02)


def end_all_below() -> None:
    """Kills what this process has started, and what that has."""
    below = psutil.Process().children(recursive=True)
    for process in below:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(below, timeout=5)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2], sys.argv[3:]))

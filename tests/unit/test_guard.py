"""The guard as a real process: whatever ends first, nothing of the group is left."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from localcloud import guard

WAIT_SECONDS = 30

# A child and a grandchild; both say who they are and outlive any test.
FAMILY = """
import os, signal, subprocess, sys, time
grandchild = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
{first}
print(os.getpid(), grandchild.pid, flush=True)
{then}
"""
SLEEPS = FAMILY.format(first="", then="time.sleep(600)")
STUBBORN = FAMILY.format(first="signal.signal(signal.SIGTERM, signal.SIG_IGN)", then="time.sleep(600)")
LEAVES = FAMILY.format(first="", then="sys.exit(0)")

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a guarded Python program; kills what a failing test leaves."""
    started: list[subprocess.Popen[str]] = []

    def run(program: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-S", guard.__file__, sys.executable, "-S", "-c", program]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield run
    for process in started:
        with contextlib.suppress(psutil.Error):
            for left in psutil.Process(process.pid).children(recursive=True):
                left.kill()
        process.kill()
        process.wait(WAIT_SECONDS)
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()


def family(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The guarded processes, once they have said who they are; without those that have ended by then."""
    assert process.stdout
    pids = process.stdout.readline().split()
    assert len(pids) == 2
    members = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            members.append(psutil.Process(int(pid)))
    return members


def close(process: "subprocess.Popen[str]") -> None:
    assert process.stdin
    process.stdin.close()


def all_gone(members: list[psutil.Process]) -> bool:
    """Whether they end in time. What nobody waits for may stay as a zombie: that has ended."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (alive := [process for process in members if lives(process)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in alive:
        process.kill()
    return not alive


def lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def test_the_whole_group_ends_when_the_owner_closes_the_pipe(start: Start) -> None:
    process = start(STUBBORN)
    members = family(process)
    close(process)
    assert process.wait(WAIT_SECONDS) == 0
    assert all_gone(members), "a child that ignores SIGTERM gets SIGKILL, and so does the grandchild"


def test_the_whole_group_ends_when_the_owner_is_killed() -> None:
    owner_program = f"""
import subprocess, sys, time
command = [sys.executable, "-S", {guard.__file__!r}, sys.executable, "-S", "-c", {SLEEPS!r}]
process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
print(process.stdout.readline(), end="", flush=True)
time.sleep(600)
"""
    command = [sys.executable, "-S", "-c", owner_program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        members = family(owner)
        owner.kill()
    assert all_gone(members), "the kernel closes the pipe, however the owner died"


def test_what_the_command_leaves_behind_ends_with_it(start: Start) -> None:
    process = start(LEAVES)
    members = family(process)
    assert process.wait(WAIT_SECONDS) == 0
    assert all_gone(members)


def test_the_group_ends_when_the_guard_is_terminated(start: Start) -> None:
    process = start(SLEEPS)
    members = family(process)
    process.send_signal(signal.SIGTERM)
    process.wait(WAIT_SECONDS)
    assert all_gone(members), "the group is not the guard's own: its signals do not reach it"


def test_ctrl_c_is_left_to_the_owner(start: Start) -> None:
    process = start(SLEEPS)
    members = family(process)
    process.send_signal(signal.SIGINT)
    assert all(member.is_running() for member in members), "the engine needs its provider to stop in order"
    close(process)
    assert process.wait(WAIT_SECONDS) == 0, "it ended by the pipe, not by the signal"
    assert all_gone(members)


def test_data_on_the_pipe_is_no_end(start: Start) -> None:
    process = start(SLEEPS)
    members = family(process)
    assert process.stdin
    process.stdin.write("data")
    process.stdin.flush()
    members[0].kill()
    assert process.wait(WAIT_SECONDS) == 256 - signal.SIGKILL, "the command's end, not that of the pipe"
    assert all_gone(members)


@pytest.mark.parametrize("status", [0, 1, 7])
def test_the_exit_status_is_the_commands(start: Start, status: int) -> None:
    assert start(f"raise SystemExit({status})").wait(WAIT_SECONDS) == status


def test_output_is_passed_through_and_input_is_kept_back(start: Start) -> None:
    process = start("import sys; print('port 1234'); print(repr(sys.stdin.read()))")
    assert process.stdout
    assert process.stdout.read() == "port 1234\n''\n", "a command that read the pipe would swallow its end"

"""A task's process for real: signals, exit statuses, and that nothing is left of it."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from localcloud.dataplane.processes import PORTS, TaskProcess, free_port, in_image, listens, on_this_machine

WAIT_SECONDS = 20

Run = Callable[..., TaskProcess]

GRACEFUL = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("up", flush=True)
time.sleep(600)
"""
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Runs a Python program as a task; kills what a failing test leaves."""
    started: list[TaskProcess] = []

    def start(program: str, **environment: str) -> TaskProcess:
        process = TaskProcess([sys.executable, "-S", "-c", program], environment, tmp_path)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.status() is None:
            process.stop(signal.SIGKILL, 0)
        process.close()


def gone(pid: int) -> bool:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.Error:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("status", [0, 3, 255])
def test_the_exit_status_is_the_commands_own(run: Run, status: int) -> None:
    assert run(f"import sys; sys.exit({status})").wait(WAIT_SECONDS) == status


def test_a_signal_is_a_status_as_in_a_container(run: Run) -> None:
    assert run("import os; os.kill(os.getpid(), 11)").wait(WAIT_SECONDS) == 139


def test_a_program_that_is_not_there_is_127_and_says_so(tmp_path: Path) -> None:
    process = TaskProcess(["no-such-program"], {}, tmp_path)
    assert process.wait(WAIT_SECONDS) == 127
    assert process.output.read() == b"no-such-program can't be run: No such file or directory\n"
    process.close()


def test_a_stop_lets_the_command_end_well(run: Run) -> None:
    process = run(GRACEFUL)
    assert process.output.readline() == b"up\n"
    assert process.stop(signal.SIGTERM, WAIT_SECONDS) == 7


def test_a_command_that_will_not_stop_is_killed_with_its_children(run: Run) -> None:
    process = run(STUBBORN)
    child = int(process.output.readline())
    assert process.stop(signal.SIGTERM, 0.2) == 137
    assert gone(child)


def test_children_do_not_outlive_a_command_that_ends(run: Run) -> None:
    process = run(STUBBORN.replace("time.sleep(600)\n", "sys.exit(0)\n"))
    child = int(process.output.readline())
    assert process.wait(WAIT_SECONDS) == 0
    assert gone(child)


def test_the_environment_is_what_was_given_and_nothing_else(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the user")
    process = run("import os; print(sorted(set(os.environ) - {'LC_CTYPE'}))", ONLY="this")
    assert process.output.read() == b"['ONLY']\n"


def test_a_task_dies_with_whoever_started_it_even_by_sigkill(tmp_path: Path) -> None:
    owner = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from localcloud.dataplane.processes import TaskProcess
process = TaskProcess([sys.executable, "-S", "-c", {STUBBORN!r}], {{}}, Path({str(tmp_path)!r}))
print(process.pid, int(process.output.readline()), flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", owner], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        family = [int(pid) for pid in process.stdout.readline().split()]
        assert len(family) == 2
        process.kill()
    assert [pid for pid in family if not gone(pid)] == []


def test_a_free_port_is_free_and_not_a_taken_one(run: Run) -> None:
    port = free_port()
    assert not listens(port)
    server = run(f"""
import socket, time
server = socket.create_server(("127.0.0.1", {port}))
print("up", flush=True)
time.sleep(600)
""")
    assert server.output.readline() == b"up\n"
    assert listens(port)
    assert free_port(frozenset(PORTS) - {PORTS[5], port}) == PORTS[5]
    with pytest.raises(OSError, match="no free port from 20000 to 29999"):
        free_port(frozenset(PORTS))


def test_python_is_this_interpreter_and_paths_of_the_image_are_real(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").touch()
    assert on_this_machine(["python", "/app/main.py", "/etc/hosts", "--x"], tmp_path) == [
        sys.executable,
        str(tmp_path / "app" / "main.py"),
        "/etc/hosts",
        "--x",
    ]
    assert in_image("/app:/usr/lib:relative", tmp_path) == f"{tmp_path}/app:/usr/lib:relative"
    assert in_image("/", tmp_path) == "/"
    assert on_this_machine(["node", "python"], tmp_path) == ["node", "python"]


def test_the_command_can_not_read_the_keepers_orders(run: Run) -> None:
    process = run("import sys; print(repr(sys.stdin.read()))")
    assert process.output.read() == b"''\n"

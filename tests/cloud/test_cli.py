"""The real `switchyard` command on real processes: the cloud's start, its end, and what a crash leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from localcloud.cloud import Cloud
from localcloud.paths import PROJECT, WORKSPACE

pytestmark = [pytest.mark.cloud, pytest.mark.xdist_group("cli")]

COMMAND_SECONDS = 300
END_SECONDS = 60


@dataclass
class Home:
    """A SWITCHYARD_HOME and the command run in it, from a shell that knows of no cloud."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def switchyard(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Runs the command."""
        return subprocess.run(
            [str(Path(sys.prefix) / "bin" / "switchyard"), *arguments],
            cwd=PROJECT,
            env={**self.environment, "SWITCHYARD_HOME": str(self.folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def start(self) -> Mapping[str, Any]:
        """Starts the cloud and returns its status."""
        started = self.switchyard("cloud", "start")
        assert started.returncode == 0, started.stderr
        status = self.status()
        assert status["running"]
        assert f"AWS endpoint: {status['endpoint']}\n" in started.stdout
        return status

    def status(self) -> Mapping[str, Any]:
        """What `cloud status --json` says; its exit status has to agree."""
        said = self.switchyard("cloud", "status", "--json")
        found: dict[str, Any] = json.loads(said.stdout)
        assert said.returncode == (0 if found["running"] else 1)
        return found

    def processes(self) -> list[psutil.Process]:
        """Every process that was started in this home: all inherit its variable."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("SWITCHYARD_HOME") == str(self.folder):
                    found.append(process)
        return found


@pytest.fixture(scope="module")
def shared(embedded_cloud: Cloud) -> Home:  # noqa: ARG001 - it has to run
    """The home of the cloud that all tests share."""
    return Home(WORKSPACE)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Home]:
    """A home with a cloud of its own, which is ended with the test."""
    home = Home(tmp_path / "home")
    yield home
    home.switchyard("cloud", "stop")
    for process in home.processes():
        with suppress(psutil.Error):
            process.kill()


def alive_after_a_while(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run when they should have ended; what has ended may be there as a zombie."""
    deadline = time.monotonic() + END_SECONDS
    left = processes
    while left and time.monotonic() < deadline:
        time.sleep(0.1)
        left = [process for process in left if is_alive(process)]
    return left


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def in_a_shell(home: Home, stack: str, script: str) -> str:
    """Runs a script in a fresh shell after `eval "$(switchyard cloud env)"`."""
    lines = home.switchyard("cloud", "env", "--stack", stack)
    assert lines.returncode == 0, lines.stderr
    done = subprocess.run(
        ["sh", "-c", f'eval "$EXPORTS"\n{script}'],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home.folder),
            "EXPORTS": lines.stdout,
            "AWS_PROFILE": "a-real-one",
        },
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_starting_what_runs_changes_nothing(shared: Home, embedded_cloud: Cloud) -> None:
    running = {"running": True, "endpoint": embedded_cloud.endpoint, "pid": embedded_cloud.pid}
    assert shared.start() == running
    assert shared.start() == running


@pytest.mark.parametrize(("stack", "account"), [("local", "123456789012"), ("prod", "333333333333")])
def test_a_shell_is_led_into_the_account_of_the_stack(shared: Home, stack: str, account: str) -> None:
    said = in_a_shell(shared, stack, "aws sts get-caller-identity --query Account --output text")
    assert said.strip() == account


def test_a_shell_finds_the_engine_and_its_state_of_this_account(shared: Home) -> None:
    said = in_a_shell(shared, "prod", "pulumi whoami --json")
    backend = json.loads(said)["url"]
    assert backend.startswith("s3://switchyard-state-333333333333?")


def test_doctor_finds_nothing_broken_where_the_cloud_runs(shared: Home, embedded_cloud: Cloud) -> None:
    said = shared.switchyard("doctor", "--json")
    assert said.returncode == 0, said.stdout
    findings = {finding["what"]: finding for finding in json.loads(said.stdout)}
    assert findings["Embedded cloud"]["found"] == f"running at {embedded_cloud.endpoint}"
    assert all(finding["ok"] for finding in findings.values() if finding["needed"])
    assert len(findings) == 7


def test_a_stack_that_was_never_brought_up_is_one_message(shared: Home) -> None:
    said = shared.switchyard("status", "--stack", "dev")
    assert said.returncode == 1
    assert said.stdout == ""
    assert said.stderr.startswith("error: ")
    assert "Traceback" not in said.stderr


def test_a_second_cloud_runs_beside_the_first_and_stops_without_a_trace(
    shared: Home, own: Home, embedded_cloud: Cloud
) -> None:
    second = own.start()
    assert second["endpoint"] != embedded_cloud.endpoint
    theirs = {process.pid for process in shared.processes()}
    members = own.processes()
    assert second["pid"] in {process.pid for process in members}
    assert len(members) > 1, "the plugin is kept warm beside the API"
    assert own.switchyard("cloud", "stop").stdout == "Stopped.\n"
    assert alive_after_a_while(members) == []
    assert own.processes() == [], "nor was anything started meanwhile"
    assert own.status() == {"running": False, "endpoint": None, "pid": None}
    assert own.switchyard("cloud", "stop").stdout == "It was not running.\n"
    assert shared.status()["pid"] == embedded_cloud.pid
    assert embedded_cloud.pid in theirs


def test_after_a_crash_of_its_server_a_start_cleans_up_and_begins_anew(own: Home) -> None:
    first = own.start()
    members = own.processes()
    os.kill(first["pid"], signal.SIGKILL)
    assert alive_after_a_while([process for process in members if process.pid == first["pid"]]) == []
    assert not own.status()["running"]
    env = own.switchyard("cloud", "env")
    assert (env.returncode, env.stdout) == (1, "")
    assert env.stderr == "error: the embedded cloud is not running; start it with `switchyard cloud start`\n"
    second = own.start()
    assert second["pid"] != first["pid"]
    assert alive_after_a_while(members) == [], (
        "the plugin of the first cloud would hold on to an endpoint that is gone"
    )
    said = in_a_shell(own, "local", "aws sts get-caller-identity --query Account --output text")
    assert said.strip() == "123456789012"

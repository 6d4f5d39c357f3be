"""The embedded cloud as a process, without one: its record, its variables, whether it lives."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import cast
from wsgiref.simple_server import WSGIRequestHandler, make_server

import psutil
import pytest
from botocore.exceptions import ClientError

from localcloud import cloud
from localcloud.cloud import Cloud
from localcloud.errors import CloudError, CloudNotRunning
from localcloud.server import Accounts, Application

AWKWARD = {
    "PLAIN": "value",
    "EMPTY": "",
    "SPACES": "  a  b ",
    "QUOTES": 'it\'s "quoted"',
    "SHELL": "$(echo planted) `echo planted` $HOME \\ ; & | > !x *",
    "LINES": "one\ntwo\n\n",
    "UNICODE": "Weiche ↔ 開閉",
    "PULUMI_BACKEND_URL": "s3://state?region=eu-west-1&endpoint=http://127.0.0.1:1&disableSSL=true",
}
SHOW = "import json, os; print(json.dumps(dict(os.environ)))"


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "cloud.json"
    monkeypatch.setattr(cloud, "CLOUD_STATE", path)
    return path


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def of(process: "subprocess.Popen[bytes]") -> Cloud:
    started = psutil.Process(process.pid).create_time()
    return Cloud(pid=process.pid, started=started, endpoint="http://127.0.0.1:1")


# --- variables


def test_every_value_survives_a_shells_eval() -> None:
    lines = cloud.exports(AWKWARD)
    script = f'eval "$LINES_TO_EVAL"; exec "{sys.executable}" -S -c \'{SHOW}\''
    environment = {
        "PATH": os.environ["PATH"],
        "LINES_TO_EVAL": lines,
        "AWS_PROFILE": "production",
        "AWS_SESSION_TOKEN": "real",
    }
    done = subprocess.run(
        ["sh", "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=30
    )
    got = json.loads(done.stdout)
    assert {name: got.get(name) for name in AWKWARD} == AWKWARD
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN"} & set(got), "they would lead to the real AWS"


def test_the_lines_are_in_the_order_of_their_names() -> None:
    assert cloud.exports({"B": "2", "A": "1"}).splitlines() == [
        "export A=1",
        "export B=2",
        "unset AWS_PROFILE AWS_SESSION_TOKEN",
    ]


def test_a_shells_own_variables_stay_apart_from_what_would_lead_elsewhere() -> None:
    shell = {"PATH": "/usr/bin", "EDITOR": "vi", "AWS_PROFILE": "production", "AWS_SESSION_TOKEN": "real"}
    before = dict(shell)
    assert cloud.applied({"PATH": "/our/bin", "AWS_REGION": "eu-west-1"}, shell) == {
        "PATH": "/our/bin",
        "EDITOR": "vi",
        "AWS_REGION": "eu-west-1",
    }
    assert shell == before


# --- the record


def test_a_record_is_read_as_it_was_written(state: Path) -> None:
    written = Cloud(pid=42, started=1.5, endpoint="http://127.0.0.1:4566")
    state.write_text(json.dumps(asdict(written)))
    assert cloud.recorded() == written


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"pid": 1}', '{"pid": 1, "started": 1, "endpoint": "e", "x": 0}']
)
def test_a_broken_record_counts_as_none(state: Path, text: str) -> None:
    state.write_text(text)
    assert cloud.recorded() is None
    with pytest.raises(CloudNotRunning, match="start it with `switchyard cloud start`"):
        cloud.running()


def test_without_a_record_there_is_nothing_to_stop() -> None:
    assert cloud.recorded() is None
    assert not cloud.stop()


# --- whether it lives


def test_a_running_process_is_alive(process: "subprocess.Popen[bytes]", state: Path) -> None:
    assert of(process).alive
    state.write_text(json.dumps(asdict(of(process))))
    assert cloud.running() == of(process)


def test_a_process_id_that_went_to_somebody_else_is_not_the_cloud(
    process: "subprocess.Popen[bytes]", state: Path
) -> None:
    earlier = Cloud(pid=process.pid, started=of(process).started - 3600, endpoint="http://127.0.0.1:1")
    assert not earlier.alive
    state.write_text(json.dumps(asdict(earlier)))
    with pytest.raises(CloudNotRunning):
        cloud.running()
    assert not cloud.stop(), "somebody else's process is not ours to end"
    assert process.poll() is None
    assert not state.exists()


def test_a_process_that_ended_and_was_not_waited_for_is_dead(process: "subprocess.Popen[bytes]") -> None:
    found = of(process)
    process.kill()
    deadline = time.monotonic() + 30
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not found.alive


def test_a_process_that_is_gone_is_dead(process: "subprocess.Popen[bytes]") -> None:
    found = of(process)
    process.kill()
    process.wait()
    assert not found.alive


# --- stop

# Says who it and its child are. Neither heeds SIGTERM.
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
print(os.getpid(), child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("leader_dies", [False, True])
def test_stop_ends_the_whole_group_also_when_its_leader_has_died(
    monkeypatch: pytest.MonkeyPatch, state: Path, leader_dies: bool
) -> None:
    monkeypatch.setattr(cloud, "STOP_SECONDS", 0.2)
    command = [sys.executable, "-S", "-c", STUBBORN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as leader:
        assert leader.stdout
        members = [psutil.Process(int(pid)) for pid in leader.stdout.readline().split()]
        found = Cloud(pid=leader.pid, started=members[0].create_time(), endpoint="http://127.0.0.1:1")
        state.write_text(json.dumps(asdict(found)))
        if leader_dies:
            leader.kill()
            leader.wait()
        assert cloud.stop()
    deadline = time.monotonic() + 30
    while any(map(cloud._lives, members)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not state.exists()
    assert not cloud.stop(), "there is nothing left"


# --- start


def test_a_start_that_fails_shows_the_end_of_the_log_and_leaves_no_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, state: Path
) -> None:
    monkeypatch.setattr(cloud, "WORKSPACE", tmp_path)
    monkeypatch.setattr(cloud, "CLOUD_LOG", tmp_path / "cloud.log")
    monkeypatch.setattr("localcloud.engine.ensure", lambda _: None)
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\nfor n in 1 2 3 4 5 6; do echo "line $n" >&2; done\n')
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(program))
    with pytest.raises(CloudError) as refused:
        cloud.start(lambda _: None)
    lines = [f"line {number}" for number in range(2, 7)]
    assert str(refused.value) == "\n  ".join(
        [f"the embedded cloud did not start; {tmp_path / 'cloud.log'} ends with:", *lines]
    )
    assert not state.exists()


def test_ctrl_c_during_a_start_leaves_no_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, state: Path
) -> None:
    started: list[int] = []

    def interrupted(process: "subprocess.Popen[str]") -> Cloud:
        started.append(process.pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(cloud, "WORKSPACE", tmp_path)
    monkeypatch.setattr(cloud, "CLOUD_LOG", tmp_path / "cloud.log")
    monkeypatch.setattr("localcloud.engine.ensure", lambda _: None)
    monkeypatch.setattr(cloud, "_started", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cloud.start(lambda _: None)
    (pid,) = started
    deadline = time.monotonic() + 30
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not state.exists()


class Failing:
    """Accounts whose plugin or credentials can't be had."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def plugin_port(self, account: str) -> int:  # noqa: ARG002 - what is asked of it
        raise self._error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (FileNotFoundError(2, "No such file or directory", "pulumi-resource-aws"), "'pulumi-resource-aws'"),
        (ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AssumeRole"), "(AccessDenied)"),
        (RuntimeError("the AWS plugin did not start"), "the AWS plugin did not start"),
    ],
)
def test_what_the_cloud_cannot_do_is_told_in_its_own_words(error: Exception, told: str) -> None:
    application = Application(None)
    application.accounts = cast("Accounts", Failing(error))
    with serving_wsgi(application) as endpoint:
        running = Cloud(pid=os.getpid(), started=psutil.Process().create_time(), endpoint=endpoint)
        with pytest.raises(CloudError, match="the embedded cloud says: ") as raised:
            cloud._ask(running, "plugin/123456789012")
    assert told in str(raised.value)


@contextmanager
def serving_wsgi(application: Application) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, application, handler_class=Silent)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Silent(WSGIRequestHandler):
    """Logs nothing."""

    def log_message(self, *_: object) -> None:
        """Called for each request."""

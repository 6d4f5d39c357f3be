"""The language host: what the engine asks of it, and how a program that fails ends."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from importlib import metadata
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import (
    engine_pb2,
    language_pb2,
    language_pb2_grpc,
    resource_pb2,
    resource_pb2_grpc,
)

from localcloud import host_launcher
from localcloud.language import PythonHost, shows_debug_lines
from localcloud.paths import PROJECT
from tests.unit.fake_engine import WAIT_SECONDS, FakeEngine


class Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    """Says that it supports nothing, and takes the stack."""

    def SupportsFeature(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the name of the RPC
        return resource_pb2.SupportsFeatureResponse(hasSupport=False)

    def RegisterResource(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        return resource_pb2.RegisterResourceResponse(urn=f"urn:pulumi:s::p::{request.type}::{request.name}")

    def RegisterResourceOutputs(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        return empty_pb2.Empty()


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    engine = FakeEngine()
    yield engine
    engine.stop()


@pytest.fixture
def monitor() -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(4))
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(Monitor(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


Host = tuple[Any, "subprocess.Popen[str]"]


@pytest.fixture(params=["alone", "warm"])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host as the engine starts it, by itself or forked from a warm one, and a connection to it."""
    if request.param == "alone":
        command = [sys.executable, "-P", "-m", "localcloud.language", "127.0.0.1:1"]
    else:
        address = request.getfixturevalue("warm_address")
        command = [sys.executable, "-S", host_launcher.__file__, address, "127.0.0.1:1"]
    with started(command) as (process, port), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield language_pb2_grpc.LanguageRuntimeStub(channel), process


@contextlib.contextmanager
def started(command: list[str], **variables: str) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), **variables}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line.strip().isdigit(), "the engine reads the port from the first line"
        yield process, int(line)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def warm_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a warm host of this module's own."""
    address = tmp_path_factory.mktemp("warm") / "host.sock"
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "localcloud.warm_host", str(address)],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "ONLY_THE_WARM_ONE": "has this"},
        stdin=subprocess.PIPE,
    )
    try:
        assert await_that(address.exists), "it listens once it has imported everything"
        yield str(address)
    finally:
        assert process.stdin
        process.stdin.close()
        assert process.wait(WAIT_SECONDS) == 0, "it ends with whoever started it"


def await_that(holds: Callable[[], object]) -> bool:
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(holds())


def run(stub: Any, engine: FakeEngine, monitor: str, folder: Path, program: str) -> Any:
    """Has the host run a program, as the engine of a preview does."""
    (folder / "infra").mkdir(exist_ok=True)
    (folder / "infra" / "__main__.py").write_text(program)
    request = language_pb2.RunRequest(
        project="p",
        stack="s",
        pwd=str(folder),
        monitor_address=monitor,
        args=[engine.address],
        dryRun=True,
        parallel=4,
        info=language_pb2.ProgramInfo(
            root_directory=str(folder), program_directory=str(folder / "infra"), entry_point="."
        ),
    )
    return stub.Run(request, timeout=WAIT_SECONDS)


def errors(engine: FakeEngine) -> list[str]:
    found = zip(engine.lines, engine.severities, strict=True)
    return [message for (_, message), severity in found if severity == engine_pb2.ERROR]


def test_it_says_the_version_of_the_sdk() -> None:
    info = PythonHost("").GetPluginInfo(empty_pb2.Empty(), None)
    assert info.version == metadata.version("pulumi")


def test_it_lists_what_is_installed_by_name() -> None:
    asked = language_pb2.GetProgramDependenciesRequest()
    found = PythonHost("").GetProgramDependencies(asked, None).dependencies
    names = [dependency.name for dependency in found]
    assert names == sorted(names)
    versions = {dependency.name: dependency.version for dependency in found}
    assert versions["pulumi"] == metadata.version("pulumi")


def test_it_has_nothing_to_install() -> None:
    answers = list(PythonHost("").InstallDependencies(language_pb2.InstallDependenciesRequest(), None))
    assert answers == [language_pb2.InstallDependenciesResponse()]


def test_a_program_runs_as_the_main_module_and_finds_what_is_beside_it(
    host: Host, engine: FakeEngine, monitor: str, tmp_path: Path
) -> None:
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / "beside.py").write_text("WORD = 'ran as'\n")
    program = "import beside, os, pulumi\npulumi.warn(f'{beside.WORD} {__name__} in {os.getcwd()}')\n"
    answer = run(host[0], engine, monitor, tmp_path, program)
    assert (answer.error, answer.bail) == ("", False)
    assert [message for _, message in engine.lines if "ran as" in message] == [
        f"ran as __main__ in {tmp_path}"
    ]
    assert errors(engine) == []


def test_a_failing_import_is_told_once_with_its_traceback(
    host: Host, engine: FakeEngine, monitor: str, tmp_path: Path
) -> None:
    answer = run(host[0], engine, monitor, tmp_path, "import no_such_module_at_all\n")
    assert (answer.error, answer.bail) == ("", True), "bail: it has been told, and is not told again"
    (told,) = errors(engine)
    assert "No module named 'no_such_module_at_all'" in told
    assert "infra/__main__.py" in told, "a crash is found by its traceback"


def test_a_refusal_is_told_once_and_without_a_traceback(
    host: Host, engine: FakeEngine, monitor: str, tmp_path: Path
) -> None:
    program = "import pulumi\nraise pulumi.RunError('Pulumi.prod.yaml: 1 mistake')\n"
    answer = run(host[0], engine, monitor, tmp_path, program)
    assert (answer.error, answer.bail) == ("", True)
    assert errors(engine) == ["Pulumi.prod.yaml: 1 mistake"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_the_engine_ends_it(host: Host, number: signal.Signals) -> None:
    _, process = host
    process.send_signal(number)
    assert process.wait(WAIT_SECONDS) == 0


# --- forked from a warm one


def host_of(port: int) -> psutil.Process:
    """The process that listens there."""
    (pid,) = {
        found.pid
        for found in psutil.net_connections("tcp")
        if found.laddr and found.laddr.port == port and found.pid
    }
    return psutil.Process(pid)


def test_a_warm_host_has_the_environment_of_the_run_and_no_other(
    warm_address: str, engine: FakeEngine, monitor: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-S", host_launcher.__file__, warm_address, "127.0.0.1:1"]
    program = (
        "import os, pulumi\n"
        "seen = {name: os.environ.get(name) for name in ('OF_THE_RUN', 'ONLY_THE_WARM_ONE')}\n"
        "pulumi.warn(f'environment {seen}')\nprint('printed')\n"
    )
    with (
        started(command, OF_THE_RUN="this") as (process, port),
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        run(language_pb2_grpc.LanguageRuntimeStub(channel), engine, monitor, tmp_path, program)
        assert process.stdout
        assert process.stdout.readline() == "printed\n", "the engine shows what a program prints"
    told = [message for _, message in engine.lines if message.startswith("environment")]
    assert told == ["environment {'OF_THE_RUN': 'this', 'ONLY_THE_WARM_ONE': None}"]


def test_a_warm_host_reads_the_projects_own_modules_anew(
    warm_address: str, engine: FakeEngine, monitor: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-S", host_launcher.__file__, warm_address, "127.0.0.1:1"]
    program = (
        "import sys, pulumi\n"
        "own = [name for name in sys.modules if name.partition('.')[0] in ('components', 'infra')]\n"
        "pulumi.warn(f'own {own}, kept {\"pulumi_aws.kms.key\" in sys.modules}')\n"
    )
    with started(command) as (_, port), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        run(language_pb2_grpc.LanguageRuntimeStub(channel), engine, monitor, tmp_path, program)
    assert [message for _, message in engine.lines if message.startswith("own")] == ["own [], kept True"]


def test_a_warm_host_ends_with_a_launcher_that_was_killed(warm_address: str) -> None:
    command = [sys.executable, "-S", host_launcher.__file__, warm_address, "127.0.0.1:1"]
    with started(command) as (process, port):
        forked = host_of(port)
        assert forked.pid != process.pid
        process.kill()
        assert await_that(lambda: not forked.is_running()), "it would serve nobody for ever"


def test_without_a_warm_one_the_launcher_becomes_the_host_itself(tmp_path: Path) -> None:
    command = [sys.executable, "-S", host_launcher.__file__, str(tmp_path / "nobody.sock"), "127.0.0.1:1"]
    with started(command) as (process, port):
        assert host_of(port).pid == process.pid


# --- what the engine would drop


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["preview", "--stack", "dev"], False),
        (["preview", "--diff", "--stack=dev"], False),
        (["preview", "--debug"], True),
        (["preview", "-d"], True),
        (["preview", "-yd"], True),
    ],
)
def test_debug_lines_are_shown_if_the_engine_was_told_to(arguments: list[str], shown: bool) -> None:
    waiting = [sys.executable, "-c", "input('ready')", *arguments]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as engine:
        assert engine.stdout is not None
        # Until it runs, its arguments may not be there to be read.
        assert engine.stdout.read(5) == b"ready"
        assert shows_debug_lines(engine.pid) is shown
        engine.communicate(b"\n")
    assert shows_debug_lines(engine.pid), "who can't be asked may want them"


@pytest.mark.parametrize("flag", ["--debug", "--diff"])
@pytest.mark.parametrize("kind", ["alone", "warm"])
def test_a_host_spares_the_engine_debug_lines_that_it_would_drop(
    kind: str, flag: str, engine: FakeEngine, monitor: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue("warm_address") if kind == "warm" else str(tmp_path / "nobody.sock")
    # Starts the host as the engine does, and waits for it.
    parent = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[2:]))"
    command = [sys.executable, "-c", parent, flag]
    command += [sys.executable, "-S", host_launcher.__file__, address, "127.0.0.1:1"]
    program = "import pulumi\npulumi.log.debug('a detail')\npulumi.log.info('a word')\n"
    with started(command) as (_, port), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        run(language_pb2_grpc.LanguageRuntimeStub(channel), engine, monitor, tmp_path, program)
    said = [message for _, message in engine.lines if message in ("a detail", "a word")]
    assert said == (["a detail", "a word"] if flag == "--debug" else ["a word"])

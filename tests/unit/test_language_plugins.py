"""The language host as it runs other programs: providers and policy packs."""

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc, language_pb2, language_pb2_grpc

from localcloud.plugin_process import NoProgram, PluginProcess, interpreter
from localcloud.policy_proxy import variables
from tests.unit.fake_engine import WAIT_SECONDS
from tests.unit.test_language import started

PACK = """
import pulumi, sys
from pulumi_policy import PolicyPack, StackValidationPolicy

def told(args, report):
    config = pulumi.Config("shop").get("colour")
    report(f"{pulumi.get_stack()} of {pulumi.get_project()} has the colour {config}")

print("starting", flush=True)
print("a warning", file=sys.stderr, flush=True)
PolicyPack("test", policies=[StackValidationPolicy(name="colour", description="d", validate=told)])
"""


@pytest.fixture
def host() -> Iterator[Any]:
    command = [sys.executable, "-P", "-m", "localcloud.language", "127.0.0.1:1"]
    with started(command) as (_, port), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield language_pb2_grpc.LanguageRuntimeStub(channel)


def program(folder: Path, source: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "__main__.py").write_text(source)
    return folder


def request(folder: Path, kind: str = "resource", **options: str) -> Any:
    info = language_pb2.ProgramInfo(
        root_directory=str(folder), program_directory=str(folder), entry_point="."
    )
    info.options.update(options)
    return language_pb2.RunPluginRequest(
        pwd=str(folder),
        args=["127.0.0.1:9"],
        env=[*(f"{key}={value}" for key, value in os.environ.items()), "FROM_ENGINE=a=b"],
        kind=kind,
        info=info,
    )


def said(pieces: list[Any], stream: str) -> str:
    return b"".join(getattr(piece, stream) for piece in pieces if piece.HasField(stream)).decode()


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


# --- any program


def test_what_a_program_writes_and_how_it_ends_reaches_the_engine(host: Any, tmp_path: Path) -> None:
    folder = program(
        tmp_path / "provider",
        "import os, sys\n"
        "print(1234, sys.argv[1], os.environ['FROM_ENGINE'], os.getcwd())\n"
        "print('careful', file=sys.stderr)\n"
        "sys.exit(3)\n",
    )
    pieces = list(host.RunPlugin(request(folder), timeout=WAIT_SECONDS))
    assert said(pieces, "stdout") == f"1234 127.0.0.1:9 a=b {folder}\n"
    assert said(pieces, "stderr") == "careful\n"
    assert [piece.exitcode for piece in pieces if piece.HasField("exitcode")] == [3]


def test_the_first_line_comes_while_the_program_runs_and_a_dropped_call_ends_it(
    host: Any, tmp_path: Path
) -> None:
    folder = program(
        tmp_path / "provider", "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)\n"
    )
    call = host.RunPlugin(request(folder), timeout=WAIT_SECONDS)
    pid = int(next(call).stdout)
    assert not gone(pid)
    call.cancel()
    wait_until(lambda: gone(pid))


def test_a_host_that_ends_takes_its_programs_along(tmp_path: Path) -> None:
    folder = program(
        tmp_path / "provider", "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)\n"
    )
    command = [sys.executable, "-P", "-m", "localcloud.language", "127.0.0.1:1"]
    with started(command) as (process, port), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = language_pb2_grpc.LanguageRuntimeStub(channel).RunPlugin(request(folder))
        pid = int(next(call).stdout)
        process.terminate()
        wait_until(lambda: gone(pid))


def test_a_program_that_does_not_listen_is_ended_by_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localcloud.plugin_process.END_SECONDS", 0.2)
    folder = program(
        tmp_path / "deaf",
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n",
    )
    process = PluginProcess(folder, [], python=sys.executable, directory=None, environment=os.environ)
    assert next(process.pieces()).content.startswith(b"ready")
    process.end()
    assert gone(process.pid)
    process.end()


def test_a_folder_without_a_program_is_refused_with_its_name(host: Any, tmp_path: Path) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        list(host.RunPlugin(request(tmp_path), timeout=WAIT_SECONDS))
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert f"{tmp_path} has no __main__.py" in refused.value.details()


def test_a_program_runs_in_the_virtual_environment_that_it_names(tmp_path: Path) -> None:
    assert interpreter(tmp_path, None) == sys.executable
    with pytest.raises(NoProgram, match=r"names the virtual environment \.venv, and there is no"):
        interpreter(tmp_path, ".venv")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    assert interpreter(tmp_path, ".venv") == str(python)


# --- policy packs


@contextlib.contextmanager
def pack(host: Any, folder: Path) -> Iterator[tuple[Any, list[Any], Any]]:
    """A stub of the pack's analyzer, what the host has passed on so far, and the call itself."""
    call = host.RunPlugin(request(folder, kind="analyzer"), timeout=WAIT_SECONDS)
    port = int(next(call).stdout)
    pieces: list[Any] = []

    def collect() -> None:
        with contextlib.suppress(grpc.RpcError):
            for piece in call:
                pieces.append(piece)  # noqa: PERF402 - seen while it runs

    reader = threading.Thread(target=collect, daemon=True)
    reader.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield analyzer_pb2_grpc.AnalyzerStub(channel), pieces, call
    call.cancel()
    reader.join(WAIT_SECONDS)


def configuration(**config: str) -> Any:
    return analyzer_pb2.AnalyzerStackConfigureRequest(
        stack="prod", project="shop", organization="o", dry_run=True, config=config
    )


def test_a_pack_knows_the_stack_and_its_configuration(host: Any, tmp_path: Path) -> None:
    with pack(host, program(tmp_path / "pack", PACK)) as (analyzer, pieces, _):
        analyzer.Handshake(analyzer_pb2.AnalyzerHandshakeRequest(engine_address="127.0.0.1:9"))
        analyzer.ConfigureStack(configuration(**{"shop:colour": "blue"}))
        (told,) = analyzer.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest()).diagnostics
        assert told.message == "d\nprod of shop has the colour blue"
        wait_until(lambda: "a warning" in said(pieces, "stderr"))
        assert said(pieces, "stdout") == "starting\n", "the pack's own port is none of the engine's business"


def test_a_pack_that_is_only_asked_what_it_holds_is_started_without_a_stack(
    host: Any, tmp_path: Path
) -> None:
    with pack(host, program(tmp_path / "pack", PACK)) as (analyzer, _, _):
        assert [policy.name for policy in analyzer.GetAnalyzerInfo(empty_pb2.Empty()).policies] == ["colour"]


def test_a_pack_that_breaks_at_its_start_says_so_to_the_engine(host: Any, tmp_path: Path) -> None:
    with pack(host, program(tmp_path / "pack", "raise SystemExit('no such rule')\n")) as (
        analyzer,
        pieces,
        _,
    ):
        with pytest.raises(grpc.RpcError) as refused:
            analyzer.ConfigureStack(configuration())
        assert "the policy pack did not start: it ended before it said its port" in refused.value.details()
        wait_until(lambda: "no such rule" in said(pieces, "stderr"))


def test_an_error_of_a_pack_reaches_the_engine_as_it_is(host: Any, tmp_path: Path) -> None:
    broken = PACK.replace("config = ", "raise ValueError('no rule for this'); config = ")
    with pack(host, program(tmp_path / "pack", broken)) as (analyzer, _, _):
        analyzer.ConfigureStack(configuration())
        with pytest.raises(grpc.RpcError, match="no rule for this"):
            analyzer.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest())


def test_a_dropped_call_ends_the_pack(host: Any, tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    source = f"import os\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n{PACK}"
    with pack(host, program(folder, source)) as (analyzer, _, call):
        analyzer.ConfigureStack(configuration())
        pid = int((tmp_path / "pid").read_text())
        assert not gone(pid)
        call.cancel()
        wait_until(lambda: gone(pid))


def test_a_pack_reads_its_stack_from_the_variables_of_the_official_hosts() -> None:
    found = variables(configuration(**{"shop:colour": "blue"}))
    assert json.loads(found.pop("PULUMI_CONFIG")) == {"shop:colour": "blue"}
    assert found == {
        "PULUMI_ORGANIZATION": "o",
        "PULUMI_PROJECT": "shop",
        "PULUMI_STACK": "prod",
        "PULUMI_DRY_RUN": "true",
    }

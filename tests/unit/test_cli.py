"""The `switchyard` command over modules that are replaced: what it prints, and with what status it ends."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from localcloud import cloud
from localcloud.cloud import Cloud
from localcloud.errors import EngineUnavailable
from switchyard import cli, doctor, embedded, recovery, stacks, status
from switchyard.errors import DeploymentFailed, UnknownStack

RUNNING = Cloud(pid=4242, started=1.0, endpoint="http://127.0.0.1:4566")


@pytest.fixture(autouse=True)
def no_cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cloud, "CLOUD_STATE", tmp_path / "cloud.json")


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud, "recorded", lambda: RUNNING)
    monkeypatch.setattr(Cloud, "alive", True)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, arguments)


def ends(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The status with which the real entry point ends."""
    monkeypatch.setattr("sys.argv", ["switchyard", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def raises(error: BaseException) -> Any:
    def fails(*_: object) -> None:
        raise error

    return fails


# --- cloud start and stop


def test_start_says_where_the_cloud_is_and_how_to_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, float]] = []

    def start(say: Any, port: int, speed: float) -> Cloud:
        say("Starting the AWS API")
        asked.append((port, speed))
        return RUNNING

    monkeypatch.setattr(cloud, "start", start)
    said = invoke("cloud", "start", "--port", "4566", "--speed", "3")
    assert said.exit_code == 0
    assert asked == [(4566, 3.0)]
    assert said.stderr == "Starting the AWS API\n", "without a terminal each step is a line"
    assert said.stdout == (
        "The embedded cloud runs. AWS endpoint: http://127.0.0.1:4566\n"
        'To use it from this shell: eval "$(switchyard cloud env)"\n'
    )


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    said = invoke("cloud", "start", "--port", port)
    assert said.exit_code == 2
    assert "Invalid value for '--port'" in said.stderr


@pytest.mark.parametrize(("was_there", "text"), [(True, "Stopped.\n"), (False, "It was not running.\n")])
def test_stop_says_whether_there_was_anything_to_stop(
    monkeypatch: pytest.MonkeyPatch, was_there: bool, text: str
) -> None:
    monkeypatch.setattr(cloud, "stop", lambda: was_there)
    said = invoke("cloud", "stop")
    assert (said.exit_code, said.stdout) == (0, text)


# --- cloud status


@pytest.mark.usefixtures("running")
def test_status_of_a_running_cloud() -> None:
    said = invoke("cloud", "status")
    assert (said.exit_code, said.stdout) == (0, "running, AWS endpoint http://127.0.0.1:4566\n")
    said = invoke("cloud", "status", "--json")
    assert said.exit_code == 0
    assert json.loads(said.stdout) == {"running": True, "endpoint": "http://127.0.0.1:4566", "pid": 4242}


def test_status_of_no_cloud_ends_with_1() -> None:
    said = invoke("cloud", "status")
    assert (said.exit_code, said.stdout) == (1, "not running: switchyard cloud start\n")
    said = invoke("cloud", "status", "--json")
    assert said.exit_code == 1
    assert json.loads(said.stdout) == {"running": False, "endpoint": None, "pid": None}


# --- cloud env


def test_env_is_of_the_account_that_the_stacks_settings_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud, "environment", lambda account: {"AWS_ACCOUNT": account, "A": "it's"})
    said = invoke("cloud", "env", "--stack", "prod")
    assert said.stdout == (
        "export A='it'\"'\"'s'\nexport AWS_ACCOUNT=333333333333\nunset AWS_PROFILE AWS_SESSION_TOKEN\n"
    )
    said = invoke("cloud", "env", "--json")
    assert json.loads(said.stdout) == {"A": "it's", "AWS_ACCOUNT": "123456789012"}


# --- mistakes and faults: one message, a status, no traceback


@pytest.mark.parametrize(
    "arguments", [["status"], ["cloud", "env"], ["status", "--json"], ["status", "--stack", "local"]]
)
def test_a_cloud_that_does_not_run_is_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert ends(monkeypatch, *arguments) == 1
    said = capsys.readouterr()
    assert bool(said.out) == ("--json" in arguments)
    assert said.err == ("error: the embedded cloud is not running; start it with `switchyard cloud start`\n")


@pytest.mark.parametrize("command", [["status"], ["cloud", "env"], ["cloud", "up"]])
def test_an_unknown_stack_is_one_message_with_the_stacks_that_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert ends(monkeypatch, *command, "--stack", "nope") == 1
    said = capsys.readouterr().err
    assert said == "error: there is no Pulumi.nope.yaml; the stacks are: dev, local, prod, staging\n"


def test_a_long_message_is_not_broken_into_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    message = "no [engine] at /" + "/".join(["folder"] * 60) + ": copy it"
    monkeypatch.setattr(cloud, "start", raises(EngineUnavailable(message)))
    assert ends(monkeypatch, "cloud", "start") == 1
    assert capsys.readouterr().err == f"error: {message}\n", "a path is there to be copied"


@pytest.mark.parametrize(
    ("module", "function", "command"),
    [(embedded, "up", ["cloud", "up"]), (status, "read", ["status"])],
)
def test_what_fails_is_one_message(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    module: Any,
    function: str,
    command: list[str],
) -> None:
    monkeypatch.setattr(module, function, raises(DeploymentFailed("it failed\nMend it.")))
    assert ends(monkeypatch, *command) == 1
    assert capsys.readouterr().err == "error: it failed\nMend it.\n"


def test_ctrl_c_ends_with_130_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(embedded, "up", raises(KeyboardInterrupt()))
    assert ends(monkeypatch, "cloud", "up") == 130
    assert "Traceback" not in capsys.readouterr().err


def test_ctrl_c_before_a_command_runs_ends_with_130_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "app", lambda **_: raises(KeyboardInterrupt())())
    assert ends(monkeypatch) == 130
    assert capsys.readouterr().err == "interrupted\n"


# --- recover


def test_recover_says_what_was_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def recovered(stack: str, _: Any) -> recovery.Recovery:
        asked.append(stack)
        return recovery.Recovery(adopted=[("edge-lb", "arn:lb")], cleared=["main", "api-blue"])

    monkeypatch.setattr(stacks, "guard_account", lambda stack: asked.append(f"account of {stack}"))
    monkeypatch.setattr(recovery, "recover", recovered)
    said = invoke("recover", "--stack", "staging")
    assert asked == ["account of staging", "staging"], "what another account lacks would be forgotten"
    assert said.stdout == "0 locks cleared, 1 resources adopted, 2 to be created again\n"


# --- doctor


def finding(**values: Any) -> doctor.Finding:
    plain: dict[str, Any] = {"what": "Go", "ok": True, "needed": True, "found": "1.25"}
    return doctor.Finding(**(plain | values))


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([finding()], 0),
        ([finding(ok=False, needed=False)], 0),
        ([finding(), finding(ok=False)], 1),
    ],
)
def test_doctor_ends_with_1_only_if_something_needed_is_missing(
    monkeypatch: pytest.MonkeyPatch, findings: list[doctor.Finding], code: int
) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: findings)
    assert invoke("doctor").exit_code == code
    said = invoke("doctor", "--json")
    assert said.exit_code == code
    assert json.loads(said.stdout) == [found.as_dict() for found in findings]


@pytest.mark.parametrize("command", [[], ["cloud"]])
def test_without_a_command_the_help_is_shown(command: list[str]) -> None:
    said = invoke(*command)
    assert "Usage:" in said.stdout + said.stderr
    assert "Traceback" not in said.stderr


def test_whoever_reads_json_gets_json_of_an_error_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(status, "read", raises(UnknownStack("there is no Pulumi.x.yaml")))
    assert ends(monkeypatch, "status", "--stack", "x", "--json") == 1
    said = capsys.readouterr()
    assert json.loads(said.out) == {"error": "there is no Pulumi.x.yaml", "exit_status": 1}
    assert said.err == "error: there is no Pulumi.x.yaml\n"
    assert ends(monkeypatch, "status", "--stack", "x") == 1
    assert capsys.readouterr().out == ""

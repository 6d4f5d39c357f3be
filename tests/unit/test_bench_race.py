"""How the race with Terraform reads what it saw, and how sections stand or fall alone."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bench import spent as spent_module
from bench.racers import COLD, TERRAFORM, WARM, created_by_pulumi, created_by_terraform
from bench.results import Figure, NotMeasured, collected, judged, spread
from bench.services import config_of, project_of
from bench.spent import Failed, Spent, spent
from bench.terraform import figures_of
from infra.load import parse
from infra.settings import Settings

PREVIEW = """\
     Type                              Name               Plan
 +   pulumi:pulumi:Stack               switchyard-of-1    create
 +   ├─ pulumi:providers:aws           aws-home           create
 +   ├─ switchyard:network:Network     network            create
 +   │  ├─ aws:ec2:Vpc                 network-vpc        create
 +   │  └─ aws:ec2:Subnet              network-public-a   create     1 warning
Resources:
    + 5 to create
"""


def took(seconds: float, cpu: float) -> Spent:
    return Spent(seconds=seconds, cpu=cpu, output="")


# --- what was planned


def test_only_resources_of_aws_count_as_created() -> None:
    assert created_by_pulumi(PREVIEW) == 2, "Terraform has no components, and counts no providers"


def test_what_follows_a_sign_of_life_on_its_line_counts() -> None:
    dots = "@ previewing update...."
    assert created_by_pulumi(PREVIEW.replace(" +   │  ├─", f"{dots} +  ")) == 2


def test_a_preview_that_changes_nothing_creates_nothing() -> None:
    assert created_by_pulumi("     aws:ec2:Vpc  network-vpc\nResources:\n    141 unchanged\n") == 0


@pytest.mark.parametrize("line", ["    ~ 1 to update", "    - 1 to delete", "    +-1 to replace"])
def test_a_preview_that_does_more_than_create_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="only creates"):
        created_by_pulumi(f"{PREVIEW}{line}\n")


def test_a_preview_that_was_cut_off_is_refused() -> None:
    with pytest.raises(ValueError, match="only creates"):
        created_by_pulumi(" +   │  ├─ aws:ec2:Vpc   network-vpc   create\n")


def test_what_terraform_adds_is_read_from_its_plan() -> None:
    assert created_by_terraform("Plan: 119 to add, 0 to change, 0 to destroy.\n") == 119
    assert created_by_terraform("No changes. Your infrastructure matches the configuration.\n") == 0


@pytest.mark.parametrize("output", ["Plan: 1 to add, 1 to change, 0 to destroy.", "Error: no provider"])
def test_a_plan_that_does_more_than_add_is_refused(output: str) -> None:
    with pytest.raises(ValueError, match="only adds"):
        created_by_terraform(output)


def test_a_preview_is_judged_against_terraform_round_by_round() -> None:
    runs = {
        TERRAFORM: [took(10, 8), took(20, 8), took(10, 8)],
        COLD: [took(13, 8), took(22, 8), took(14, 8)],
        WARM: [took(4, 4), took(12, 4), took(6, 4)],
    }
    terraform, cold, warm = figures_of("1 service", runs)
    assert terraform.met is None
    assert (cold.met, cold.goal) == (True, "≤ 1.3 of terraform plan"), "1.3, 1.1 and 1.4: 1.3 in the middle"
    assert warm.met is False, "0.4, 0.6 and 0.6"
    assert (
        "6.0 s (4.0 to 12.0), CPU 4.0 s (4.0 to 4.0); 0.60 of terraform plan (0.40 to 0.60)" in warm.measured
    )
    assert warm.measured.endswith("0.50 of its CPU")


# --- settings and places


@pytest.mark.parametrize("count", [1, 2, 10])
def test_a_stack_has_as_many_services_as_asked_for(count: int) -> None:
    settings: Settings = parse(config_of("local", count), "bench")
    assert len(settings.services) == count


def test_a_project_of_its_own_runs_this_program(tmp_path: Path) -> None:
    project_of(tmp_path / "p", "of-1", config_of("local", 1))
    assert (tmp_path / "p" / "infra" / "__main__.py").is_file()
    assert "main: infra/" in (tmp_path / "p" / "Pulumi.yaml").read_text()
    assert "api:" in (tmp_path / "p" / "Pulumi.of-1.yaml").read_text()


# --- sections


def test_a_section_that_breaks_keeps_what_it_has_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    def section() -> Iterator[Figure]:
        yield judged("first", 1.0, "1 s", 2.0, "≤ 2 s")
        raise ZeroDivisionError("by chance")

    found, whole = collected("some", section)
    assert not whole
    assert [figure.measured for figure in found] == ["1 s", "NOT MEASURED: ZeroDivisionError: by chance"]
    assert "by chance" in capsys.readouterr().err


def test_a_section_that_cannot_be_measured_here_says_what_to_do() -> None:
    def section() -> Iterator[Figure]:
        raise NotMeasured("install Terraform")
        yield

    assert collected("race", section) == (
        [Figure(what="race", measured="NOT MEASURED: install Terraform")],
        False,
    )


def test_a_goal_is_met_up_to_its_limit() -> None:
    assert [judged("", value, "", 0.5, "").met for value in (0.5, 0.51)] == [True, False]


def test_a_spread_is_the_median_with_its_range() -> None:
    assert spread([3.0, 1.0, 8.0]) == "3.0 s (1.0 to 8.0)"


def test_an_unknown_section_is_refused_with_those_that_there_are() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "race"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no section race; there are: evaluation, report, terraform" in done.stderr


# --- what a command took


def run(command: list[str], folder: Path, seconds: float = 30) -> Spent:
    return spent(command, folder=folder, environment={}, timeout_seconds=seconds)


BUSY = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass\n"


def test_the_cpu_of_what_a_command_leaves_behind_counts(tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text(BUSY.format(0.3))
    orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, {str(tmp_path / 'busy.py')!r}])"
    found = run([sys.executable, "-c", orphan + "; print('said')"], tmp_path)
    assert found.output == "said\n"
    assert found.cpu >= 0.3


def test_a_command_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"(?s)exit status 3.*last words"):
        run([sys.executable, "-c", "print('last words'); raise SystemExit(3)"], tmp_path)


def test_a_command_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    asleep = f"import time; time.sleep(600)  # {tmp_path}"
    with pytest.raises(Failed, match="more than 1 s"):
        run([sys.executable, "-c", asleep], tmp_path, seconds=1)
    assert still_there(asleep) == []


def test_what_a_command_has_started_ends_with_the_one_that_runs_it(tmp_path: Path) -> None:
    asleep = f"import time; time.sleep(600)  # {tmp_path}"
    runner = [
        sys.executable,
        spent_module.__file__,
        "60",
        str(tmp_path / "out"),
        sys.executable,
        "-c",
        asleep,
    ]
    with subprocess.Popen(runner) as process:
        deadline = time.monotonic() + 30
        while not still_there(asleep, but=process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    assert still_there(asleep) == []


def still_there(word: str, but: int = 0) -> list[int]:
    return [
        found.pid
        for found in psutil.process_iter(["cmdline", "status"])
        if word in (found.info["cmdline"] or ())
        and found.pid != but
        and found.info["status"] != psutil.STATUS_ZOMBIE
    ]

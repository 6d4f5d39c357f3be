"""A job of `switchyard up` that is killed on the embedded cloud: what it left is decided one by one.

The next one brings the stack to its end, on record, with nothing made twice.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from localcloud.cloud import Cloud
from localcloud.paths import WORKSPACE
from tests.cloud import looks
from tests.cloud.stack import StackUnderTest, copy_code

pytestmark = pytest.mark.cloud

STACK = "local"
COMMAND_SECONDS = 900
BALANCER = "aws:lb/loadBalancer:LoadBalancer"


@dataclass(frozen=True)
class Job:
    """A CI job's checkout of the project, and the command in it."""

    stack: StackUnderTest

    @property
    def environment(self) -> dict[str, str]:
        """A shell that knows of no cloud, with this checkout's code before any other."""
        shell = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        return {**shell, "PYTHONPATH": str(self.stack.folder), "SWITCHYARD_HOME": str(WORKSPACE)}

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        """Starts the command."""
        return subprocess.Popen(
            [sys.executable, "-c", "from switchyard.cli import main; main()", *arguments],
            cwd=self.stack.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def switchyard(self, *arguments: str) -> tuple[int, str, str]:
        """Runs it: its status, and what it said."""
        process = self.begin(*arguments, "--stack", STACK)
        out, err = process.communicate(timeout=COMMAND_SECONDS)
        assert "Traceback" not in err, err
        return process.returncode, out, err

    def json(self, *arguments: str, status: int) -> Any:
        """Runs it for its one document."""
        ended, out, err = self.switchyard(*arguments, "--json")
        assert ended == status, f"{out}\n{err}"
        return json.loads(out)

    def processes(self) -> list[psutil.Process]:
        """All that was started from here."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("PYTHONPATH") == str(self.stack.folder):
                    found.append(process)
        return found


@pytest.fixture(scope="module")
def job(embedded_cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:  # noqa: ARG001
    folder: Path = tmp_path_factory.mktemp("state-safety") / "project"
    folder.mkdir()
    copy_code(folder, but=("infra",))
    job = Job(StackUnderTest.create(folder, STACK, "100000000091"))
    yield job
    said = job.stack.pulumi("destroy", "--yes", "--skip-preview", "--stack", STACK)
    assert said.status == 0, said.text
    assert looks.leftovers(job.stack) == {}


def killed_while_the_load_balancer_comes_up(job: Job) -> None:
    process = job.begin("up", "--stack", STACK)
    elbv2, deadline = job.stack.aws("elbv2"), time.monotonic() + COMMAND_SECONDS
    while not elbv2.describe_load_balancers()["LoadBalancers"]:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    # The engine has noted what it does, and waits for the load balancer for a minute.
    time.sleep(3)
    for each in job.processes():
        with suppress(psutil.Error):
            each.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_killed_job_is_told_decided_one_by_one_and_finished(job: Job) -> None:
    killed_while_the_load_balancer_comes_up(job)

    refused = job.json("up", status=3)
    assert refused["outcome"] == "refused"
    assert "switchyard unlock" in refused["reason"]
    left = job.json("unlock", status=1)
    assert left["locks"] == [], "the next `up` has cleared the dead lock"
    names = {one["name"]: one for one in left["pending"]}
    (balancer,) = [one for one in left["pending"] if one["type"] == BALANCER]
    assert balancer["operation"] == "creating"

    adopted = job.json("unlock", "--adopt", balancer["urn"], status=1 if len(names) > 1 else 0)
    (there,) = job.stack.aws("elbv2").describe_load_balancers()["LoadBalancers"]
    assert adopted["resolved"] == [{"urn": balancer["urn"], "as": "adopted", "id": there["LoadBalancerArn"]}]
    creating = {one["urn"] for one in left["pending"] if one["operation"] == "creating"}
    still = {one["urn"] for one in adopted["pending"]}
    assert creating - {balancer["urn"]} <= still, "one decision decides nothing else"

    for urn in sorted(still):
        # What AWS has is adopted; what it has not, or what is written again anyway, is forgotten.
        job.switchyard("unlock", "--adopt", urn)
        if urn in {one["urn"] for one in pending(job)}:
            job.switchyard("unlock", "--forget", urn)
    assert pending(job) == []

    done = job.json("up", status=0)
    assert done["outcome"] == "succeeded"
    assert done["not_recorded"] is None
    assert len(looks.own_vpcs(job.stack)) == 1
    assert len(job.stack.aws("elbv2").describe_load_balancers()["LoadBalancers"]) == 1
    assert len(job.stack.aws("rds").describe_db_instances()["DBInstances"]) == 1
    assert len(looks.enabled_keys(job.stack)) == 3, "the stack's, the database's and the vault's"


def pending(job: Job) -> list[dict[str, Any]]:
    _, out, _ = job.switchyard("unlock", "--json")
    found: list[dict[str, Any]] = json.loads(out)["pending"]
    return found


def test_a_second_up_changes_nothing_and_both_are_on_record(job: Job) -> None:
    again = job.json("up", status=0)
    assert (again["outcome"], again["applied"]) == ("unchanged", {})
    outcomes = [each["outcome"] for each in job.json("updates", status=0)]
    assert outcomes[:2] == ["unchanged", "succeeded"]
    assert set(outcomes[2:]) <= {"unknown"}, (
        "what was killed has a begin at the most, where the table was there"
    )

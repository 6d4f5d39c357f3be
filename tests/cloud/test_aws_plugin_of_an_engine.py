"""The AWS plugin's stand-in under the real engine: what AWS has made is in the state, however a run ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import boto3
import psutil
import pytest

from localcloud import cloud
from tests.cloud.plugins import WAIT_SECONDS
from tests.cloud.recorder import recording

ACCOUNT = "100000000094"
CIDR = "10.77.0.0/16"
VPC = f"""
import pulumi
import pulumi_aws as aws

hasty = aws.Provider("hasty", region="eu-west-1", max_retries=1)
aws.ec2.Vpc("main", cidr_block="{CIDR}", opts=pulumi.ResourceOptions(provider=hasty))
"""
NEWS = """
import pulumi
import pulumi_aws as aws

aws.sns.Topic("news", display_name=pulumi.Output.secret("planted-in-clear"))
"""


@pytest.fixture(scope="module", autouse=True)
def stand_in(embedded_cloud: cloud.Cloud) -> None:  # noqa: ARG001 - lays it out
    if not cloud.engine_uses_the_bridge():
        pytest.skip("Pulumi's own plugin is installed here")


@dataclass(frozen=True)
class Project:
    """A small program and its state."""

    folder: Path
    variables: dict[str, str]

    def begin(self, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
        """A command of Pulumi's, whose plugin is its own and not the cloud's."""
        return subprocess.Popen(
            ["pulumi", *arguments, "--stack", "small", "--non-interactive"],
            cwd=self.folder,
            env=cloud.applied({**self.variables, **variables}, os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, expected: int | None = 0, **variables: str) -> str:
        """What such a command says."""
        with self.begin(*arguments, **variables) as process:
            said, _ = process.communicate(timeout=WAIT_SECONDS)
        assert (process.returncode == 0) is (expected == 0), said
        return said

    def up(self, expected: int | None = 0, **variables: str) -> str:
        """What an update says."""
        return self.run("up", "--yes", "--skip-preview", "--diff", expected=expected, **variables)

    def deployment(self) -> dict[str, Any]:
        """The state."""
        found: dict[str, Any] = json.loads(self.run("stack", "export"))["deployment"]
        return found

    def vpcs(self) -> list[dict[str, Any]]:
        """What the state knows of the VPC."""
        resources = self.deployment()["resources"]
        return [one for one in resources if one["type"] == "aws:ec2/vpc:Vpc"]

    def made(self) -> list[str]:
        """The VPC that AWS has."""
        ec2 = boto3.client(
            "ec2",
            endpoint_url=self.variables["AWS_ENDPOINT_URL"],
            region_name=self.variables["AWS_REGION"],
            aws_access_key_id=self.variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.variables["AWS_SECRET_ACCESS_KEY"],
        )
        found = ec2.describe_vpcs(Filters=[{"Name": "cidr", "Values": [CIDR]}])["Vpcs"]
        return [one["VpcId"] for one in found]


def project(folder: Path, program: str) -> Project:
    (folder / "Pulumi.yaml").write_text(
        f"name: small\nruntime: {{name: python, options: {{virtualenv: {sys.prefix}}}}}\n"
    )
    (folder / "__main__.py").write_text(program)
    (folder / "state").mkdir()
    variables = cloud.environment(ACCOUNT) | {"PULUMI_BACKEND_URL": (folder / "state").as_uri()}
    variables.pop("PULUMI_DEBUG_PROVIDERS")
    found = Project(folder, variables)
    found.run("stack", "init")
    return found


@dataclass
class Slow:
    """An AWS that has made the VPC and does not say so until it may."""

    asked: Event
    may: Event

    def before(self, verb: str, path: str, body: bytes) -> bool:  # noqa: ARG002 - all that one gets
        """Holds what asks for the VPC."""
        if b"Action=DescribeVpcs" in body:
            self.asked.set()
            self.may.wait(WAIT_SECONDS)
        return True


def plugins_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The stand-ins, their guards and the providers."""
    names = ("pulumi-resource", "terraform-provi")
    below = psutil.Process(process.pid).children(recursive=True)
    plugins = [one for one in below if one.name().startswith(names)]
    return [
        *plugins,
        *{parent for one in plugins for parent in one.parents() if "guard.py" in str(parent.cmdline())},
    ]


def read_until(process: "subprocess.Popen[str]", words: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    raise AssertionError(f"it never said {words!r}")


def test_what_aws_is_making_at_ctrl_c_is_in_the_state(tmp_path: Path) -> None:
    small = project(tmp_path, VPC)
    slow = Slow(Event(), Event())
    with (
        recording(small.variables["AWS_ENDPOINT_URL"], slow.before) as proxy,
        small.begin("up", "--yes", "--skip-preview", AWS_ENDPOINT_URL=proxy.endpoint) as process,
    ):
        assert slow.asked.wait(WAIT_SECONDS)
        process.send_signal(signal.SIGINT)
        read_until(process, "cancel")
        slow.may.set()
        process.communicate(timeout=WAIT_SECONDS)
    assert [one["id"] for one in small.vpcs()] == small.made()
    assert len(small.made()) == 1
    assert small.deployment().get("pending_operations", []) == []
    small.run("destroy", "--yes", "--skip-preview")
    assert small.made() == []


def test_what_aws_has_made_and_not_finished_is_in_the_state_and_is_finished_by_the_next_run(
    tmp_path: Path,
) -> None:
    small = project(tmp_path, VPC)
    refuse: Callable[[str, str, bytes], bool] = lambda verb, path, body: b"Action=DescribeVpcs" not in body  # noqa: ARG005, E731
    with recording(small.variables["AWS_ENDPOINT_URL"], refuse) as proxy:
        said = small.up(expected=None, AWS_ENDPOINT_URL=proxy.endpoint)
    (kept,) = small.vpcs()
    assert [kept["id"]] == small.made()
    (reason,) = kept["initErrors"]
    assert "DescribeVpcs" in reason
    assert "DescribeVpcs" in said
    small.up()
    (finished,) = small.vpcs()
    assert "initErrors" not in finished
    assert [finished["id"]] == [kept["id"]] == small.made(), "and nothing was made twice"
    small.run("destroy", "--yes", "--skip-preview")


def test_nothing_is_left_of_an_engine_that_was_killed(tmp_path: Path) -> None:
    small = project(tmp_path, VPC)
    slow = Slow(Event(), Event())
    with recording(small.variables["AWS_ENDPOINT_URL"], slow.before) as proxy:
        with small.begin("up", "--yes", "--skip-preview", AWS_ENDPOINT_URL=proxy.endpoint) as process:
            assert slow.asked.wait(WAIT_SECONDS)
            left = plugins_of(process)
            assert len(left) >= 3, "the stand-in, the guard and the provider"
            process.kill()
        assert psutil.wait_procs(left, WAIT_SECONDS)[1] == []
        slow.may.set()
    assert small.vpcs() == []
    assert [one["type"] for one in small.deployment()["pending_operations"]] == ["creating"]


def test_a_secret_input_is_in_no_state_in_clear(tmp_path: Path) -> None:
    small = project(tmp_path, NEWS)
    said = small.up()
    state = small.run("stack", "export")
    assert json.loads(state)["deployment"]["resources"][-1]["type"] == "aws:sns/topic:Topic"
    for written in (said, state, *(path.read_text() for path in tmp_path.rglob("state/**/*.json"))):
        assert "planted-in-clear" not in written
    small.run("destroy", "--yes", "--skip-preview")

"""The life of a stack in an account that was bootstrapped, with every call of AWS's API taken down."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import boto3
import yaml

from examples.variants import variant
from localcloud import cloud
from localcloud.dataplane import images
from localcloud.engine import AWS_PLUGIN
from localcloud.paths import IMAGES, PROJECT, WORKSPACE
from switchyard.bootstrap import Bootstrapped
from tests.cloud.asked import Account, Asked
from tests.cloud.recorder import Recorder
from tests.cloud.stack import StackUnderTest, copy_code
from tests.unit.iam_policies import Statements

STACK = "dev"
SERVICE: Literal["api"] = "api"
# Of stack `local`: applications that the embedded cloud can run, a release that is soon over.
BORROWED = ("services", "databases", "release")
COMMAND_SECONDS = 900


class Stack(StackUnderTest):
    """A stack that is reached through the recorder, as any account that is not the embedded cloud's."""

    shell: Mapping[str, str]

    @property
    def environment(self) -> Mapping[str, str]:
        """A shell whose AWS is the recorder."""
        return cloud.applied(self.shell, os.environ)


@dataclass(kw_only=True)
class Life:
    """A stack `dev` and what each step of its life has asked of IAM.

    stack: driven through the recorder. direct: variables for the administrator, past it.
    """

    stack: Stack
    direct: Mapping[str, str]
    recorder: Recorder
    account: Account
    asked: dict[str, list[Asked]] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """What is asked meanwhile belongs to this step."""
        self.recorder.calls.clear()
        yield
        self.asked[name] = self.account.asked(list(self.recorder.calls))

    def switchyard(self, *arguments: str) -> None:
        """Runs `switchyard …`, which has to succeed."""
        shell = {name: value for name, value in self.stack.environment.items() if not name.startswith("COV")}
        done = subprocess.run(
            [sys.executable, "-c", "from switchyard.cli import main; main()", *arguments],
            cwd=self.stack.folder,
            env={**shell, "PYTHONPATH": str(self.stack.folder), "SWITCHYARD_HOME": str(WORKSPACE)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout

    def admin(self, service: str) -> Any:
        """A client of the administrator, which nobody records."""
        return admin(service, self.direct)

    def release(self, version: str) -> None:
        """Publishes a version of the example, past the recorder, and releases it."""
        built = variant(self.stack.folder / "build", SERVICE, version, schema="0001")
        image = images.publish(built, f"switchyard-{STACK}/{SERVICE}", version, self.admin("ecr"), IMAGES)
        flags = ["--strategy", "all-at-once", "--bake", "0", "--yes"]
        self.switchyard(
            "release", "start", "--stack", STACK, "--service", SERVICE, "--image", image.reference, *flags
        )

    def give_secrets_values(self) -> None:
        """What a person does before the first release."""
        manager = self.admin("secretsmanager")
        for secret in manager.list_secrets()["SecretList"]:
            if not secret["Name"].startswith("rds!"):
                manager.put_secret_value(SecretId=secret["ARN"], SecretString="nothing")


def admin(service: str, direct: Mapping[str, str]) -> Any:
    """A client with these variables."""
    return boto3.client(
        service,  # type: ignore[call-overload]
        region_name=direct["AWS_REGION"],
        endpoint_url=direct["AWS_ENDPOINT_URL"],
        aws_access_key_id=direct["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=direct["AWS_SECRET_ACCESS_KEY"],
    )


@contextmanager
def plugin(shell: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """The shell with an AWS plugin of its own: the cloud's does not go through the recorder."""
    if "PULUMI_DEBUG_PROVIDERS" not in shell:
        yield shell
        return
    process = subprocess.Popen(
        [AWS_PLUGIN, "--kept"],
        cwd=PROJECT,
        env=cloud.applied(shell, os.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield {**shell, "PULUMI_DEBUG_PROVIDERS": f"aws:{process.stdout.readline().strip()}"}
    finally:
        process.stdin.close()
        process.wait()


def stack_in(folder: Path, account: str, shell: Mapping[str, str]) -> Stack:
    """A checkout whose one stack is `dev`, with applications that run here."""
    folder.mkdir(parents=True)
    copy_code(folder)
    shutil.copy(PROJECT / "Pulumi.yaml", folder)
    (folder / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    stack = Stack(folder=folder, name=STACK, account=account)
    stack.shell = shell
    stack.settings = yaml.safe_load((PROJECT / f"Pulumi.{STACK}.yaml").read_text())["config"]
    local = yaml.safe_load((PROJECT / "Pulumi.local.yaml").read_text())["config"]
    stack.settings |= {f"switchyard:{name}": local[f"switchyard:{name}"] for name in BORROWED}
    stack.settings["switchyard:accounts"] = [account]
    stack.write()
    return stack


def through(done: Bootstrapped, direct: Mapping[str, str], recorder: Recorder) -> dict[str, str]:
    """A shell with the account's own backend, whose AWS is the recorder."""
    was, now = direct["AWS_ENDPOINT_URL"], recorder.endpoint
    return {**direct, "AWS_ENDPOINT_URL": now, "PULUMI_BACKEND_URL": done.backend_url.replace(was, now)}


def policies_of(iam: Any, role: str) -> list[Statements]:
    """What a role may do, as the account has it: its policies, and its boundary where it has one."""
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    assert names, f"{role} may do nothing at all"
    texts = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
    found = [[statement for text in texts for statement in text["Statement"]]]
    boundary = iam.get_role(RoleName=role)["Role"].get("PermissionsBoundary")
    if boundary:
        arn = boundary["PermissionsBoundaryArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        found.append((json.loads(document) if isinstance(document, str) else document)["Statement"])
    return found

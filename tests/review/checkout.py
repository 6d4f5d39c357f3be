"""The real `switchyard` command in a checkout of its own: a small program, the real engine, a provider in
memory, and AWS's STS, DynamoDB and S3 by moto. Nothing of the embedded cloud has to run.
"""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from select import select
from typing import Any

import boto3
import yaml

from localcloud.paths import BIN, PROJECT, PULUMI_HOME, WORKSPACE
from tests.cloud.commands import Said
from tests.cloud.stack import CODE, copy_code
from tests.release.dynamo import made
from tests.review.conftest import PROGRAM
from tests.review.provider import Provider, serving

ACCOUNT = "123456789012"
STACK = "dev"
TABLE = f"switchyard-{STACK}-releases"
COMMAND_SECONDS = 600
LINKED = tuple(name for name in CODE if name != "localcloud")


@dataclass(kw_only=True)
class Checkout:
    """The checkout. `variables` are added to the environment of its commands; None takes one away."""

    folder: Path
    provider: Provider
    endpoint: str
    variables: dict[str, str | None] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """The settings of its stack."""
        return self.folder / f"Pulumi.{STACK}.yaml"

    @property
    def state(self) -> Path:
        """Where its engine keeps the state."""
        return self.folder / "state"

    @property
    def locks(self) -> Path:
        """Where its engine keeps the stack's locks."""
        return self.state / ".pulumi/locks/organization/switchyard" / STACK

    def declares(self, **properties: dict[str, Any]) -> None:
        """What the program declares from now on: parameters by name."""
        about = {
            name: {"type": "aws:ssm/parameter:Parameter", "properties": its}
            for name, its in properties.items()
        }
        (self.folder / "resources.json").write_text(json.dumps(about))

    @property
    def environment(self) -> dict[str, str]:
        """A shell of a user who has set up everything."""
        found: dict[str, str | None] = {
            "PATH": f"{BIN}:{Path(sys.prefix) / 'bin'}:/usr/bin:/bin",
            "HOME": str(self.folder),
            "USER": "ada",
            "LOGNAME": "ada",
            "COLUMNS": "200",
            "PYTHONPATH": str(self.folder),
            "SWITCHYARD_HOME": str(WORKSPACE),
            "SWITCHYARD_PLANS": str(self.folder / "plans"),
            "PULUMI_HOME": str(PULUMI_HOME),
            "PULUMI_BACKEND_URL": f"file://{self.state}",
            "PULUMI_CONFIG_PASSPHRASE": "a passphrase of the tests",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_DEBUG_PROVIDERS": f"aws:{self.provider.port}",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "AKIDTESTS",
            "AWS_SECRET_ACCESS_KEY": "a-secret-key-of-tests",
            "AWS_REGION": "eu-west-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "TMPDIR": str(self.folder / "tmp"),
            **self.variables,
        }
        return {name: value for name, value in found.items() if value is not None}

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        """Starts the command."""
        return subprocess.Popen(
            self._command(arguments),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _command(self, arguments: Sequence[str], before: str = "") -> list[str]:
        return [sys.executable, "-c", f"{before}from switchyard.cli import main; main()", *arguments]

    def end(self, process: "subprocess.Popen[str]", seconds: float = COMMAND_SECONDS) -> Said:
        """Waits for a command's end, at most so long."""
        try:
            out, err = process.communicate(timeout=seconds)
        except BaseException:
            process.kill()
            process.communicate()
            raise
        return Said(status=process.returncode, out=out, err=err)

    def switchyard(self, *arguments: str, seconds: float = COMMAND_SECONDS) -> Said:
        """Runs the command."""
        return self.end(self.begin(*arguments), seconds)

    def on_terminal(self, *arguments: str, typed: Sequence[str]) -> Said:
        """Runs the command on a terminal; each time it asks, the next of these is typed.

        All that the terminal shows is in `out`.
        """
        answers = iter(typed)
        ours, theirs = pty.openpty()
        with os.fdopen(ours, "r+b", buffering=0) as screen:
            with os.fdopen(theirs, "r+b", buffering=0) as terminal:
                process = subprocess.Popen(
                    self._command(arguments, before="import os; os.login_tty(os.dup(0)); "),
                    cwd=self.folder,
                    env={**self.environment, "TERM": "dumb"},
                    stdin=terminal,
                    stdout=terminal,
                    stderr=terminal,
                )
            shown = b""
            try:
                # A terminal that nobody else has open any more can't be read.
                with suppress(OSError):
                    while select([screen], [], [], COMMAND_SECONDS)[0] and (part := screen.read(4096)):
                        shown += part
                        if shown.endswith((b"]: ", b"): ")):
                            screen.write(next(answers).encode())
                status = process.wait(COMMAND_SECONDS)
            except BaseException:
                process.kill()
                process.wait()
                raise
            return Said(status=status, out=shown.decode(), err="")

    def aws(self, service: str) -> Any:
        """A boto3 client of its account."""
        make: Any = boto3.client
        return make(
            service,
            region_name="eu-west-1",
            endpoint_url=self.endpoint,
            aws_access_key_id="AKIDTESTS",
            aws_secret_access_key="x",  # noqa: S106
        )

    def make_table(self) -> None:
        """The table that the platform's own program would have made, once for all that share the API."""
        client = self.aws("dynamodb")
        with suppress(client.exceptions.ResourceInUseException):
            made(client, TABLE)

    def left_behind(self) -> list[str]:
        """Temporary files and half-written ones."""
        left = [str(path) for path in (self.folder / "tmp").iterdir()]
        return left + [str(path) for path in self.folder.rglob("*.part")]


@contextmanager
def checkout(folder: Path, provider: Provider, endpoint: str) -> Iterator[Checkout]:
    """A checkout with an empty state and no table; its provider serves until the block ends."""
    (folder / "tmp").mkdir(parents=True)
    (folder / "state").mkdir()
    # A copy of the package that is asked where its checkout is; the others may be links.
    copy_code(folder, but=LINKED)
    for name in LINKED:
        (folder / name).symlink_to(PROJECT / name, target_is_directory=True)
    (folder / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    runtime = {"name": "python", "options": {"toolchain": "pip", "virtualenv": ".venv"}}
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "switchyard", "runtime": runtime}))
    config: dict[str, Any] = yaml.safe_load((PROJECT / f"Pulumi.{STACK}.yaml").read_text())["config"]
    config["switchyard:accounts"] = [ACCOUNT]
    # The small program has no provider of its own.
    config.pop("pulumi:disable-default-providers", None)
    (folder / f"Pulumi.{STACK}.yaml").write_text(yaml.safe_dump({"config": config}, sort_keys=False))
    (folder / "__main__.py").write_text(PROGRAM)
    made = Checkout(folder=folder, provider=provider, endpoint=endpoint)
    made.declares()
    with serving(provider):
        yield made


def is_gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False

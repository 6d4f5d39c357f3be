"""A stack of the program in a project folder of its own, driven as users drive it."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import yaml

from localcloud import cloud
from localcloud.paths import PROJECT

UP_SECONDS = 900
BUILD = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
CODE: tuple[str, ...] = tuple(BUILD["targets"]["wheel"]["packages"])


def copy_code(folder: Path, *, but: Collection[str] = ()) -> None:
    """Copies the project's code. Real copies: the code asks its own files where its checkout is."""
    for name in CODE:
        if name not in but:
            ignored = shutil.ignore_patterns("__pycache__", ".mypy_cache")
            shutil.copytree(PROJECT / name, folder / name, ignore=ignored)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a command of the engine came to. `text` is all that a user saw of it."""

    status: int
    text: str

    @property
    def changes(self) -> dict[str, int]:
        """The counts of the summary, such as {"unchanged": 182, "updated": 1}."""
        found: dict[str, int] = {}
        lines = self.text.partition("Resources:\n")[2].splitlines()
        for line in lines:
            words = line.replace("+-", "").replace("~", "").replace("+", "").replace("-", " ", 1).split()
            if len(words) >= 2 and words[0].isdigit():
                found[" ".join(words[1:])] = int(words[0])
            else:
                break
        return found


@dataclass
class StackUnderTest:
    """One stack in one AWS account of the embedded cloud.

    Each test group has an account of its own, so that groups can run at the same time.
    """

    folder: Path
    name: str
    account: str
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def create(cls, folder: Path, name: str, account: str) -> "StackUnderTest":
        """A fresh copy of the project with this stack's own settings, in another account."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "Pulumi.yaml").write_text((PROJECT / "Pulumi.yaml").read_text())
        for linked, target in (("infra", PROJECT / "infra"), (".venv", Path(sys.prefix))):
            (folder / linked).symlink_to(target, target_is_directory=True)
        stack = cls(folder=folder, name=name, account=account)
        text = (PROJECT / f"Pulumi.{name}.yaml").read_text()
        theirs = yaml.safe_load(text)["config"]["switchyard:accounts"][0]
        stack.settings = yaml.safe_load(text.replace(theirs, account))["config"]
        stack.write()
        stack.pulumi("stack", "init", name, check=True)
        return stack

    @property
    def file(self) -> Path:
        """The stack's settings file."""
        return self.folder / f"Pulumi.{self.name}.yaml"

    def write(self) -> None:
        """Writes the settings down, keeping what the engine wrote into the file."""
        kept = yaml.safe_load(self.file.read_text()) if self.file.exists() else {}
        self.file.write_text(yaml.safe_dump({**kept, "config": self.settings}, sort_keys=False))

    def change(self, edit: Callable[[dict[str, Any]], None]) -> None:
        """Edits the settings in place and writes them."""
        edit(self.settings)
        self.write()

    def section(self, name: str) -> Any:
        """One section of the settings, to be edited."""
        return self.settings[f"switchyard:{name}"]

    @cached_property
    def environment(self) -> Mapping[str, str]:
        """What `switchyard cloud env` gives for this account."""
        return cloud.applied(cloud.environment(self.account), os.environ)

    def pulumi(self, *arguments: str, check: bool = False) -> Outcome:
        """Runs the engine's command line, as a user in a shell without a terminal."""
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive", "--color", "never"],
            cwd=self.folder,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=UP_SECONDS,
            check=False,
        )
        if check:
            assert done.returncode == 0, done.stdout
        return Outcome(status=done.returncode, text=done.stdout)

    def up(self, *flags: str) -> Outcome:
        """`pulumi up`, which has to succeed."""
        arguments = ["up", "--yes", "--skip-preview", "--stack", self.name, *flags]
        return self.pulumi(*arguments, check=True)

    def preview(self, *flags: str) -> Outcome:
        """`pulumi preview` with every difference spelt out, which has to succeed."""
        return self.pulumi("preview", "--diff", "--stack", self.name, *flags, check=True)

    def outputs(self) -> Any:
        """The stack's outputs."""
        said = self.pulumi("stack", "output", "--json", "--stack", self.name, check=True)
        return json.loads(said.text[said.text.index("{") :])

    def aws(self, service: str, region: str | None = None) -> Any:
        """A boto3 client for the stack's account."""
        return boto3.client(
            service,  # type: ignore[call-overload]
            region_name=region or self.settings["switchyard:region"],
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
        )

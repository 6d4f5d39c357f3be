"""Runs a job of a workflow as it stands: its `run` commands in bash, its expressions from a table."""

import re
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.workflows.expressions import filled, holds
from tests.workflows.reading import Job, action

# What GitHub runs for `shell: bash`.
BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
STEP_SECONDS = 900
VERSION = re.compile(r"@[0-9a-f]{40}$")


@dataclass(kw_only=True)
class Ran:
    """What came of a job. steps: names of what ran; text: all that its commands said."""

    status: int = 0
    skipped: bool = False
    steps: list[str] = field(default_factory=list)
    text: str = ""
    summary: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)


# Gets the step's inputs and the job's variables, which it may add to.
Use = Callable[[Mapping[str, str], MutableMapping[str, str]], None]


@dataclass(kw_only=True)
class Runner:
    """Where jobs run.

    folder: the checkout. shell: variables of the machine. uses: what stands in for an action, by its name.
    made: commands that are not run here, by their text. ran: every `run` step that was, by job.
    """

    folder: Path
    shell: Mapping[str, str]
    uses: Mapping[str, Use]
    made: frozenset[str] = frozenset({"make install"})
    ran: dict[str, set[str]] = field(default_factory=dict)

    def run(self, job: Job, contexts: Mapping[str, Any]) -> Ran:
        """Runs the job, or skips it where its own condition does not hold."""
        if not holds(job.about.get("if"), contexts, succeeded=True):
            return Ran(skipped=True)
        return _Run(runner=self, job=job, contexts=contexts).all()


def matrix(job: Job, contexts: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Each combination of the job's matrix, which lists them."""
    for entry in job.about["strategy"]["matrix"]["include"]:
        yield {key: filled(value, contexts) for key, value in entry.items()}


def asked(caller: Job, contexts: Mapping[str, Any]) -> dict[str, str]:
    """The inputs that a job gives to the workflow that it calls."""
    return {name: filled(text, contexts) for name, text in caller.about.get("with", {}).items()}


def handed_on(called: Job, outputs: Mapping[str, str]) -> dict[str, str]:
    """What the workflow of this job gives back to its caller."""
    known = {"jobs": {called.name: {"outputs": outputs}}}
    about = called.whole["on"]["workflow_call"]["outputs"]
    return {name: filled(one["value"], known) for name, one in about.items()}


@dataclass(kw_only=True)
class _Run:
    runner: Runner
    job: Job
    contexts: Mapping[str, Any]
    ran: Ran = field(default_factory=Ran)
    variables: dict[str, str] = field(default_factory=dict)
    # What the steps that stand in for actions have given to those after them.
    given: dict[str, str] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)

    def all(self) -> Ran:
        files = self.runner.folder / ".runner" / uuid.uuid4().hex
        files.mkdir(parents=True)
        self.files = files
        (files / "summary").touch()
        self.variables = self._env(self.job.about, self.contexts)
        for step in self.job.steps:
            self._step(step, self._now())
        known = {**self.contexts, "steps": self.results}
        outputs = self.job.about.get("outputs", {})
        if self.ran.status == 0:
            self.ran.outputs = {name: filled(text, known) for name, text in outputs.items()}
        self.ran.summary = (files / "summary").read_text()
        return self.ran

    def _now(self) -> dict[str, Any]:
        return {**self.contexts, "env": self.variables, "steps": self.results}

    def _env(self, about: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, str]:
        return {name: filled(text, known) for name, text in about.get("env", {}).items()}

    def _step(self, step: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        if not holds(step.get("if"), known, succeeded=self.ran.status == 0):
            if "id" in step:
                self.results[step["id"]] = {"outputs": {}}
            return
        self.ran.steps.append(step["name"])
        if "run" in step:
            self._command(step, known)
            return
        inputs = {name: filled(text, known) for name, text in step.get("with", {}).items()}
        if step["uses"].startswith("./"):
            about = action(step["uses"])
            defaults = {name: one["default"] for name, one in about["inputs"].items()}
            for inner in about["runs"]["steps"]:
                self._step(inner, {**self._now(), "inputs": {**defaults, **inputs}})
            return
        self.runner.uses[VERSION.sub("", step["uses"])](inputs, self.given)

    def _command(self, step: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        self.runner.ran.setdefault(self.job.key, set()).add(step["name"])
        command = filled(step["run"], known)
        if command in self.runner.made:
            return
        output = self.files / uuid.uuid4().hex
        output.touch()
        files = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(self.files / "summary")}
        done = subprocess.run(
            [*BASH, "-c", command],
            cwd=self.runner.folder,
            env={**self.runner.shell, **self.variables, **self._env(step, known), **files, **self.given},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=STEP_SECONDS,
            check=False,
        )
        self.ran.text += done.stdout
        self.ran.status = self.ran.status or done.returncode
        if "id" in step:
            lines = [line.partition("=") for line in output.read_text().splitlines()]
            self.results[step["id"]] = {"outputs": {name: value for name, _, value in lines}}

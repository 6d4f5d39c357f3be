"""A repository as a user of the platform has it, in which the workflows' jobs run on the embedded cloud."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bootstrap import trust
from bootstrap.inputs import AUDIENCE, ISSUER, PREVIEW_ROLE, checked
from localcloud import cloud
from localcloud.paths import PROJECT, WORKSPACE
from tests.cloud.stack import StackUnderTest, copy_code
from tests.review.github import TOKEN, GitHub
from tests.workflows.artefacts import Artefacts, Kept
from tests.workflows.expressions import filled
from tests.workflows.reading import Job, jobs
from tests.workflows.running import Ran, Runner, matrix

ACCOUNTS = {"dev": "100000000081", "staging": "100000000082", "prod": "100000000083"}
REGION = "eu-west-1"
REPOSITORY = "shop/platform"
FILES = ("Makefile", "pyproject.toml", "requirements.txt", "Pulumi.yaml")
JOBS = jobs()
UNSET: dict[str, Any] = {"service": None, "image": None, "hotfix": None}
# Jobs that never run beside another one here, and so can have a checkout without the plans of others.
ALONE = ("plan/plan", "release/prod", "promote/prod")


@dataclass
class Repository:
    """The checkout, what GitHub knows of it, and the artefacts of its runs."""

    folder: Path
    github: GitHub
    artefacts: dict[str, Kept] = field(default_factory=dict)
    # By job, who it was for AWS: the role, and the subject of GitHub's token.
    roles: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    ran: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def create(cls, folder: Path, github: GitHub) -> "Repository":
        """A copy of the project whose stacks are small, quick and in accounts of their own."""
        folder.mkdir(parents=True)
        copy_code(folder)
        for name in FILES:
            shutil.copy2(PROJECT / name, folder / name)
        (folder / ".venv").symlink_to(sys.prefix, target_is_directory=True)
        repository = cls(folder, github)
        for stack in ACCOUNTS:
            repository.write(stack, small(stack))
        return repository

    # --- its stacks

    def write(self, stack: str, settings: Mapping[str, Any]) -> None:
        """Writes a stack's settings."""
        (self.folder / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump({"config": dict(settings)}))

    def change(self, stack: str, edit: Callable[[dict[str, Any]], None]) -> None:
        """Edits a stack's settings."""
        settings = yaml.safe_load((self.folder / f"Pulumi.{stack}.yaml").read_text())["config"]
        edit(settings)
        self.write(stack, settings)

    def stack(self, name: str) -> StackUnderTest:
        """The stack, to be looked at."""
        settings = yaml.safe_load((self.folder / f"Pulumi.{name}.yaml").read_text())["config"]
        return StackUnderTest(folder=self.folder, name=name, account=ACCOUNTS[name], settings=settings)

    # --- its jobs

    def run(
        self,
        key: str,
        *,
        event: str = "push",
        payload: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
        needs: Mapping[str, Any] | None = None,
        entry: Mapping[str, str] | None = None,
        unset: tuple[str, ...] = (),
    ) -> Ran:
        """Runs a job. entry: of its matrix. unset: stacks that the repository names no account for."""
        job = JOBS[key]
        contexts = {**self.contexts(event, payload, unset), "inputs": {**UNSET, **(inputs or {})}}
        contexts |= {"needs": dict(needs or {}), "matrix": dict(entry or {})}
        runner = Runner(
            folder=self.folder, shell=self.shell(event), uses=self.actions(job, contexts), ran=self.ran
        )
        return runner.run(job, contexts)

    def entries(self, key: str, unset: tuple[str, ...] = ()) -> dict[str, dict[str, str]]:
        """The matrix of a job, by stack."""
        return {entry["stack"]: entry for entry in matrix(JOBS[key], self.contexts("push", None, unset))}

    def contexts(
        self, event: str, payload: Mapping[str, Any] | None, unset: tuple[str, ...]
    ) -> dict[str, Any]:
        """What GitHub would tell; what is not here, no workflow may ask for."""
        accounts = {
            f"AWS_ACCOUNT_{name.upper()}": None if name in unset else account
            for name, account in ACCOUNTS.items()
        }
        return {
            "vars": {**accounts, "AWS_REGION": REGION, "PROMOTE_HOURLY": None},
            "github": {
                "event_name": event,
                "repository": REPOSITORY,
                "token": TOKEN,
                "event": {"client_payload": None, "pull_request": None, **(payload or {})},
            },
        }

    def shell(self, event: str) -> dict[str, str]:
        """The machine's variables: no cloud, this checkout's code before any other, and GitHub's own."""
        # Coverage is of the project's files; it would look for these copies when they are gone.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "GITHUB_"))}
        pull_request = {"GITHUB_REF": "refs/pull/12/merge"} if event == "pull_request" else {}
        return {
            **kept,
            "PYTHONPATH": str(self.folder),
            "SWITCHYARD_HOME": str(WORKSPACE),
            "GITHUB_API_URL": self.github.url,
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_ACTOR": "ada",
            **pull_request,
        }

    # --- what stands in for actions

    def actions(self, job: Job, contexts: Mapping[str, Any]) -> dict[str, Any]:
        """See tests/workflows/table.py."""

        def nothing(inputs: Mapping[str, str], given: MutableMapping[str, str]) -> None:
            del inputs, given

        def credentials(inputs: Mapping[str, str], given: MutableMapping[str, str]) -> None:
            self._take_role(job, contexts, inputs, given)

        def checkout(inputs: Mapping[str, str], given: MutableMapping[str, str]) -> None:
            del inputs, given
            if job.key in ALONE:
                shutil.rmtree(self.folder / "plans", ignore_errors=True)

        artefacts = Artefacts(folder=self.folder, kept=self.artefacts)
        return {
            "actions/checkout": checkout,
            "actions/setup-python": nothing,
            "pulumi/actions": nothing,
            "actions/upload-artifact": artefacts.upload,
            "actions/download-artifact": artefacts.download,
            "aws-actions/configure-aws-credentials": credentials,
        }

    def _take_role(
        self,
        job: Job,
        contexts: Mapping[str, Any],
        inputs: Mapping[str, str],
        given: MutableMapping[str, str],
    ) -> None:
        """Gives the credentials of the embedded cloud, if the role's trust would let this job have it."""
        _, _, _, _, account, resource = inputs["role-to-assume"].split(":")
        role, environment = resource.removeprefix("role/"), job.about.get("environment")
        known = checked(
            account=account, region=REGION, repository=REPOSITORY, environments=(environment or "staging",)
        )
        kind = "pull_request" if contexts["github"]["event_name"] == "pull_request" else "ref:refs/heads/main"
        subject = f"repo:{REPOSITORY}:{f'environment:{environment}' if environment else kind}"
        policy = json.loads(
            trust.preview_policy(known)
            if role == PREVIEW_ROLE
            else trust.writer_policy(known, environment or "")
        )
        condition = policy["Statement"][0]["Condition"]["StringEquals"]
        assert condition[f"{ISSUER}:aud"] == AUDIENCE
        assert subject in condition[f"{ISSUER}:sub"], f"AWS would not let {job.key} have {role}"
        assert job.about["permissions"]["id-token"] == "write"
        assert inputs["aws-region"] == REGION
        self.roles.setdefault(job.key, set()).add((role, subject))
        # The embedded cloud keeps its state elsewhere.
        backend = filled(job.about["env"]["PULUMI_BACKEND_URL"], contexts)
        assert backend == f"s3://{known.bucket}?region={REGION}", "where bootstrap has made it"
        given.update(cloud.environment(account))


def small(stack: str) -> dict[str, Any]:
    """Settings of the stack `local`, with one service and no database, that release in no time."""
    text = (PROJECT / "Pulumi.local.yaml").read_text()
    theirs = yaml.safe_load(text)["config"]["switchyard:accounts"][0]
    settings: dict[str, Any] = yaml.safe_load(text.replace(theirs, ACCOUNTS[stack]))["config"]
    del settings["switchyard:services"]["api"]
    settings["switchyard:databases"] = {}
    settings["switchyard:services"]["web"]["count"] = {"minimum": 1, "maximum": 1}
    waivers = settings["switchyard:policy"]["waivers"]
    settings["switchyard:policy"]["waivers"] = [
        one for one in waivers if not one["control"].startswith("RDS")
    ]
    # A /20 for each stack, as on any account.
    settings["switchyard:network"]["cidr"] = f"10.{list(ACCOUNTS).index(stack)}.0.0/20"
    release = settings["switchyard:release"]
    release |= {"strategy": "all-at-once", "bake_seconds": 0}
    if stack == "prod":
        release |= {"promoted_from": "staging", "soak_seconds": 3600}
    return settings

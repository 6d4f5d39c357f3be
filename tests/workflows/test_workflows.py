"""The workflows as a reader of security advice would read them, and their jobs that need no cloud."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bootstrap.inputs import PREVIEW_ROLE, writer_role
from localcloud.engine import CLI_VERSION
from localcloud.paths import PROJECT
from tests.workflows import table
from tests.workflows.reading import Job, all_steps, jobs, workflows
from tests.workflows.running import Runner

USES = re.compile(r"^(?P<name>[\w.-]+/[\w./-]+)@(?P<commit>[0-9a-f]{40})$")
COMMENTED = re.compile(r"uses: (?P<action>\S+@[0-9a-f]{40}) # (?P<version>v\d+\.\d+\.\d+)$", re.M)
FILES = sorted([*(PROJECT / ".github").rglob("*.yml")])
JOBS = jobs()
# What may be written, by whom. Everything else only reads, and nothing is the default.
MAY_WRITE = {"id-token", "issues", "pull-requests"}


def test_every_job_has_one_place_in_the_table() -> None:
    places = [table.CLOUD, table.HERE, table.MADE.keys(), table.CALLS.keys()]
    listed = [key for place in places for key in place]
    assert sorted(listed) == sorted(JOBS), (
        "a new job needs a place: what runs its commands, or why nothing does"
    )


def test_every_action_is_known_and_pinned_by_its_commit() -> None:
    used = {step["uses"] for _, step in all_steps() if "uses" in step}
    pinned = {use for use in used if not use.startswith("./")}
    assert {USES.fullmatch(use)["name"] for use in pinned} == table.ACTIONS.keys()  # type: ignore[index]
    assert used - pinned == {"./.github/actions/setup"}


def test_each_commit_has_one_version_beside_it_everywhere() -> None:
    said: dict[str, set[str]] = {}
    for file in FILES:
        text = file.read_text()
        for match in COMMENTED.finditer(text):
            said.setdefault(match["action"], set()).add(match["version"])
        assert len(COMMENTED.findall(text)) == len(re.findall(r"uses: [^.\s]", text)), (
            f"{file.name}: no version"
        )
    assert {action: len(versions) for action, versions in said.items()} == dict.fromkeys(said, 1)
    names = [action.partition("@")[0] for action in said]
    assert len(names) == len(set(names)), "an action in two versions"


@pytest.mark.parametrize("name", sorted(workflows()))
def test_a_workflow_gives_nothing_by_default_and_cancels_nothing(name: str) -> None:
    whole = workflows()[name]
    assert whole["permissions"] == {}
    assert whole["defaults"] == {"run": {"shell": "bash"}}, (
        "bash as named has pipefail, bash by default has not"
    )
    assert whole["concurrency"]["cancel-in-progress"] == "false"
    assert "pull_request_target" not in whole["on"]


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS.keys())
def test_a_job_asks_for_the_least(job: Job) -> None:
    permissions = job.about["permissions"]
    assert set(permissions) <= {"contents", *MAY_WRITE}
    assert permissions.get("contents", "read") == "read"
    if job.key in table.CALLS:
        assert job.about["uses"] == table.CALLS[job.key]
        return
    assert int(job.about["timeout-minutes"]) <= 340, "a role's session ends after 360"
    takes_a_role = any("configure-aws-credentials" in step.get("uses", "") for step in job.steps)
    assert takes_a_role == (permissions.get("id-token") == "write")
    assert job.about.get("concurrency", job.whole["concurrency"])["cancel-in-progress"] == "false"


def test_a_checkout_leaves_no_token_behind() -> None:
    checkouts = [step for _, step in all_steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert {step["with"].get("persist-credentials") for step in checkouts} == {"false"}


def test_no_command_has_an_expression_in_it() -> None:
    assert [where for where, step in all_steps() if "${{" in step.get("run", "")] == []


def test_every_step_has_a_name_of_its_own_in_its_job() -> None:
    for key, job in JOBS.items():
        names = [step["name"] for step in job.steps]
        assert len(names) == len(set(names)), key


def stack_of(job: Job) -> str:
    """The stack that a job writes to, by its group; empty for one that only looks."""
    group: str = job.about.get("concurrency", {}).get("group", "")
    return group.removeprefix("switchyard-") if group.startswith("switchyard-") else ""


def test_who_writes_to_a_stack_is_alone_there_and_in_its_environment() -> None:
    writers = {key: stack_of(job) for key, job in JOBS.items() if stack_of(job) in ("staging", "prod")}
    assert writers == {"release/staging": "staging", "release/prod": "prod", "promote/prod": "prod"}
    for key, stack in writers.items():
        assert JOBS[key].about["environment"] == stack
    commands = {
        (key, match[1])
        for key, job in JOBS.items()
        for step in job.steps
        for match in re.finditer(
            r"switchyard (?:up --stack|release start --stack|promote --from staging --to) (\S+)",
            step.get("run", ""),
        )
    }
    assert commands == set(writers.items()), "no other job changes a stack"


def test_a_role_is_one_that_bootstrap_makes_and_its_environment_is_the_jobs() -> None:
    for key, job in JOBS.items():
        for step in job.steps:
            if "configure-aws-credentials" not in step.get("uses", ""):
                continue
            role = step["with"]["role-to-assume"].rpartition("/")[2]
            environment = job.about.get("environment")
            assert role == (writer_role(environment) if environment else PREVIEW_ROLE), key
            assert int(step["with"].get("role-duration-seconds", 3600)) >= 60 * min(
                int(job.about["timeout-minutes"]), 60
            ), f"{key}: its credentials end before it does"


def test_pulumi_is_the_version_that_is_tested() -> None:
    (step,) = [step for _, step in all_steps() if step.get("uses", "").startswith("pulumi/actions@")]
    assert step["with"] == {"pulumi-version": CLI_VERSION}, "and no command: it installs alone"


def recipe(target: str, *arguments: str) -> list[str]:
    """What make would do, once everything that it needs is there."""
    said = make(PROJECT, "-n", target, *arguments)
    assert said.returncode == 0, said.stderr
    return said.stdout.replace("\\\n", " ").splitlines()


@pytest.mark.parametrize("key", table.MADE)
def test_a_job_of_make_runs_targets_that_there_are(key: str) -> None:
    commands = [step["run"].split() for step in JOBS[key].steps if "run" in step]
    assert commands
    for make, target, *arguments in commands:
        assert make == "make"
        assert recipe(target, *arguments)


def test_make_lint_holds_the_workflows_and_looks_for_secrets() -> None:
    lines = recipe("lint")
    for tool in (
        "ruff format --check",
        "ruff check",
        "mypy",
        "actionlint",
        "zizmor --offline",
        "gitleaks dir",
        "gitleaks git",
    ):
        assert [line for line in lines if f".venv/bin/{tool}" in line], tool
    assert recipe("test")[: len(lines)] == lines, "`make test` begins with it"


def test_make_test_is_every_folder_of_tests() -> None:
    folders = {path.parent for path in (PROJECT / "tests").rglob("test_*.py")}
    (line,) = [line for line in recipe("test") if "pytest" in line]
    assert {str(folder.relative_to(PROJECT)) for folder in folders} == set(re.findall(r"tests/\w+", line))
    assert (PROJECT / ".ci" / "run").read_text().endswith("exec make test\n")


def test_make_audit_asks_for_all_that_is_pinned_and_fails_for_what_it_cannot_judge() -> None:
    (line,) = recipe("audit")
    assert line == (
        "grep -v '^-e' requirements.txt | .venv/bin/pip-audit --strict --no-deps --disable-pip -r /dev/stdin"
    )


def test_make_checkov_judges_the_rendered_stack() -> None:
    lines = recipe("checkov", "STACK=prod")
    assert (
        lines[-1]
        == ".venv/bin/python -m review.terraform_checks .checkov/prod.json .checkov/prod/prod.tf.json"
    )
    assert "--framework terraform_json" in lines[-2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What make needs of the project, in another folder."""
    for name in ("Makefile", "pyproject.toml", "requirements.txt", ".gitleaks.toml"):
        shutil.copy2(PROJECT / name, tmp_path / name)
    (tmp_path / ".github").symlink_to(PROJECT / ".github")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


def test_the_bill_of_materials_of_a_release_names_every_package(checkout: Path) -> None:
    kept: dict[str, Any] = {}

    def keep(given: Any, _: object) -> None:
        kept[given["name"]] = json.loads((checkout / given["path"]).read_text())

    uses = {**dict.fromkeys(table.ACTIONS, lambda *_: None), "actions/upload-artifact": keep}
    runner = Runner(folder=checkout, shell=dict(os.environ), uses=uses)
    job = JOBS["release/sbom"]
    ran = runner.run(job, {})
    assert ran.status == 0, ran.text
    assert runner.ran == {job.key: {"Requirements", "Write it down"}}
    sbom = kept["sbom"]
    assert (sbom["bomFormat"], sbom["metadata"]["component"]["name"]) == ("CycloneDX", "switchyard")
    named = {entry["name"].lower().replace("_", "-") for entry in sbom["components"]}
    assert {"pulumi", "pulumi-aws", "boto3", "pygithub"} <= named
    assert all(entry.get("licenses") for entry in sbom["components"] if entry["name"] == "PyGithub")


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "-o", ".venv/.installed", "-o", ".venv/.tools", *arguments],
        cwd=checkout,
        # The tests may be run by make themselves: this one is none of its parts.
        env={name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_licence_that_is_not_allowed_fails(checkout: Path) -> None:
    assert make(checkout, "licences").returncode == 0
    file = checkout / "pyproject.toml"
    file.write_text(file.read_text().replace("; MIT; ", "; "))
    said = make(checkout, "licences")
    assert said.returncode != 0
    assert "MIT not in allow-only licenses" in said.stdout + said.stderr


# Put together here, so that no file has it.
PLANTED = "AKIA" + "Q3EGRIGZ7YB5" + "OCTP"


@pytest.mark.parametrize("where", ["infra/keys.py", "Pulumi.prod.yaml", "docs/how.md"])
def test_a_planted_secret_is_found_and_not_shown(checkout: Path, where: str) -> None:
    assert make(checkout, "secrets").returncode == 0
    file = checkout / where
    file.parent.mkdir(exist_ok=True)
    file.write_text(f'aws_access_key_id = "{PLANTED}"\n')
    said = make(checkout, "secrets")
    assert said.returncode != 0
    assert "leaks found: 1" in said.stderr
    assert PLANTED not in said.stdout + said.stderr


def test_a_secret_that_was_deleted_again_is_found_in_the_history(checkout: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=ada", "-c", "user.email=ada@example.com"]
        subprocess.run(["git", *identity, *arguments], cwd=checkout, capture_output=True, check=True)

    file = checkout / "keys.py"
    file.write_text(f'aws_access_key_id = "{PLANTED}"\n')
    for arguments in (["init", "-q"], ["add", "keys.py"], ["commit", "-qm", "in"], ["rm", "-q", "keys.py"]):
        git(*arguments)
    git("commit", "-qm", "out")
    assert not file.exists()
    said = make(checkout, "secrets")
    assert said.returncode != 0
    assert "leaks found: 1" in said.stderr

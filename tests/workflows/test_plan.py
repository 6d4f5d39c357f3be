"""Prod gets the plan that its approver has seen: how that goes from job to job.

The commands run as they stand; in the place of `switchyard` a script notes what it is asked for. What the
real one does with a plan: tests/review/test_apply.py, and tests/cloud/test_workflows.py.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.workflows import table
from tests.workflows.artefacts import Artefacts, Kept
from tests.workflows.expressions import filled, holds
from tests.workflows.reading import jobs
from tests.workflows.running import Ran, Runner, asked, handed_on

JOBS = jobs()
PLAN = "plan/plan"
# What applies to prod, and the job that plans for it.
APPLYING = {"release/prod": "release/plan", "promote/prod": "promote/plan"}
RELEASING = ("release/staging", "promote/prod")
DIGEST = "5" * 64
CONTEXTS: dict[str, Any] = {
    "vars": {"AWS_REGION": "eu-west-1", "AWS_ACCOUNT_PROD": "1" * 12},
    "inputs": {"hotfix": None},
}
SWITCHYARD = """#!/usr/bin/env bash
echo "$*" >> calls
case $1 in
  preview)
    echo '### The report'
    echo 'Previewing' >&2
    if [ -n "$DIGEST" ]; then
      mkdir -p "$SWITCHYARD_PLANS"
      echo '{}' > "$SWITCHYARD_PLANS/$DIGEST.json"
    fi
    exit "$STATUS" ;;
  up) ls "$SWITCHYARD_PLANS" >> calls ;;
esac
"""


@dataclass(kw_only=True)
class Machine:
    """A machine of GitHub's, new for each job. preview: the digest and exit status of a preview there."""

    folder: Path
    artefacts: dict[str, Kept] = field(default_factory=dict)
    preview: tuple[str, int] = (DIGEST, 0)

    def run(self, key: str, **contexts: Any) -> Ran:
        """Runs a job."""
        script = self.folder / ".venv" / "bin" / "switchyard"
        script.parent.mkdir(parents=True)
        script.write_text(SWITCHYARD)
        script.chmod(0o755)
        artefacts = Artefacts(folder=self.folder, kept=self.artefacts)
        uses = {
            **dict.fromkeys(table.ACTIONS, lambda *_: None),
            "actions/upload-artifact": artefacts.upload,
            "actions/download-artifact": artefacts.download,
        }
        digest, status = self.preview
        shell = {**os.environ, "DIGEST": digest, "STATUS": str(status)}
        return Runner(folder=self.folder, shell=shell, uses=uses).run(JOBS[key], {**CONTEXTS, **contexts})

    @property
    def calls(self) -> list[str]:
        """What `switchyard` was asked for."""
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []


New = Callable[..., Machine]


@pytest.fixture
def new(tmp_path: Path) -> New:
    def made(**given: Any) -> Machine:
        folder = tmp_path / f"machine-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return Machine(folder=folder, **given)

    return made


def of(stack: str) -> dict[str, Any]:
    return {"inputs": {"stack": stack, "account": "1" * 12}}


def test_a_plan_is_shown_kept_and_named(new: New) -> None:
    machine = new()
    ran = machine.run(PLAN, **of("prod"))
    assert ran.status == 0, ran.text
    assert machine.calls == ["preview --stack prod --format markdown"], "one preview does for all of it"
    assert ran.summary == "### The report\n"
    assert ran.outputs == {"digest": DIGEST}
    assert machine.artefacts == {"plan-prod": {f"{DIGEST}.json": b"{}\n"}}


@pytest.mark.parametrize("digest", [DIGEST, ""], ids=["its checks fail", "the preview fails"])
def test_a_plan_that_may_not_be_applied_is_shown_and_goes_no_further(new: New, digest: str) -> None:
    machine = new(preview=(digest, 1))
    ran = machine.run(PLAN, **of("prod"))
    assert (ran.status, ran.summary) == (1, "### The report\n")
    assert ran.steps[-1] == "Preview"
    assert (ran.outputs, machine.artefacts) == ({}, {})


def test_of_two_plans_none_is_named(new: New) -> None:
    machine = new()
    (machine.folder / "plans").mkdir()
    (machine.folder / "plans" / f"{'6' * 64}.json").touch()
    ran = machine.run(PLAN, **of("prod"))
    assert ran.status != 0
    assert ran.outputs == {}


@pytest.mark.parametrize(("key", "caller"), APPLYING.items())
def test_what_was_shown_is_what_is_applied(new: New, key: str, caller: str) -> None:
    inputs = asked(JOBS[caller], CONTEXTS)
    assert inputs == {"stack": "prod", "account": "1" * 12}
    planning = new()
    outputs = handed_on(JOBS[PLAN], planning.run(PLAN, inputs=inputs).outputs)
    machine = new(artefacts={"evidence": b"{}", **planning.artefacts})
    ran = machine.run(key, needs={"plan": {"outputs": outputs}})
    assert ran.status == 0, ran.text
    assert machine.calls[:2] == [f"up --stack prod --plan {DIGEST}", f"{DIGEST}.json"]


@pytest.mark.parametrize(("key", "caller"), APPLYING.items())
def test_without_a_plan_nobody_is_asked_and_nothing_is_applied(new: New, key: str, caller: str) -> None:
    assert JOBS[caller].about["uses"] == "./.github/workflows/plan.yml"
    job = JOBS[key].about
    # GitHub skips a job whose need has failed or was skipped, unless its own condition says otherwise.
    assert (job["needs"], job.get("if")) == ("plan", None)
    assert job["environment"] == "prod"
    machine = new(artefacts={"evidence": b"{}", "plan-prod": {}})
    ran = machine.run(key, needs={"plan": {"outputs": {"digest": None}}})
    assert ran.status != 0
    assert "no plan was handed over" in ran.text
    assert [call for call in machine.calls if not call.startswith("release history")] == []


def test_nothing_else_is_applied_to_prod() -> None:
    plan = JOBS[PLAN].about
    assert "environment" not in plan, "it waits for nobody, and has the role that only reads"
    applying = {
        key
        for key, job in JOBS.items()
        for step in job.steps
        if "up --stack prod" in step.get("run", "") or "PLAN" in step.get("env", {})
    }
    assert applying == APPLYING.keys()


@pytest.mark.parametrize(
    ("image", "account", "plans"),
    [(None, "1" * 12, True), ("web@sha256:0", "1" * 12, False), (None, None, False)],
)
def test_a_release_plans_for_prod_where_it_brings_prod_up(
    image: str | None, account: str | None, plans: bool
) -> None:
    contexts = {
        "vars": {"AWS_ACCOUNT_PROD": account},
        "inputs": {"image": image},
        "github": {"event": {"client_payload": None}},
    }
    assert holds(JOBS["release/plan"].about["if"], contexts, succeeded=True) is plans


@pytest.mark.parametrize("ready", ["true", "false"])
def test_a_promotion_plans_for_prod_once_there_is_evidence(ready: str) -> None:
    contexts = {"needs": {"evidence": {"outputs": {"ready": ready}}}}
    about = JOBS["promote/plan"].about
    assert about["needs"] == "evidence"
    assert holds(about["if"], contexts, succeeded=True) is (ready == "true")


def test_a_called_workflow_gets_every_right_that_its_jobs_ask_for() -> None:
    for key, uses in table.CALLS.items():
        given = JOBS[key].about["permissions"]
        called = Path(uses).stem
        for job in JOBS.values():
            if job.workflow == called:
                assert job.about["permissions"].items() <= given.items(), f"GitHub would not start {key}"


def test_what_releases_runs_where_the_test_listener_lets_it_in() -> None:
    chosen = {key for key, job in JOBS.items() if "vars." in job.about.get("runs-on", "")}
    assert chosen == set(RELEASING), "what asks smoke checks, and nothing that a pull request starts"
    asking = {
        key
        for key, job in JOBS.items()
        for step in job.steps
        if any(f"switchyard {words}" in step.get("run", "") for words in ("release start", "promote "))
    }
    assert asking == chosen
    for key in RELEASING:
        text = JOBS[key].about["runs-on"]
        assert filled(text, {"vars": {"RELEASE_RUNNER": None}}) == "ubuntu-24.04"
        assert filled(text, {"vars": {"RELEASE_RUNNER": "releases"}}) == "releases"


def test_a_comment_tells_what_was_changed_outside_the_program() -> None:
    (step,) = [one for one in JOBS["pull-request/preview"].steps if " comment " in one.get("run", "")]
    assert step["run"].split()[-1] == "--refresh"

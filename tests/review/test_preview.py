"""Previews by the real engine: what is told is true, and nothing is written."""

from pathlib import Path

import pytest

from review.apply import up
from review.changes import Operation
from review.policy_findings import PolicyFinding
from review.preview import Judgement, failed, preview, preview_all, worst
from tests.review.conftest import Project
from tests.review.events import TODAY

pytestmark = pytest.mark.cloud

DATABASE = {"type": "aws:rds/instance:Instance", "properties": {"dbName": "shop", "size": "small"}}
BUCKET = {"type": "aws:s3/bucket:Bucket", "properties": {"bucket": "files"}}


def said(_: str) -> None:
    """Nobody listens."""


def test_a_stack_that_is_not_there_yet_is_previewed_and_still_not_there(project: Project) -> None:
    project.declares(main=DATABASE)
    (project.folder / "Pulumi.test.yaml").write_text("config: {}\n")
    one, other = (preview(project.request(), said) for _ in range(2))
    assert (one.status, one.headline) == (0, "1 to create"), one.reading.errors
    assert one.plan is not None
    assert other.plan is not None
    assert one.plan.digest == other.plan.digest
    assert [summary.name for summary in project.engine.list_stacks()] == []
    assert (project.folder / "Pulumi.test.yaml").read_text() == "config: {}\n"


def test_a_preview_of_what_is_there_says_what_changes_and_leaves_the_state_alone(project: Project) -> None:
    project.declares(main=DATABASE, files=BUCKET)
    up(project.request(), said)
    before = project.state()
    project.declares(main={**DATABASE, "properties": {"dbName": "store", "size": "small"}})
    report = preview(project.request(), said)
    assert [(change.operation, change.name, change.loses) for change in report.reading.changes] == [
        (Operation.REPLACE, "main", "data"),
        (Operation.DELETE, "files", "objects"),
    ]
    assert report.reading.changes[0].because == ("dbName",)
    assert [(each.path, each.before, each.after) for each in report.reading.changes[0].properties] == [
        ("dbName", "shop", "store")
    ]
    assert report.status == 1
    assert len(report.failed) == 2
    assert project.state() == before


def test_what_was_changed_by_hand_is_told_apart_from_what_would_be_done(project: Project) -> None:
    project.declares(main=DATABASE, files=BUCKET)
    up(project.request(), said)
    (database,) = [key for key in project.provider.things if key.startswith("main")]
    project.provider.things[database] = {"dbName": "shop", "size": "large"}
    (bucket,) = [key for key in project.provider.things if key.startswith("files")]
    del project.provider.things[bucket]
    assert preview(project.request(), said).headline == "no changes"
    report = preview(project.request(refresh=True), said)
    told = {each.name: (each.gone, each.undone) for each in report.outside}
    assert told == {"main": (False, True), "files": (True, True)}
    assert report.headline == "1 to update, 1 to create"


@pytest.mark.parametrize("method", ["Check", "Diff"])
def test_a_provider_that_refuses_is_told_in_its_words(project: Project, method: str) -> None:
    project.declares(main=DATABASE)
    up(project.request(), said)
    project.provider.refused[method] = "AccessDenied: no rights on rds:DescribeDBInstances"
    project.declares(main={**DATABASE, "properties": {"dbName": "shop", "size": "large"}})
    report = preview(project.request(), said)
    assert report.status == 1
    assert report.plan is None
    assert any("AccessDenied: no rights on rds" in text for text in report.reading.errors)


def test_a_provider_that_dies_is_a_failed_preview_and_not_an_empty_plan(project: Project) -> None:
    project.declares(main=DATABASE)
    project.provider.server.stop(0).wait()
    report = preview(project.request(), said)
    assert (report.status, report.plan) == (1, None)
    assert report.reading.errors


def test_a_mistake_in_the_program_is_told_with_its_place(project: Project) -> None:
    (project.folder / "__main__.py").write_text("import pulumi\nraise ValueError('no such zone')\n")
    report = preview(project.request(), said)
    assert report.status == 1
    assert "no such zone" in "\n".join(report.reading.errors)


def test_a_syntax_error_in_the_stacks_file_is_told(project: Project) -> None:
    (project.folder / "Pulumi.test.yaml").write_text("config: [unclosed\n")
    report = preview(project.request(), said)
    assert report.status == 1
    assert "yaml" in "\n".join(report.reading.errors).lower()
    assert (project.folder / "Pulumi.test.yaml").read_text() == "config: [unclosed\n"


def test_a_state_that_cannot_be_reached_is_told(project: Project) -> None:
    project.engine.env_vars = {**project.engine.env_vars, "PULUMI_BACKEND_URL": "file:///nowhere/at/all"}
    report = preview(project.request(), said)
    assert report.status == 1
    assert report.reading.errors


def test_several_stacks_are_previewed_at_once_and_one_failure_fails_the_run(project: Project) -> None:
    project.declares(main=DATABASE)
    (project.folder / "Pulumi.bad.yaml").write_text("config: [unclosed\n")
    reports = preview_all([project.request(name) for name in ("one", "bad", "two")], said)
    assert [(report.stack, report.status) for report in reports] == [("one", 0), ("bad", 1), ("two", 0)]
    assert worst(reports) == 1
    assert worst(reports[:1]) == 0
    assert worst([]) == 1, "nothing previewed is nothing proved"


def test_what_a_judge_says_of_a_value_is_masked(project: Project) -> None:
    project.declares(main=DATABASE)
    finding = PolicyFinding(
        id="X.1", severity="high", resource="main", message="is hunter2-hunter2", remedy=""
    )
    request = project.request(secrets=["hunter2-hunter2"], judge=lambda _: Judgement(findings=(finding,)))
    report = preview(request, said)
    assert [check.message for check in report.failed] == ["is [secret]"]


def test_a_stack_that_could_not_be_tried_has_a_report_too() -> None:
    report = failed("prod", "shop", "Pulumi.prod.yaml has 1 mistake", TODAY)
    assert (report.status, report.failed[0].message) == (1, "Pulumi.prod.yaml has 1 mistake")


def test_nothing_is_left_behind(project: Project, tmp_path: Path) -> None:
    project.declares(main=DATABASE)
    preview(project.request(), said)
    assert not list((tmp_path / "state").rglob("*.json.lock"))
    assert sorted(path.name for path in project.folder.iterdir()) == [
        "Pulumi.yaml",
        "__main__.py",
        "resources.json",
    ]

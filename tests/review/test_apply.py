"""What is applied is what was previewed, by the real engine; whatever else happens is no success."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pulumi.automation import EngineEvent

from review.apply import up
from review.errors import ApplyFailed, ChecksFailed, PlanDiffers, ReviewError
from review.plans import FolderPlans
from review.preview import Request, preview
from review.stateful import Allowance
from tests.review.conftest import Project
from tests.review.events import TODAY

pytestmark = pytest.mark.cloud


def said(_: str) -> None:
    """Nobody listens."""


def database(**properties: Any) -> dict[str, Any]:
    return {"type": "aws:rds/instance:Instance", "properties": {"dbName": "shop", **properties}}


def service(**properties: Any) -> dict[str, Any]:
    return {"type": "aws:ecs/service:Service", "properties": properties}


def planned(request: Request, plans: FolderPlans | None = None) -> str:
    report = preview(request, said, TODAY)
    assert report.plan, report.reading.errors
    if plans:
        plans.save(report.plan)
    return report.plan.digest


def things(project: Project) -> list[dict[str, Any]]:
    return sorted(project.provider.things.values(), key=json.dumps)


def test_a_plan_is_applied_as_it_was_previewed(project: Project, tmp_path: Path) -> None:
    project.declares(api=service(cpu=1))
    digest = planned(project.request())
    done = up(project.request(), said, digest=digest)
    assert done.counts == {"create": 1}
    assert things(project) == [{"cpu": 1.0}]
    project.declares(api=service(cpu=2))
    plans = FolderPlans(tmp_path / "plans")
    done = up(project.request(), said, digest=planned(project.request(), plans), plans=plans)
    assert (done.counts, things(project)) == ({"update": 1}, [{"cpu": 2.0}])


def test_a_changed_program_is_refused_and_the_difference_is_shown(project: Project, tmp_path: Path) -> None:
    project.declares(api=service(cpu=1))
    plans = FolderPlans(tmp_path / "plans")
    digest = planned(project.request(), plans)
    project.declares(api=service(cpu=3), web=service(cpu=1))
    with pytest.raises(PlanDiffers) as refusal:
        up(project.request(), said, digest=digest, plans=plans)
    text = str(refusal.value)
    assert "nothing was done" in text
    assert "api: cpu: planned nothing → 1; now nothing → 3" in text
    assert "web: not planned; now: create" in text
    assert things(project) == []


def test_without_the_kept_plan_it_is_refused_all_the_same(project: Project) -> None:
    project.declares(api=service(cpu=1))
    digest = planned(project.request())
    project.declares(api=service(cpu=3))
    with pytest.raises(PlanDiffers, match=r"not kept here(.|\n)*create urn:pulumi:test"):
        up(project.request(), said, digest=digest)
    assert things(project) == []


def test_a_state_that_moved_on_is_refused_though_the_operations_are_the_same(
    project: Project, tmp_path: Path
) -> None:
    project.declares(api=service(cpu=1), web=service(cpu=1))
    up(project.request(), said)
    project.declares(api=service(cpu=2), web=service(cpu=1))
    plans = FolderPlans(tmp_path / "plans")
    digest = planned(project.request(), plans)
    project.declares(api=service(cpu=1), web=service(cpu=5))
    up(project.request(), said)
    project.declares(api=service(cpu=2), web=service(cpu=5))
    with pytest.raises(PlanDiffers, match="the state has changed since"):
        up(project.request(), said, digest=digest, plans=plans)


def test_a_deploy_that_changed_nothing_does_not_spoil_a_plan(project: Project) -> None:
    project.declares(api=service(cpu=1))
    up(project.request(), said)
    project.declares(api=service(cpu=2))
    digest = planned(project.request())
    project.declares(api=service(cpu=1))
    up(project.request(), said)
    project.declares(api=service(cpu=2))
    assert up(project.request(), said, digest=digest).counts == {"update": 1}


def test_data_is_not_lost_without_an_allowance_and_with_one_it_may(project: Project) -> None:
    project.declares(main=database())
    up(project.request(), said)
    project.declares(main=database(dbName="store"))
    with pytest.raises(ChecksFailed, match="because of dbName"):
        up(project.request(), said, digest=planned(project.request()), today=TODAY)
    with pytest.raises(ChecksFailed, match="nothing was done"):
        up(project.request(), said, today=TODAY)
    assert things(project) == [{"dbName": "shop"}]
    allowance = Allowance(resource="main", operation="replace", reason="a test", expires=TODAY)
    request = project.request(allowances=[allowance])
    with pytest.raises(ChecksFailed, match="was allowed until"):
        up(request, said, today=TODAY + timedelta(days=1))
    assert up(request, said, today=TODAY).counts == {"replace": 1}
    assert things(project) == [{"dbName": "store"}]


def test_a_plan_that_read_aws_first_is_applied_that_way_too(project: Project, tmp_path: Path) -> None:
    project.declares(api=service(cpu=1))
    up(project.request(), said)
    (id_,) = project.provider.things
    project.provider.things[id_] = {"cpu": 7}
    plans = FolderPlans(tmp_path / "plans")
    digest = planned(project.request(refresh=True), plans)
    assert up(project.request(), said, digest=digest, plans=plans).counts == {"update": 1}
    assert things(project) == [{"cpu": 1.0}]


def test_the_engine_is_held_to_the_plan_when_the_program_changes_at_the_last_moment(project: Project) -> None:
    """Between the comparison and the update nobody looks; then the engine itself does."""
    project.declares(api=service(cpu=1))
    digest = planned(project.request())

    def change_after_the_second_preview(line: str) -> None:
        if line.startswith("Applying"):
            project.declares(api=service(cpu=9), web=service(cpu=1))

    with pytest.raises(ApplyFailed, match=r"(violates|not allowed by the) plan"):
        up(project.request(), change_after_the_second_preview, digest=digest)
    assert things(project) == []


@pytest.mark.parametrize("method", ["Create", "Update", "Delete"])
def test_an_update_that_fails_says_what_was_done_and_in_whose_words_it_failed(
    project: Project, method: str
) -> None:
    project.declares(old=service(cpu=1), api=service(cpu=1))
    up(project.request(), said)
    project.provider.refused[method] = "Throttling: slow down"
    project.declares(api=service(cpu=2), new=service(cpu=1))
    with pytest.raises(ApplyFailed, match="Throttling: slow down") as failure:
        up(project.request(), said)
    assert "was not brought to its plan. Done:" in str(failure.value)
    done = str(failure.value).split("Done: ")[1].split(".")[0]
    assert method.lower() not in done, "what failed was not done"
    project.provider.refused.clear()
    up(project.request(), said)
    assert things(project) == [{"cpu": 1.0}, {"cpu": 2.0}]


def test_nothing_to_do_is_done_at_once(project: Project) -> None:
    project.declares(api=service(cpu=1))
    up(project.request(), said)
    before, lines = project.state(), list[str]()
    assert up(project.request(), lines.append).counts == {}
    assert lines[-1] == "test is as it should be: nothing was done"
    assert project.state() == before


def test_a_digest_that_is_none_is_refused_before_anything(project: Project) -> None:
    with pytest.raises(ReviewError, match="64 hex digits"):
        up(project.request(), said, digest="latest")
    assert not (project.folder / "Pulumi.test.yaml").exists()


def test_the_events_of_the_update_can_be_watched(project: Project) -> None:
    project.declares(api=service(cpu=1))
    seen: list[EngineEvent] = []
    observe: Callable[[EngineEvent], None] = seen.append
    up(project.request(), said, observe=observe)
    assert any(event.summary_event for event in seen)


def test_a_kept_plan_that_was_changed_is_refused(project: Project, tmp_path: Path) -> None:
    project.declares(api=service(cpu=1))
    plans = FolderPlans(tmp_path)
    digest = planned(project.request(), plans)
    path = tmp_path / f"{digest}.json"
    path.write_text(path.read_text().replace('"create"', '"delete"'))
    with pytest.raises(ReviewError, match="the file was changed"):
        up(project.request(), said, digest=digest, plans=plans)
    path.write_text("{")
    with pytest.raises(ReviewError, match="can't be used"):
        plans.load(digest)
    other = replace(preview(project.request(), said).plan, stack="other")  # type: ignore[type-var]
    path.write_text(json.dumps(other.to_json()))  # type: ignore[union-attr]
    with pytest.raises(ReviewError, match="holds the plan"):
        plans.load(digest)
